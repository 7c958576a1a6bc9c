"""How well the live path hears: the raw sound is measured every second, and conditions begin and end."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from realtime.clock import live_sample_from_source
from realtime.events import Condition, Gap, Health
from realtime.hum import hum_from_sound
from realtime.sound.channels import mono_from_samples
from realtime.sound.sources import STALL_S, Block

SILENCE_DBFS = -120.0
FULL_SCALE = 0.999
"""A sample of so much, or more, has reached full scale."""
_OVERRUN = "this machine was too busy"


@dataclass(frozen=True)
class Rule:
    """When a condition begins and ends.

    Attributes:
        unit: of the readings.
        limit: readings above are bad; below, if `is_low_bad`.
        after_s: so many bad seconds in a row begin it.
        until_s: so many good seconds in a row end it.
        is_low_bad: see `limit`.
    """

    unit: str
    limit: float
    after_s: int
    until_s: int
    is_low_bad: bool = False


# Stalled is not measured but told by the source. Breathing itself has silent seconds: too quiet takes longer
# than a breath.
RULES: Mapping[Condition, Rule] = {
    Condition.STALLED: Rule("s", STALL_S, 0, 0),
    Condition.OVERRUNS: Rule("samples", 0, 1, 5),
    Condition.CLIPPING: Rule("%", 0.1, 1, 3),
    Condition.TOO_QUIET: Rule("dBFS", -65.0, 8, 1, is_low_bad=True),
    Condition.DC_OFFSET: Rule("%", 2.0, 3, 3),
    Condition.HUM_50_HZ: Rule("dB", 20.0, 3, 3),
    Condition.HUM_60_HZ: Rule("dB", 20.0, 3, 3),
}

Event = Health | Gap


@dataclass(frozen=True, eq=False)
class HealthState:
    """What has been heard of the second that is not complete, and how long what has been wrong.

    Attributes:
        rate_hz: of the source, Hz.
        channel: that is listened to; None: all.
        n_channels: of the source; None: not known yet.
        sound_end: index just after the newest sound, at `rate_hz`.
        time_end: index just after the newest block, which may have been empty.
        note: of that block.
        active: the conditions that have begun and not ended.
    """

    rate_hz: int
    channel: int | None = None
    n_channels: int | None = None
    sound_end: int = 0
    time_end: int = 0
    note: str = ""
    active: frozenset[Condition] = frozenset()
    _pieces: tuple[NDArray[np.float32], ...] = ()
    _before: NDArray[np.float32] | None = None
    _n_lost: int = 0
    _runs: Mapping[Condition, int] = field(default_factory=dict)

    @property
    def n_wanted(self) -> int:
        """Samples that are missing from the second that is being measured, at least 1."""
        return self.rate_hz - sum(map(len, self._pieces))

    @classmethod
    def initial(cls, rate_hz: int, channel: int | None = None, n_channels: int | None = None) -> Self:
        """Nothing heard yet."""
        return cls(rate_hz, channel, n_channels)

    def check_restored(self, fresh: Self) -> None:
        """Refuse a state that is not of the stream of `fresh`, or could not have come about in it.

        Raises:
            ValueError: see above.
        """
        widths = {piece.shape[1:] for piece in self._pieces}
        if (
            (self.rate_hz, self.channel, self.n_channels) != (fresh.rate_hz, fresh.channel, fresh.n_channels)
            or widths - {(fresh.n_channels,)}
            or self.n_wanted < 1
            or (self._before is not None and self._before.shape != (self.rate_hz,))
        ):
            raise ValueError("the second that is being measured is not one of this stream")


def advance(state: HealthState, block: Block) -> tuple[HealthState, list[Event]]:
    """Hear a block; what it begins, ends and lacks. The same for blocks of any size."""
    if len(block.samples) == 0:
        state = replace(state, time_end=max(state.time_end, block.start), note=block.note)
        quiet_s = max(STALL_S, (state.time_end - state.sound_end) / state.rate_hz)
        return _turned(state, Condition.STALLED, True, quiet_s)
    state, events = _resumed(state, block)
    at = 0
    while at < len(block.samples):
        n_wanted = state.n_wanted
        piece = block.samples[at : at + n_wanted]
        at += len(piece)
        end = block.start + at
        state = replace(state, sound_end=end, time_end=end, _pieces=(*state._pieces, piece))
        if len(piece) == n_wanted:
            state, found = _second_heard(state)
            events += found
    return state, events


def skipped(state: HealthState, to_sample: int, reason: str) -> tuple[HealthState, Gap]:
    """Sound is missing up to `to_sample`, at the source's rate, before anything more has come."""
    gap = _gap(state, to_sample, reason)
    after = replace(state, sound_end=to_sample, time_end=to_sample, _pieces=(), _runs={}, _before=None)
    return after, gap


