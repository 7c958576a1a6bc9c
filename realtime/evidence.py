"""What one window says about what is going on: the likelihood of every hidden state and age."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from engines.contract import RATE_HZ
from engines.manifest import N_STATES, Emission, NormalByAge
from realtime.clock import samples_from_seconds
from realtime.decision import DecisionSettings, DecisionState, Matrix
from realtime.lengths import EXHALE, INHALE

# The weights are those of windows this far apart; closer ones share more of their sound and say less.
_WEIGHT_HOP_S = 0.1
# No single window is believed more than this: without an emission probabilities, with one log odds, and
# likelihoods relative to the likeliest.
_SUREST = 1e-3
_MOST_LOG_ODDS = 9.0
_LEAST_LOG_LIKELIHOOD = -12.0
# A breath may be loud for longer than those of the streams were: above this, presence says nothing more, lest
# an old phase be taken for a new one.
_MOST_LOG_ODDS_OF_PRESENCE = 2.5
# Sound under the gate speaks against both phases, and says nothing of the pauses.
_LOG_LIKELIHOOD_UNDER_GATE = -9.0


@dataclass(frozen=True, eq=False)
class _Normals:
    """`NormalByAge` as arrays: (4, n_ranges) and (4, 1) float64."""

    mean: Matrix
    sd: Matrix
    log_sd: Matrix

    @classmethod
    def of(cls, normal: NormalByAge) -> Self:
        sd = np.asarray(normal.sd)[:, None]
        return cls(np.asarray(normal.mean), sd, np.log(sd))

    def log_density(self, value: float) -> Matrix:
        """(4, n_ranges), up to a constant."""
        density: Matrix = -0.5 * ((value - self.mean) / self.sd) ** 2 - self.log_sd
        return density


@dataclass(frozen=True, eq=False)
class Evidence:
    """Turns P(exhale) and P(breath) into likelihoods for `decision.advance`.

    With an emission, a state is as likely as what was heard is usual for it at that age. Without one, all
    ages of a state are alike, and the networks' posteriors are divided by their priors.

    Attributes:
        settings: the weights are exponents of the likelihoods: windows overlap and are no independent
            witnesses.
        hops: the weights are those of so many windows, a hop apart.
        emission: phase and presence of the pack's emission; None: nobody has fitted it.
        overlap: (n_ranges, n_ages) share of each range of the emission in each age in hops; columns sum to 1.
    """

    settings: DecisionSettings
    hops: float
    emission: tuple[_Normals, _Normals] | None
    overlap: Matrix

    @classmethod
    def of(cls, emission: Emission | None, settings: DecisionSettings, fresh: DecisionState) -> Self:
        """Evidence for the filter `fresh`."""
        n_ages, hop_s = fresh.belief.shape[1], fresh.lengths.hop_s
        borders: tuple[float, ...] = ()
        normals = None
        if emission is not None:
            borders = emission.age_borders_s
            normals = _Normals.of(emission.phase), _Normals.of(emission.presence)
        # A state that is k hops old has begun within the k-th hop before the window's end.
        edges = samples_from_seconds(hop_s) * np.arange(n_ages + 1)
        ends = np.array([*(round(border * RATE_HZ) for border in borders), edges[-1]])
        starts = np.array([0, *ends[:-1]])
        within = np.minimum(ends[:, None], edges[1:]) - np.maximum(starts[:, None], edges[:-1])
        overlap = np.clip(within, 0, None) / np.diff(edges)
        return cls(settings, hop_s / _WEIGHT_HOP_S, normals, overlap)

    def likelihood(self, prob_exhale: float, prob_breath: float) -> Matrix:
        """Of every state and age, up to a factor, (4, n_ages) float64, above 0.

        Args:
            prob_exhale: 0-1.
            prob_breath: 0-1; exactly 0 under the gate.
        """
        if self.emission is None:
            by_range = self._by_posteriors(prob_exhale, prob_breath)
        elif prob_breath <= 0:
            by_range = np.ones((N_STATES, len(self.overlap)))
            by_range[[INHALE, EXHALE]] = math.exp(_LOG_LIKELIHOOD_UNDER_GATE * self.hops)
        else:
            by_range = self._by_emission(*self.emission, prob_exhale, prob_breath)
        likelihood: Matrix = by_range @ self.overlap
        return likelihood

    def _by_emission(
        self, phase: _Normals, presence: _Normals, prob_exhale: float, prob_breath: float
    ) -> Matrix:
        """(4, n_ranges), 1 at most."""
        most, settings = _MOST_LOG_ODDS_OF_PRESENCE, self.settings
        breath = min(max(log_odds(prob_breath), -most), most) - settings.presence_caution
        log_likelihood = settings.phase_weight * phase.log_density(log_odds(prob_exhale))
        log_likelihood += settings.presence_weight * presence.log_density(breath)
        log_likelihood = np.maximum(log_likelihood - log_likelihood.max(), _LEAST_LOG_LIKELIHOOD)
        likelihood: Matrix = np.exp(self.hops * log_likelihood)
        return likelihood

    def _by_posteriors(self, prob_exhale: float, prob_breath: float) -> Matrix:
        """(4, 1), see `likelihood`."""
        settings = self.settings
        exhale = min(max(prob_exhale, _SUREST), 1 - _SUREST)
        breath = min(max(prob_breath, _SUREST), 1 - _SUREST)
        present, absent = breath / settings.breath_share, (1 - breath) / (1 - settings.breath_share)
        phases = np.array([2 * (1 - exhale), 2 * exhale, 1.0, 1.0]) ** (settings.phase_weight * self.hops)
        presence = np.array([present, present, absent, absent]) ** (settings.presence_weight * self.hops)
        likelihood: Matrix = (phases * presence)[:, None]
        return likelihood


def log_odds(prob: float) -> float:
    """Natural logarithm of the odds of a probability, 0-1, at most 9 and at least -9."""
    if not 0 < prob < 1:
        return _MOST_LOG_ODDS if prob >= 1 else -_MOST_LOG_ODDS
    return min(max(math.log(prob / (1 - prob)), -_MOST_LOG_ODDS), _MOST_LOG_ODDS)
