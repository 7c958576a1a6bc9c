"""Ten seconds at a microphone - quiet, then breathing - that tell at which level breath begins."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engines.contract import RATE_HZ
from engines.errors import AudioError
from realtime.intake import Intake
from realtime.presence import SILENCE_DBFS, level_from_window
from realtime.sources import AudioSource

QUIET_S = 4
BREATH_S = 6
_HOP_SAMPLES = RATE_HZ // 20
_SETTLE_SAMPLES = RATE_HZ // 2
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
    tell(f"1 of 2: hold your breath and keep still, for {QUIET_S} seconds")
    for block in source.blocks():
        if block.start > heard_end and levels:
            raise AudioError(f"{source.name}: sound was lost during the calibration; begin again")
        heard_end = block.end
        for window in intake.push(block):
            levels[window.end_sample] = level_from_window(window.samples, highest_hz)
        if intake.next_sample >= quiet_end and not has_told:
            has_told = True
            tell(f"2 of 2: breathe as you will later, for {BREATH_S} seconds")
        if intake.next_sample >= end:
            break
    else:
        raise AudioError(f"{source.name}: the sound ended before the {QUIET_S + BREATH_S} seconds were over")
    quiet = [level for at, level in levels.items() if at <= quiet_end]
    # People need a moment after the word.
    breathing = [level for at, level in levels.items() if quiet_end + _SETTLE_SAMPLES < at <= end]
    found = Calibration(
        noise_dbfs=round(float(np.percentile(quiet, _NOISE_PERCENTILE)), 1),
        breath_dbfs=round(float(np.percentile(breathing, _BREATH_PERCENTILE)), 1),
    )
    _check(found, source.name)
    return found


def _check(found: Calibration, name: str) -> None:
    if found.breath_dbfs <= SILENCE_DBFS:
        raise AudioError(f"{name} gives digital silence: is it muted, or not permitted to be heard?")
    contrast_db = found.breath_dbfs - found.noise_dbfs
    if contrast_db < _LEAST_CONTRAST_DB:
        raise AudioError(
            f"{name}: the breath ({found.breath_dbfs:g} dB) is only {contrast_db:.1f} dB above the quiet "
            f"({found.noise_dbfs:g} dB), {_LEAST_CONTRAST_DB:g} are needed; come closer to the microphone, "
            "make the room quieter, or keep quieter during the first part, and begin again"
        )
