"""How long phases and pauses last: what is known of everybody, and what is learned of who is breathing."""

import functools
import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.manifest import N_STATES

INHALE, EXHALE, AFTER_INHALE, AFTER_EXHALE = range(4)
"""The hidden states: two phases, and the pauses that follow them."""

LogNormal = tuple[float, float, float]
"""Weight, median in seconds, standard deviation of the logarithm."""

# Fast: the labelled phases of ten HF_Lung_V1 recordings (Hsu et al., PLoS ONE 2021). Slow: breathing at rest,
# inhalations of 1 to 2 s, exhalations of 1.5 to 3 s, pauses of 0.3 to 2 s. The last one is nobody breathing.
EVERYBODY: tuple[tuple[LogNormal, ...], ...] = (
    ((0.6, 0.69, 0.28), (0.4, 1.4, 0.3)),
    ((0.6, 0.73, 0.35), (0.4, 2.1, 0.3)),
    ((0.85, 0.09, 0.7), (0.15, 1.3, 0.8)),
    ((0.5, 0.11, 0.8), (0.35, 0.8, 0.7), (0.15, 4.0, 0.8)),
)

LONGEST_S = 6.0
# Pauses vary more from breath to breath than phases do.
_PAUSE_SIGMA = 2.5
_SHORTEST_S = 0.04
# Shares that were counted this often before anything was heard; each newer one counts a little more.
_PRIOR_COUNT, _SHARE_FORGETTING, _SHARE_STEP = 4.0, 0.9, 0.4
# However long nothing else was heard: what is impossible no evidence could ever show.
_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class LengthSettings:
    """What is believed of lengths.

    Attributes:
        pause_after_inhale: probability that a pause, and not the next phase at once, follows an inhalation.
        pause_after_exhale: likewise an exhalation.
        repeat_share: probability that after a pause the same phase comes again.
        sigma: standard deviation of the logarithm of one breather's lengths.
        prior_breaths: what everybody's lengths count for, in breaths heard.
        memory: what a length counts for once the next of its kind is heard, 0-1; 0 learns nothing.
    """

    pause_after_inhale: float = 0.3
    pause_after_exhale: float = 0.9
    repeat_share: float = 0.01
    sigma: float = 0.3
    prior_breaths: float = 0.25
    memory: float = 0.9


@dataclass(frozen=True, eq=False)
class Lengths:
    """What is believed now; a value that `heard` replaces.

    Attributes:
        hazard: (4, n_ages) float64, probability that a state of this age ends within the next hop.
        successor: (4, 4) float64, probability of the state that follows; rows sum to one.
        counts: (4,) float64, lengths heard of each state, older ones counting less.
        log_means: (4,) float64, mean of their logarithms.
        pause_counts: (2, 2) float64, how often no pause and a pause followed each phase.
        hop_s: seconds between two ages.
    """

    hazard: NDArray[np.float64]
    successor: NDArray[np.float64]
    counts: NDArray[np.float64]
    log_means: NDArray[np.float64]
    pause_counts: NDArray[np.float64]
    hop_s: float

    @classmethod
    def initial(cls, settings: LengthSettings, hop_s: float) -> Self:
        """Nothing heard yet: as everybody."""
        shares = np.array([settings.pause_after_inhale, settings.pause_after_exhale])
        pause_counts = _PRIOR_COUNT * np.stack([1 - shares, shares], axis=1)
        return cls._believing(np.zeros(N_STATES), np.zeros(N_STATES), pause_counts, settings, hop_s)

    @classmethod
    def _believing(
        cls,
        counts: NDArray[np.float64],
        log_means: NDArray[np.float64],
        pause_counts: NDArray[np.float64],
        settings: LengthSettings,
        hop_s: float,
    ) -> Self:
        survival = _survival_of_everybody(hop_s).copy()
        for state in np.flatnonzero(counts):
            share = counts[state] / (counts[state] + settings.prior_breaths)
            sigma = settings.sigma * (1.0 if state in (INHALE, EXHALE) else _PAUSE_SIGMA)
            own = _survival(((1.0, math.exp(log_means[state]), sigma),), hop_s)
            survival[state] = share * own + (1 - share) * survival[state]
        alive = np.maximum(survival[:, :-1], 1e-12)
        hazard = np.clip(1.0 - survival[:, 1:] / alive, 1e-4, 1.0 - 1e-4)
        shares = np.maximum(pause_counts / pause_counts.sum(axis=1, keepdims=True), _LEAST_SHARE)
        shares /= shares.sum(axis=1, keepdims=True)
        successor = np.zeros((N_STATES, N_STATES))
        successor[INHALE, [EXHALE, AFTER_INHALE]] = shares[0]
        successor[EXHALE, [INHALE, AFTER_EXHALE]] = shares[1]
        repeat = settings.repeat_share
        successor[AFTER_INHALE, [INHALE, EXHALE]] = repeat, 1 - repeat
        successor[AFTER_EXHALE, [EXHALE, INHALE]] = repeat, 1 - repeat
        return cls(hazard, successor, counts, log_means, pause_counts, hop_s)

    def heard(self, state: int, length_s: float, settings: LengthSettings) -> Self:
        """After a phase or a pause of this length."""
        counts, log_means = self.counts.copy(), self.log_means.copy()
        old = counts[state] * settings.memory
        log_length = math.log(max(length_s, _SHORTEST_S))
        log_means[state] = (log_means[state] * old + log_length) / (old + 1)
        counts[state] = old + 1
        return self._believing(counts, log_means, self.pause_counts, settings, self.hop_s)

    def followed(self, phase: int, by_pause: bool, settings: LengthSettings) -> Self:
        """After a phase (`INHALE` or `EXHALE`) was, or was not, followed by a pause."""
        pause_counts = self.pause_counts.copy()
        pause_counts[phase] *= _SHARE_FORGETTING
        pause_counts[phase, int(by_pause)] += _SHARE_STEP
        return self._believing(self.counts, self.log_means, pause_counts, settings, self.hop_s)


@functools.cache
def _survival_of_everybody(hop_s: float) -> NDArray[np.float64]:
    return np.stack([_survival(mixture, hop_s) for mixture in EVERYBODY])


def _survival(mixture: tuple[LogNormal, ...], hop_s: float) -> NDArray[np.float64]:
    """(n_ages + 1,) probability of lasting 0, 1, ... hops at least."""
    total = sum(weight for weight, _, _ in mixture)
    values = [1.0]
    for age in range(1, max(2, round(LONGEST_S / hop_s)) + 1):
        log_s = math.log(age * hop_s)
        values.append(
            sum(
                weight / total * 0.5 * math.erfc((log_s - math.log(median_s)) / (sigma * math.sqrt(2.0)))
                for weight, median_s, sigma in mixture
            )
        )
    return np.array(values)
