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


@dataclass(frozen=True)
class Observation:
    """What one window says, as the decision hears it.

    Attributes:
        prob_exhale: P(exhale) of the networks, 0-1.
        prob_breath: P(breath) by the networks and, as against the loudest sound of late, its level; 0-1, and
            exactly 0 under the gate.
        rise_db: how much louder the newest sound is than it was shortly before, `presence.rise_from_window`.
    """

    prob_exhale: float
    prob_breath: float
    rise_db: float = 0.0


@dataclass(frozen=True, eq=False)
class _Normals:
    """`NormalByAge` as arrays, (4, n_ranges) float64; deviations that are alike at all ages, (4, 1)."""

    mean: Matrix
    sd: Matrix
    log_sd: Matrix

    @classmethod
    def of(cls, normal: NormalByAge) -> Self:
        sd = np.asarray(normal.sd)
        return cls(np.asarray(normal.mean), sd, np.log(sd))

    def log_density(self, value: float) -> Matrix:
        """(4, n_ranges), up to a constant."""
        density: Matrix = -0.5 * ((value - self.mean) / self.sd) ** 2 - self.log_sd
        return density


@dataclass(frozen=True, eq=False)
class Evidence:
    """Turns what a window says into likelihoods for `decision.advance`.

    With an emission, a state is as likely as what was heard is usual for it at that age. Without one, all
    ages of a state are alike, and the networks' posteriors are divided by their priors.

    Attributes:
        settings: the weights are exponents of the likelihoods: windows overlap and are no independent
            witnesses.
        hops: the weights are those of so many windows, a hop apart.
        emission: phase, presence and rise of the pack's emission, the last None if it was fitted before
            schema 3; None: nobody has fitted it.
        overlap: (n_ranges, n_ages) share of each range of the emission in each age in hops; columns sum to 1.
    """

    settings: DecisionSettings
    hops: float
    emission: tuple[_Normals, _Normals, _Normals | None] | None
    overlap: Matrix

    @classmethod
    def of(cls, emission: Emission | None, settings: DecisionSettings, fresh: DecisionState) -> Self:
        """Evidence for the filter `fresh`."""
        n_ages, hop_s = fresh.belief.shape[1], fresh.lengths.hop_s
        borders: tuple[float, ...] = ()
        normals = None
        if emission is not None:
            borders = emission.age_borders_s
            rise = None if emission.rise is None else _Normals.of(emission.rise)
            normals = _Normals.of(emission.phase), _Normals.of(emission.presence), rise
        # A state that is k hops old has begun within the k-th hop before the window's end.
        edges = samples_from_seconds(hop_s) * np.arange(n_ages + 1)
        ends = np.array([*(round(border * RATE_HZ) for border in borders), edges[-1]])
        starts = np.array([0, *ends[:-1]])
        within = np.minimum(ends[:, None], edges[1:]) - np.maximum(starts[:, None], edges[:-1])
        overlap = np.clip(within, 0, None) / np.diff(edges)
        return cls(settings, hop_s / _WEIGHT_HOP_S, normals, overlap)

    def likelihood(self, heard: Observation) -> Matrix:
        """Of every state and age, up to a factor, (4, n_ages) float64, above 0."""
        if self.emission is None:
            by_range = self._by_posteriors(heard)
        elif heard.prob_breath <= 0:
            by_range = np.ones((N_STATES, len(self.overlap)))
            by_range[[INHALE, EXHALE]] = math.exp(_LOG_LIKELIHOOD_UNDER_GATE * self.hops)
        else:
            by_range = self._by_emission(*self.emission, heard)
        likelihood: Matrix = by_range @ self.overlap
        return likelihood

    def _by_emission(
        self, phase: _Normals, presence: _Normals, rise: _Normals | None, heard: Observation
    ) -> Matrix:
        """(4, n_ranges), 1 at most."""
        most, settings = _MOST_LOG_ODDS_OF_PRESENCE, self.settings
        breath = min(max(log_odds(heard.prob_breath), -most), most) - settings.presence_caution
        log_likelihood = settings.phase_weight * phase.log_density(log_odds(heard.prob_exhale))
        log_likelihood += settings.presence_weight * presence.log_density(breath)
        if rise is not None:
            log_likelihood += settings.rise_weight * rise.log_density(heard.rise_db)
        log_likelihood = np.maximum(log_likelihood - log_likelihood.max(), _LEAST_LOG_LIKELIHOOD)
        likelihood: Matrix = np.exp(self.hops * log_likelihood)
        return likelihood

    def _by_posteriors(self, heard: Observation) -> Matrix:
        """(4, 1), see `likelihood`."""
        settings = self.settings
        exhale = min(max(heard.prob_exhale, _SUREST), 1 - _SUREST)
        breath = min(max(heard.prob_breath, _SUREST), 1 - _SUREST)
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
