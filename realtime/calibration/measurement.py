"""Ten seconds at a microphone - quiet, then breathing - that tell at which level breath begins."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from engines.contract import RATE_HZ
from engines.errors import AudioError
from realtime.intake import Intake
from realtime.presence import SILENCE_DBFS, level_from_window
from realtime.sound.sources import AudioSource

QUIET_S = 4
BREATH_S = 6
QUIET_WORDS = f"1 of 2: hold your breath and keep still, for {QUIET_S} seconds"
BREATH_WORDS = f"2 of 2: breathe as you will later, for {BREATH_S} seconds"
_HOP_SAMPLES = RATE_HZ // 20
_SETTLE_SAMPLES = RATE_HZ // 2
_REACTION_SAMPLES = RATE_HZ
_LEAST_CONTRAST_DB = 6.0
_LEAST_MARGIN_DB = 3.0
_NOISE_PERCENTILE = 90
_BREATH_PERCENTILE = 75


@dataclass(frozen=True)
class Calibration:
    """What was measured, dB re full scale, within the band of the pack.

    Attributes:
        noise_dbfs: nine tenths of the quiet part are below it.
        breath_dbfs: a quarter of the breathing part is above it.
    """

    noise_dbfs: float
    breath_dbfs: float

    @property
    def gate_dbfs(self) -> float:
        """Where the gate belongs: a third of the way up from the noise, and at least 3 dB above it.

        Nearer to the noise than to the breath, because breaths begin and end softly.
        """
        margin_db = max(_LEAST_MARGIN_DB, (self.breath_dbfs - self.noise_dbfs) / 3)
        return round(min(0.0, self.noise_dbfs + margin_db), 1)


def calibrate(
    source: AudioSource, highest_hz: float, channel: int | None, tell: Callable[[str], None]
) -> Calibration:
    """Guide somebody through ten seconds, and measure.

    Args:
        source: hears the microphone; it is left open.
        highest_hz: upper edge of the pack's band, Hz.
        channel: counted from 0; None is the mean of all.
        tell: called with what to do, at the moment to do it.

    Raises:
        AudioError: the sound ended or had gaps, or the breath is not louder than the room by 6 dB at least.
        ConfigError: there is no such channel.
    """
    quiet_end = QUIET_S * RATE_HZ
    end = quiet_end + BREATH_S * RATE_HZ
    levels: dict[int, float] = {}
    intake = Intake(source, _HOP_SAMPLES, channel)
    has_told = False
    heard_end = 0
    tell(QUIET_WORDS)
    for block in source.blocks():
        if block.start > heard_end and levels:
            raise AudioError(f"{source.name}: sound was lost during the calibration; begin again")
        heard_end = block.end
        for window in intake.push(block):
            levels[window.end_sample] = level_from_window(window.samples, highest_hz)
        if intake.next_sample >= quiet_end and not has_told:
            has_told = True
            tell(BREATH_WORDS)
        if intake.next_sample >= end:
            break
    else:
        raise AudioError(f"{source.name}: the sound ended before the {QUIET_S + BREATH_S} seconds were over")
    return _found(levels, quiet_end, end, source.name)


@dataclass(frozen=True)
class RunningCalibration:
    """The same within a session that goes on meanwhile.

    Attributes:
        begin_sample: where it began, index at 16 kHz.
        levels: (end of a window at 16 kHz, its level in dB re full scale), oldest first.
        is_breathing: whether the second part has begun.
    """

    begin_sample: int
    levels: tuple[tuple[int, float], ...] = ()
    is_breathing: bool = False

    @classmethod
    def initial(cls, begin_sample: int) -> Self:
        """It begins after so much sound."""
        return cls(begin_sample)


def advance(
    state: RunningCalibration, end_sample: int, level_dbfs: float, name: str
) -> tuple[RunningCalibration, Calibration | None]:
    """Take in the level of a window; gives what was measured, once it is known.

    Args:
        state: what was heard so far.
        end_sample: end of the window, index at 16 kHz.
        level_dbfs: see `Frame`.
        name: of the source, for people.

    Raises:
        AudioError: see `calibrate`.
    """
    quiet_end = state.begin_sample + QUIET_S * RATE_HZ
    end = quiet_end + BREATH_S * RATE_HZ
    levels = state.levels
    # Who reads the words may be in the middle of a breath.
    if end_sample >= state.begin_sample + _REACTION_SAMPLES:
        levels = (*levels, (end_sample, level_dbfs))
    found = _found(dict(levels), quiet_end, end, name) if end_sample >= end else None
    return replace(state, levels=levels, is_breathing=end_sample >= quiet_end), found


def _found(levels: dict[int, float], quiet_end: int, end: int, name: str) -> Calibration:
    quiet = [level for at, level in levels.items() if at <= quiet_end]
    # People need a moment after the word.
    breathing = [level for at, level in levels.items() if quiet_end + _SETTLE_SAMPLES < at <= end]
    if not quiet or not breathing:
        raise AudioError(f"{name}: too little sound came during the calibration; begin again")
    found = Calibration(
        noise_dbfs=round(float(np.percentile(quiet, _NOISE_PERCENTILE)), 1),
        breath_dbfs=round(float(np.percentile(breathing, _BREATH_PERCENTILE)), 1),
    )
    _check(found, name)
    return found


def _check(found: Calibration, name: str) -> None:
    if found.breath_dbfs <= SILENCE_DBFS:
        raise AudioError(f"{name} gives digital silence: is it muted, or not permitted to be heard?")
    contrast_db = found.breath_dbfs - found.noise_dbfs
    if contrast_db < _LEAST_CONTRAST_DB:
        how_far = (
            f"only {contrast_db:.1f} dB louder than"
            if contrast_db > 0
            else f"{-contrast_db:.1f} dB softer than"
        )
        mend = (
            "come closer to the microphone, make the room quieter, or keep quieter during the first part"
            if contrast_db > 0
            else "keep still during the first part, and breathe audibly during the second"
        )
        raise AudioError(
            f"{name}: begin again. The breath ({found.breath_dbfs:g} dB) is {how_far} the quiet "
            f"({found.noise_dbfs:g} dB), and has to be {_LEAST_CONTRAST_DB:g} dB louder: {mend}"
        )
