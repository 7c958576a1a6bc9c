"""What one window says about what is going on: the likelihood of every hidden state and age."""

import math

import numpy as np
from numpy.typing import NDArray

from engines.manifest import Emission, NormalByAge
from realtime.decision import DecisionSettings, DecisionState
from realtime.lengths import EXHALE, INHALE

# The weights are those of windows this far apart; closer ones share more of their sound and say less.
_WEIGHT_HOP_S = 0.1
# No single window is believed more than this: log odds, and likelihoods relative to the likeliest.
MOST_LOG_ODDS_OF_PHASE = 9.0
MOST_LOG_ODDS_OF_PRESENCE = 6.0
_LEAST_LOG_LIKELIHOOD = -12.0
# Sound under the gate speaks against both phases, and says nothing of the pauses.
_LOG_LIKELIHOOD_UNDER_GATE = -9.0
# The same without an emission.
_SUREST = 1e-3

Matrix = NDArray[np.float64]


class Evidence:
    """Turns P(exhale) and P(breath) into likelihoods for `decision.advance`.

    With an emission, a state is as likely as what was heard is usual for it at that age. Without one, all
    ages of a state are alike, and the networks' posteriors are divided by their priors.

    Args:
        emission: of the pack.
        settings: the weights are exponents of the likelihoods: windows overlap and are no independent
            witnesses.
        fresh: the filter that the likelihoods are for.
    """

    def __init__(self, emission: Emission | None, settings: DecisionSettings, fresh: DecisionState) -> None:
        self._settings = settings
        self._shape = fresh.belief.shape
        hop_s = fresh.lengths.hop_s
        self._share = hop_s / _WEIGHT_HOP_S
        self._columns: NDArray[np.int64] | None = None
        if emission is not None:
            # A state that is k hops old has begun within the k-th hop before the window's end.
            ages_s = (np.arange(self._shape[1]) + 0.5) * hop_s
            self._columns = np.searchsorted(np.asarray(emission.age_borders_s), ages_s)
            self._phase = _Normal(emission.phase, settings.phase_weight * self._share)
            self._presence = _Normal(emission.presence, settings.presence_weight * self._share)

    def likelihood(self, prob_exhale: float, prob_breath: float) -> Matrix:
        """Of every state and age, up to a factor, (4, n_ages) float64, above 0.

        Args:
            prob_exhale: 0-1.
            prob_breath: 0-1; exactly 0 under the gate.
        """
        if self._columns is None:
            return np.broadcast_to(self._by_posteriors(prob_exhale, prob_breath)[:, None], self._shape)
        if prob_breath <= 0:
            log_likelihood = np.zeros(self._shape)
            log_likelihood[[INHALE, EXHALE]] = _LOG_LIKELIHOOD_UNDER_GATE * self._share
            return np.exp(log_likelihood)
        by_range = self._phase.log_density(log_odds(prob_exhale, MOST_LOG_ODDS_OF_PHASE))
        by_range += self._presence.log_density(log_odds(prob_breath, MOST_LOG_ODDS_OF_PRESENCE))
        by_range = np.maximum(by_range - by_range.max(), _LEAST_LOG_LIKELIHOOD * self._share)
        likelihood: Matrix = np.exp(by_range)[:, self._columns]
        return likelihood

    def _by_posteriors(self, prob_exhale: float, prob_breath: float) -> Matrix:
        """(4,), see `likelihood`."""
        settings = self._settings
        exhale = min(max(prob_exhale, _SUREST), 1 - _SUREST)
        breath = min(max(prob_breath, _SUREST), 1 - _SUREST)
        present, absent = breath / settings.breath_share, (1 - breath) / (1 - settings.breath_share)
        phases = np.array([2 * (1 - exhale), 2 * exhale, 1.0, 1.0]) ** (settings.phase_weight * self._share)
        presence = np.array([present, present, absent, absent]) ** (settings.presence_weight * self._share)
        likelihood: Matrix = phases * presence
        return likelihood


class _Normal:
    """Weighted log densities of one number, for every state and range of ages."""

    def __init__(self, normal: NormalByAge, weight: float) -> None:
        self._mean, self._sd = np.asarray(normal.mean), np.asarray(normal.sd)
        self._log_sd = np.log(self._sd)
        self._weight = weight

    def log_density(self, value: float) -> Matrix:
        """(4, n_ranges), up to a constant."""
        density: Matrix = self._weight * (-0.5 * ((value - self._mean) / self._sd) ** 2 - self._log_sd)
        return density


def log_odds(prob: float, most: float) -> float:
    """Natural logarithm of the odds of a probability, 0-1, from -`most` to `most`."""
    if not 0 < prob < 1:
        return most if prob >= 1 else -most
    return min(max(math.log(prob / (1 - prob)), -most), most)
