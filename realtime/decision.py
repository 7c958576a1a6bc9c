"""From probabilities to a steady phase: the forward filter of a hidden semi-Markov model.

Hidden are inhalation, exhalation and the pauses after each, with their age. From hop to hop a state ends with
the hazard of its age and the next follows (after an inhalation the exhalation is due, with a pause or
without); then the evidence of the newest window weighs the states. The filter with explicit durations follows
Yu, "Hidden semi-Markov models", Artificial Intelligence 174, 2010.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from realtime.events import Phase, PhaseEvent
from realtime.lengths import (
    AFTER_EXHALE,
    AFTER_INHALE,
    EXHALE,
    INHALE,
    LONGEST_S,
    Lengths,
    LengthSettings,
)

_ROWS: dict[Phase, list[int]] = {
    Phase.INHALE: [INHALE],
    Phase.EXHALE: [EXHALE],
    Phase.NONE: [AFTER_INHALE, AFTER_EXHALE],
}
_PHASES = tuple(_ROWS)
# A longer pause says nothing about how this breather breathes.
_LONGEST_LEARNED_PAUSE_S = 3.0

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class DecisionSettings:
    """How evidence is weighed, and when to speak.

    Attributes:
        phase_weight: exponent of the likelihood of the phase. Windows overlap and are no independent
            witnesses, so it is below 1.
        presence_weight: exponent of the likelihood of breath.
        rise_weight: exponent of the likelihood of how much louder the sound has become, with packs whose
            emission has it.
        presence_caution: by so much the log odds of P(breath) are taken for less than they are, with packs
            that have an emission: a room holds more that is no breath than the streams it was fitted to.
        breath_share: share of instants with breath in what the networks were trained on; for packs without
            an emission.
        margin: another phase is shown once it is this much more probable than the shown one, 0-1.
        confidence_weight: exponent of the odds of what is shown: the filter takes overlapping windows for
            more than they are, and is surer than it is right.
        lengths: what is believed of the lengths of phases.
    """

    phase_weight: float = 0.3
    presence_weight: float = 1.4
    rise_weight: float = 0.35
    presence_caution: float = 0.5
    breath_share: float = 0.7
    margin: float = 0.4
    confidence_weight: float = 0.38
    lengths: LengthSettings = field(default_factory=LengthSettings)


@dataclass(frozen=True, eq=False)
class DecisionState:
    """What the filter remembers.

    Attributes:
        belief: (4, n_ages) float64, probability of each state and age in hops; sums to one.
        recent: belief and likelihood, (4, n_ages), of the newest hops, oldest first; one more than `n_ahead`.
        n_ahead: decide about this many hops ago, with what was heard since.
        lengths: what has been learned of this breather.
        end_sample: where the last window ended.
        shown: the phase that is shown.
        shown_onset: where it is believed to have begun.
        last_phase: the inhalation or exhalation shown last; none before the first.
        resumed_sample: where the first window after the newest gap of the sound began; 0 without a gap.
    """

    belief: Matrix
    recent: tuple[tuple[Matrix, Matrix], ...]
    n_ahead: int
    lengths: Lengths
    end_sample: int
    shown: Phase
    shown_onset: int
    last_phase: Phase
    resumed_sample: int

    @classmethod
    def initial(cls, settings: DecisionSettings, hop_samples: int, lookahead_s: float = 0.0) -> Self:
        """Nothing heard yet: no breath, for a long time.

        Args:
            settings: of the decision.
            hop_samples: distance of two windows.
            lookahead_s: decide about this long ago, 0-1 s, rounded up to whole hops: with more heard.
        """
        lengths = Lengths.initial(settings.lengths, hop_samples / RATE_HZ)
        belief = np.zeros_like(lengths.hazard)
        belief[[AFTER_INHALE, AFTER_EXHALE], -1] = 0.5
        # Whole hops, of which less would be no look ahead at all; the tolerance is for what floats round to.
        n_ahead = math.ceil(lookahead_s * RATE_HZ / hop_samples - 1e-6)
        return cls(belief, (), n_ahead, lengths, 0, Phase.NONE, 0, Phase.NONE, 0)

    def check_restored(self, fresh: Self) -> None:
        """Refuse a state that could not have come from `fresh`.

        Raises:
            ValueError: see above.
        """
        shapes = {(belief.shape, likelihood.shape) for belief, likelihood in self.recent}
        if self.n_ahead != fresh.n_ahead or shapes - {(fresh.belief.shape, fresh.belief.shape)}:
            raise ValueError("the newest hops are not those of this stream")


@dataclass(frozen=True)
class Decided:
    """What is shown after one window: the phase, how sure that is (0-1), and the event if it just changed."""

    phase: Phase
    confidence: float
    event: PhaseEvent | None


def advance(
    state: DecisionState, likelihood: Matrix, end_sample: int, settings: DecisionSettings
) -> tuple[DecisionState, Decided]:
    """Take in what one window says, (4, n_ages) of `Evidence.likelihood`, and decide.

    Hops whose windows were left out pass without a witness. The onset of a new phase follows from its
    likeliest age; it is never before that of the phase that was shown until then.
    """
    hop_s = state.lengths.hop_s
    belief, recent = _aged(state.belief, state.lengths), state.recent
    n_hops = round((end_sample - state.end_sample) / RATE_HZ / hop_s) if state.end_sample else 1
    for _ in range(min(n_hops, belief.shape[1]) - 1):
        recent = (*recent, (belief, np.ones_like(belief)))[-(state.n_ahead + 1) :]
        belief = _aged(belief, state.lengths)
    belief = belief * likelihood
    belief /= belief.sum()
    recent = (*recent, (belief, likelihood))[-(state.n_ahead + 1) :]
    meant = _looked_back(recent, state.lengths)
    prob = {phase: float(meant[rows].sum()) for phase, rows in _ROWS.items()}
    after = replace(state, belief=belief, recent=recent, end_sample=end_sample)
    if state.end_sample and end_sample - state.end_sample > WINDOW_SAMPLES:
        after = replace(after, resumed_sample=end_sample - WINDOW_SAMPLES)
    best = max(_PHASES, key=prob.__getitem__)
    if best is state.shown or prob[best] - prob[state.shown] < settings.margin:
        return after, Decided(state.shown, _confidence(prob[state.shown], settings), None)
    hop_samples = round(hop_s * RATE_HZ)
    age = int(meant[_ROWS[best]].sum(axis=0).argmax()) + len(recent) - 1
    # A state of this age has begun within the hop that ended so many hops ago: in its middle, as a rule.
    onset = max(state.shown_onset, end_sample - age * hop_samples - hop_samples // 2, 0)
    confidence = _confidence(prob[best], settings)
    event = PhaseEvent(best, onset, end_sample, confidence)
    return _changed(after, event, settings.lengths), Decided(best, confidence, event)


def _confidence(prob: float, settings: DecisionSettings) -> float:
    """Of the filter's probability of what is shown; 0-1, where it is a half it stays so."""
    sure: float = max(0.0, prob) ** settings.confidence_weight
    unsure: float = max(0.0, 1 - prob) ** settings.confidence_weight
    return sure / (sure + unsure)