def finish(state: HealthState) -> list[Event]:
    """The session ends: the gap that it ends in, if it does."""
    return [_gap(state, state.time_end, state.note)] if state.time_end > state.sound_end else []


def _resumed(state: HealthState, block: Block) -> tuple[HealthState, list[Event]]:
    """Sound goes on: at once, or after a gap."""
    events: list[Event] = []
    n_missing = block.start - state.sound_end
    if n_missing > 0:
        events.append(_gap(state, block.start, block.note or _OVERRUN))
        state = replace(state, _before=None)
        if block.note:
            state = replace(state, _pieces=(), _runs={})
        else:
            state = replace(state, _n_lost=state._n_lost + n_missing)
    state = replace(state, sound_end=block.start, time_end=block.start)
    state, ended = _turned(state, Condition.STALLED, False, n_missing / state.rate_hz)
    return state, events + ended


def _second_heard(state: HealthState) -> tuple[HealthState, list[Event]]:
    samples = np.concatenate(state._pieces)
    mono = mono_from_samples(samples, state.channel)
    heard = samples if state.channel is None else samples[:, state.channel : state.channel + 1]
    readings = _levels(heard, mono) | {Condition.OVERRUNS: float(state._n_lost)}
    if state._before is not None:
        both = np.concatenate([state._before, mono])
        readings[Condition.HUM_50_HZ] = hum_from_sound(both, state.rate_hz, 50.0)
        readings[Condition.HUM_60_HZ] = hum_from_sound(both, state.rate_hz, 60.0)
    state = replace(state, _pieces=(), _before=mono, _n_lost=0)
    events: list[Event] = []
    for condition, reading in readings.items():
        state, found = _judged(state, condition, reading)
        events += found
    return state, events


def _levels(samples: NDArray[np.float32], mono: NDArray[np.float32]) -> dict[Condition, float]:
    """Readings of (n, channels) float32, each from the channel where it is highest.

    The level is that of what is heard, (n,) float32: channels of opposite sign are silence together.
    """
    means = samples.mean(axis=0, dtype=np.float64)
    level = float(mono.std(dtype=np.float64))
    level_dbfs = 20 * math.log10(level) if level > 0 else SILENCE_DBFS
    return {
        Condition.CLIPPING: 100 * float((np.abs(samples) >= FULL_SCALE).mean(axis=0).max()),
        Condition.TOO_QUIET: max(SILENCE_DBFS, level_dbfs),
        Condition.DC_OFFSET: 100 * float(np.abs(means).max()),
    }


def _judged(state: HealthState, condition: Condition, reading: float) -> tuple[HealthState, list[Event]]:
    """Count good and bad seconds in a row; enough of them turn the condition."""
    rule = RULES[condition]
    is_bad = reading < rule.limit if rule.is_low_bad else reading > rule.limit
    is_active = condition in state.active
    # How long it has been against what is believed.
    run = state._runs.get(condition, 0) + 1 if is_bad != is_active else 0
    if run < (rule.until_s if is_active else rule.after_s) or run == 0:
        return replace(state, _runs={**state._runs, condition: run}), []
    return _turned(replace(state, _runs={**state._runs, condition: 0}), condition, is_bad, reading)


def _turned(
    state: HealthState, condition: Condition, is_bad: bool, value: float
) -> tuple[HealthState, list[Event]]:
    if is_bad == (condition in state.active):
        return state, []
    active = state.active | {condition} if is_bad else state.active - {condition}
    sample = live_sample_from_source(state.time_end, state.rate_hz)
    event = Health(condition, is_bad, sample, value, RULES[condition].unit)
    return replace(state, active=active), [event]


def _gap(state: HealthState, to_sample: int, reason: str) -> Gap:
    start = live_sample_from_source(state.sound_end, state.rate_hz)
    return Gap(start, live_sample_from_source(to_sample, state.rate_hz), reason)
