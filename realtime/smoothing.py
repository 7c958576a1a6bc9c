"""From one probability a hop to a steady phase: exponential smoothing, hysteresis, a minimum duration."""

import math
from dataclasses import dataclass, replace
from typing import Self

from engines.contract import RATE_HZ
from realtime.events import Phase, PhaseEvent
from realtime.presence import Presence


@dataclass(frozen=True)
class SmoothingSettings:
    """How steady the shown phase is.

    Attributes:
        time_constant_s: of the exponential smoothing of P(exhale), s; 0 switches it off.
        hysteresis: the smoothed probability must pass 0.5 by this much to change the phase, 0-0.5.
        min_phase_s: no phase is shown for less than this, s.
    """

    time_constant_s: float = 0.1
    hysteresis: float = 0.08
    min_phase_s: float = 0.3


@dataclass(frozen=True)
class SmoothingState:
    """What smoothing remembers.

    Attributes:
        prob_exhale: the smoothed probability; None until breath has been present.
        end_sample: where the last window ended.
        shown: the phase that is shown.
        shown_since: the sample at which it was reported.
        candidate: the phase that the input has called for, without a break, up to now.
        candidate_since: the sample since which it has.
    """

    prob_exhale: float | None
    end_sample: int
    shown: Phase
    shown_since: int
    candidate: Phase
    candidate_since: int

    @classmethod
    def initial(cls) -> Self:
        """No breath yet."""
        return cls(None, 0, Phase.NONE, 0, Phase.NONE, 0)


@dataclass(frozen=True)
class Smoothed:
    """What is shown after one window: the phase, its confidence (0-1), and the event if it just changed."""

    phase: Phase
    confidence: float
    event: PhaseEvent | None


def advance(
    state: SmoothingState,
    prob_exhale: float,
    presence: Presence,
    end_sample: int,
    settings: SmoothingSettings,
) -> tuple[SmoothingState, Smoothed]:
    """Take in one window's probability and whether there is breath; give the steady phase.

    A phase is left no earlier than `min_phase_s` after it was reported. Its onset is where the input began
    to call for it, never before the phase it follows was reported.
    """
    smoothed = _smoothed(state, prob_exhale, presence, end_sample, settings)
    wanted = _wanted(state.shown, smoothed, presence, settings)
    is_new = wanted is not state.candidate
    after = replace(
        state,
        prob_exhale=smoothed,
        end_sample=end_sample,
        candidate=wanted,
        candidate_since=end_sample if is_new else state.candidate_since,
    )
    is_due = end_sample - state.shown_since >= settings.min_phase_s * RATE_HZ or state.shown_since == 0
    confidence = _confidence(after.shown, smoothed, presence)
    if wanted is state.shown or not is_due:
        return after, Smoothed(after.shown, confidence, None)
    confidence = _confidence(wanted, smoothed, presence)
    onset_sample = max(after.candidate_since, state.shown_since)
    after = replace(after, shown=wanted, shown_since=end_sample)
    return after, Smoothed(wanted, confidence, PhaseEvent(wanted, onset_sample, end_sample, confidence))


def _smoothed(
    state: SmoothingState,
    prob_exhale: float,
    presence: Presence,
    end_sample: int,
    settings: SmoothingSettings,
) -> float | None:
    """Probabilities of windows without breath say nothing about the phase and are left out."""
    if not presence.is_present:
        return state.prob_exhale
    if state.prob_exhale is None or settings.time_constant_s == 0 or state.shown is Phase.NONE:
        return prob_exhale
    elapsed_s = (end_sample - state.end_sample) / RATE_HZ
    keep = math.exp(-elapsed_s / settings.time_constant_s)
    return keep * state.prob_exhale + (1 - keep) * prob_exhale


def _wanted(
    shown: Phase, prob_exhale: float | None, presence: Presence, settings: SmoothingSettings
) -> Phase:
    if not presence.is_present or prob_exhale is None:
        return Phase.NONE
    if shown is Phase.INHALE:
        return Phase.EXHALE if prob_exhale > 0.5 + settings.hysteresis else Phase.INHALE
    if shown is Phase.EXHALE:
        return Phase.INHALE if prob_exhale < 0.5 - settings.hysteresis else Phase.EXHALE
    return Phase.EXHALE if prob_exhale >= 0.5 else Phase.INHALE


def _confidence(phase: Phase, prob_exhale: float | None, presence: Presence) -> float:
    """Of a phase: its smoothed probability. Of none: logistic in the level below the gate (3 dB a unit)."""
    if phase is Phase.NONE or prob_exhale is None:
        return 1.0 / (1.0 + math.exp(min(60.0, presence.margin_db / 3.0)))
    return prob_exhale if phase is Phase.EXHALE else 1.0 - prob_exhale