def _aged(belief: Matrix, lengths: Lengths) -> Matrix:
    """One hop later, before anything is heard."""
    ending = belief * lengths.hazard
    staying = belief - ending
    older = np.zeros_like(belief)
    older[:, 1:] = staying[:, :-1]
    older[:, -1] += staying[:, -1]
    older[:, 0] = ending.sum(axis=1) @ lengths.successor
    return older


def _looked_back(recent: tuple[tuple[Matrix, Matrix], ...], lengths: Lengths) -> Matrix:
    """Belief about the oldest of the recent hops, given all of them: one step of fixed-lag smoothing."""
    oldest = recent[0][0]
    if len(recent) == 1:
        return oldest
    message = np.ones_like(oldest)
    for _, likelihood in reversed(recent[1:]):
        weighed = message * likelihood
        older = np.concatenate([weighed[:, 1:], weighed[:, -1:]], axis=1)
        ended = (lengths.successor @ weighed[:, 0])[:, None]
        message = (1 - lengths.hazard) * older + lengths.hazard * ended
        message /= message.max()
    smoothed = oldest * message
    smoothed /= smoothed.sum()
    return smoothed


def _changed(state: DecisionState, event: PhaseEvent, settings: LengthSettings) -> DecisionState:
    """Show the new phase, and learn from the one that is over."""
    lengths = state.lengths
    length_s = (event.onset_sample - state.shown_onset) / RATE_HZ
    before = {Phase.INHALE: INHALE, Phase.EXHALE: EXHALE}.get(state.last_phase)
    # What is taken back, and so lasted no time, teaches nothing, nor does what was not heard to its end.
    is_heard = length_s > 0 and state.shown_onset >= state.resumed_sample
    if settings.memory > 0 and before is not None and is_heard:
        if state.shown is not Phase.NONE:
            if length_s < LONGEST_S:
                lengths = lengths.heard(before, length_s, settings)
            lengths = lengths.followed(before, event.phase is Phase.NONE, settings)
        elif length_s < _LONGEST_LEARNED_PAUSE_S:
            pause = AFTER_INHALE if before == INHALE else AFTER_EXHALE
            lengths = lengths.heard(pause, length_s, settings)
    return replace(
        state,
        lengths=lengths,
        shown=event.phase,
        shown_onset=event.onset_sample,
        last_phase=state.last_phase if event.phase is Phase.NONE else event.phase,
    )
