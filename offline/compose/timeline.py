"""When which phase sounds: a timeline drawn from the lengths of real or resting breath."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtr

from offline.compose.phase_times import PhaseTimes
from offline.compose.settings import ComposeSettings, Range
from realtime.clock import samples_from_seconds
from realtime.events import Phase
from realtime.labels import PhaseInterval


@dataclass(frozen=True)
class Slot:
    """A place for one phase.

    Attributes:
        interval: from where to where, and which phase.
        is_slow: whether it is a breath at rest.
    """

    interval: PhaseInterval
    is_slow: bool


@dataclass(frozen=True)
class Timeline:
    """Slots in the order of time, never overlapping.

    Attributes:
        n_samples: length of the stream at 16 kHz.
        slots: the phases.
        pauses: start and end sample of the long pauses.
        n_unheard: exhalations that have no slot because they make no sound.
    """

    n_samples: int
    slots: tuple[Slot, ...]
    pauses: tuple[tuple[int, int], ...]
    n_unheard: int


class _Pace(Protocol):
    """Where lengths come from; all in seconds."""

    def length_s(self, phase: Phase) -> float: ...

    def gap_s(self, after: Phase) -> float: ...

    def unheard_gap_s(self) -> float: ...


class _FastPace:
    """Lengths of real timelines: a Gaussian copula makes those of one stream alike, the quantiles stay."""

    def __init__(self, times: PhaseTimes, correlation: float, rng: np.random.Generator) -> None:
        self._times = times
        self._own, self._common = np.sqrt(1 - correlation), np.sqrt(correlation)
        self._centres = {name: rng.standard_normal() for name in PhaseTimes.__dataclass_fields__}
        self._rng = rng

    def length_s(self, phase: Phase) -> float:
        return self._draw("inhale_s" if phase is Phase.INHALE else "exhale_s")

    def gap_s(self, after: Phase) -> float:
        # Labels that overlap by some milliseconds touch here.
        return max(0.0, self._draw("gap_after_inhale_s" if after is Phase.INHALE else "gap_after_exhale_s"))

    def unheard_gap_s(self) -> float:
        return self._draw("gap_unheard_exhale_s")

    def _draw(self, name: str) -> float:
        score = self._common * self._centres[name] + self._own * self._rng.standard_normal()
        return float(self._times.at(name, float(ndtr(score))))


class _SlowPace:
    """Lengths of a breath at rest, drawn once, then varying from breath to breath within their ranges."""

    def __init__(self, settings: ComposeSettings, rng: np.random.Generator) -> None:
        self._ranges: dict[str, Range] = {
            "inhale": settings.slow_inhale_s,
            "exhale": settings.slow_exhale_s,
            "gap": settings.slow_gap_s,
            "pause": settings.slow_pause_s,
        }
        self._variation = settings.slow_variation
        self._rng = rng
        low_per_min, high_per_min = settings.slow_rate_per_min
        while True:
            self._means = {name: rng.uniform(*bounds) for name, bounds in self._ranges.items()}
            if low_per_min <= 60 / sum(self._means.values()) <= high_per_min:
                break

    def length_s(self, phase: Phase) -> float:
        return self._draw("inhale" if phase is Phase.INHALE else "exhale")

    def gap_s(self, after: Phase) -> float:
        return self._draw("gap" if after is Phase.INHALE else "pause")

    def unheard_gap_s(self) -> float:
        return self._draw("gap") + self._draw("exhale") + self._draw("pause")

    def _draw(self, name: str) -> float:
        varied = self._means[name] * np.exp(self._variation * self._rng.standard_normal())
        return float(np.clip(varied, *self._ranges[name]))


def draw_timeline(settings: ComposeSettings, rng: np.random.Generator) -> Timeline:
    """Phases in turn until the next would not fit; the rest of the stream is without breath."""
    n_samples = samples_from_seconds(settings.seconds)
    sections = _Sections(settings, rng)
    long_pauses_per_min = rng.uniform(*settings.long_pauses_per_min)
    unheard_share = rng.uniform(*settings.unheard_exhale_share)
    next_pause = _next_pause(0, long_pauses_per_min, rng)
    slots: list[Slot] = []
    pauses: list[tuple[int, int]] = []
    n_unheard = 0
    at = samples_from_seconds(rng.uniform(*settings.lead_in_s))
    phase = Phase.INHALE if rng.random() < 0.5 else Phase.EXHALE
    while True:
        pace = sections.pace_at(at, phase)
        end = at + max(1, samples_from_seconds(pace.length_s(phase)))
        if end > n_samples:
            return Timeline(n_samples, tuple(slots), tuple(pauses), n_unheard)
        slots.append(Slot(PhaseInterval(at, end, phase), sections.is_slow))
        is_unheard = phase is Phase.INHALE and rng.random() < unheard_share
        is_long = phase is Phase.EXHALE and end >= next_pause
        if is_unheard:
            gap_s = pace.unheard_gap_s()
            n_unheard += 1
        elif is_long:
            gap_s = rng.uniform(*settings.long_pause_s)
        else:
            gap_s = pace.gap_s(phase)
        at = end + samples_from_seconds(gap_s)
        if is_long:
            pauses.append((end, min(at, n_samples)))
            next_pause = _next_pause(at, long_pauses_per_min, rng)
        if not is_unheard:
            phase = Phase.EXHALE if phase is Phase.INHALE else Phase.INHALE


class _Sections:
    """One pace for a stream of one kind; in a mixed one another from time to time, before an inhalation."""

    def __init__(self, settings: ComposeSettings, rng: np.random.Generator) -> None:
        self._settings = settings
        self._rng = rng
        self.is_slow = settings.kind == "slow" or (settings.kind == "mixed" and rng.random() < 0.5)
        self._start(0)

    def pace_at(self, sample: int, phase: Phase) -> _Pace:
        if self._settings.kind == "mixed" and sample >= self._end and phase is Phase.INHALE:
            self.is_slow = not self.is_slow
            self._start(sample)
        return self._pace

    def _start(self, sample: int) -> None:
        settings, rng = self._settings, self._rng
        self._end = sample + samples_from_seconds(rng.uniform(*settings.mixed_section_s))
        self._pace: _Pace = (
            _SlowPace(settings, rng)
            if self.is_slow
            else _FastPace(settings.phase_times, settings.tempo_correlation, rng)
        )


def _next_pause(sample: int, per_min: float, rng: np.random.Generator) -> float:
    wait_s = rng.exponential(60 / per_min) if per_min > 0 else np.inf
    return sample + wait_s * samples_from_seconds(1.0)
