"""Rows of breaths against the truth: how many are found, and how far their times are off.

Times of two observers are compared as Bland and Altman do (The Lancet 327(8476), 1986): the mean of the
differences is the bias, and nineteen of twenty differences lie within 1.96 standard deviations of it, the
limits of agreement.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from engines.contract import RATE_HZ
from realtime.breaths import BreathCounter, BreathSettings
from realtime.clock import seconds_from_samples
from realtime.events import Breath, Phase, PhaseEvent
from realtime.labels import PhaseInterval

POINTS_IN_TIME = ("inhale_onset_s", "exhale_onset_s")
"""Quantities of which only the differences mean something."""

MATCH_S = 0.5
"""Inhalations that begin so near each other belong to the same breath, s."""
_LIMITS = 1.96

Pair = tuple[Breath, Breath]
"""A true breath, and how it was shown."""


@dataclass(frozen=True)
class Quantity:
    """Something that a row of a breath says.

    Attributes:
        name: its key in the rows.
        label: for people.
        of: its value.
        unit: behind a number, with its space.
    """

    name: str
    label: str
    of: Callable[[Breath], float]
    unit: str = " s"

    def text(self, agreement: "Agreement") -> tuple[str, ...]:
        """For people: the bias, the limits of agreement, and the means; nothing where there are none."""
        if np.isnan(agreement.bias):
            return ("-",)
        low, high = agreement.limits
        lines = [f"{agreement.bias:+.2f}{self.unit}"]
        if not np.isnan(low):
            lines.append(f"{low:+.2f} to {high:+.2f}")
        if self.name not in POINTS_IN_TIME:
            lines.append(f"{agreement.mean_shown:.2f} for {agreement.mean_true:.2f}")
        return tuple(lines)


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("inhale_onset_s", "inhale onset", lambda one: seconds_from_samples(one.inhale_onset_sample)),
    Quantity("exhale_onset_s", "exhale onset", lambda one: seconds_from_samples(one.exhale_onset_sample)),
    Quantity("inhale_s", "inhalation (Ti)", lambda one: one.inhale_s),
    Quantity("inhale_pause_s", "pause after inhalation", lambda one: one.inhale_pause_s),
    Quantity("exhale_s", "exhalation (Te)", lambda one: one.exhale_s),
    Quantity("exhale_pause_s", "pause after exhalation", lambda one: one.exhale_pause_s),
    Quantity("cycle_s", "cycle", lambda one: one.cycle_s),
    Quantity("ie_ratio", "I:E ratio", lambda one: one.ie_ratio, unit=""),
    Quantity("rate_per_min", "rate", lambda one: one.rate_per_min, unit=" /min"),
)


@dataclass(frozen=True)
class Agreement:
    """One quantity over matched breaths; NaN where there are none.

    Attributes:
        mean_true: mean of the true values.
        mean_shown: of those in the rows.
        sd: standard deviation (n - 1) of the differences.
    """

    mean_true: float
    mean_shown: float
    sd: float

    @property
    def bias(self) -> float:
        """Mean of shown - true."""
        return self.mean_shown - self.mean_true

    @property
    def limits(self) -> tuple[float, float]:
        """Limits of agreement, lower and upper."""
        return self.bias - _LIMITS * self.sd, self.bias + _LIMITS * self.sd


@dataclass(frozen=True)
class BreathAgreement:
    """How far the rows of some streams agree with the truth.

    Attributes:
        n_true: complete breaths of the truth.
        n_shown: rows.
        n_matched: pairs of the two, one to one.
        by_quantity: by `Quantity.name`, over the pairs.
    """

    n_true: int
    n_shown: int
    n_matched: int
    by_quantity: Mapping[str, Agreement]

    @property
    def caption(self) -> str:
        """What was compared, in words."""
        return f"{self.n_matched} of {self.n_true} true breaths are found among {self.n_shown} rows"

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; null where a figure does not exist."""
        return {
            "n_true": self.n_true,
            "n_shown": self.n_shown,
            "n_matched": self.n_matched,
            **{
                name: {
                    "mean_true": _known(one.mean_true),
                    "mean_shown": _known(one.mean_shown),
                    "bias": _known(one.bias),
                    "sd_of_differences": _known(one.sd),
                    "limits_of_agreement": [_known(limit) for limit in one.limits],
                }
                for name, one in self.by_quantity.items()
            },
        }


def breath_agreement(streams: Iterable[tuple[Sequence[PhaseInterval], Sequence[Breath]]]) -> BreathAgreement:
    """Compare the rows of streams with their true phases.

    A row belongs to the true breath whose inhalation begins nearest, at most `MATCH_S` away, nearest pairs
    first and one to one. What counts as a breath in the truth is what counts as one live.

    Args:
        streams: true phases, in order of time, and rows of each.
    """
    n_true = n_shown = 0
    pairs: list[Pair] = []
    for truth, shown in streams:
        true = breaths_from_truth(truth)
        n_true, n_shown = n_true + len(true), n_shown + len(shown)
        pairs += _matched(true, shown)
    found = {quantity.name: _agreement(quantity, pairs) for quantity in QUANTITIES}
    return BreathAgreement(n_true, n_shown, len(pairs), found)


def breaths_from_truth(truth: Sequence[PhaseInterval]) -> list[Breath]:
    """The complete breaths of true phases."""
    counter = BreathCounter(BreathSettings())
    breaths: list[Breath] = []
    for phase, following in zip_longest(truth, truth[1:]):
        begins = PhaseEvent(phase.phase, phase.start_sample, phase.start_sample, 1.0)
        breaths += (row for row in counter.push(begins) if isinstance(row, Breath))
        if following is None or following.start_sample > phase.end_sample:
            counter.push(PhaseEvent(Phase.NONE, phase.end_sample, phase.end_sample, 1.0))
    return breaths


def _matched(true: Sequence[Breath], shown: Sequence[Breath]) -> list[Pair]:
    onsets = (
        np.array([breath.inhale_onset_sample for breath in breaths], np.int64) for breaths in (true, shown)
    )
    true_onsets, shown_onsets = onsets
    reach = round(MATCH_S * RATE_HZ)
    firsts = np.searchsorted(shown_onsets, true_onsets - reach, side="left").tolist()
    ends = np.searchsorted(shown_onsets, true_onsets + reach, side="right").tolist()
    near = [
        (abs(int(true_onsets[one]) - int(shown_onsets[other])), one, other)
        for one, (first, end) in enumerate(zip(firsts, ends, strict=True))
        for other in range(first, end)
    ]
    pairs: list[Pair] = []
    taken: tuple[set[int], set[int]] = (set(), set())
    for _, one, other in sorted(near):
        if one not in taken[0] and other not in taken[1]:
            taken[0].add(one)
            taken[1].add(other)
            pairs.append((true[one], shown[other]))
    return pairs


def _agreement(quantity: Quantity, pairs: Sequence[Pair]) -> Agreement:
    if not pairs:
        return Agreement(np.nan, np.nan, np.nan)
    values = np.array([[quantity.of(breath) for breath in pair] for pair in pairs])
    differences = values[:, 1] - values[:, 0]
    sd = float(differences.std(ddof=1)) if len(pairs) > 1 else np.nan
    mean_true, mean_shown = values.mean(axis=0).tolist()
    return Agreement(mean_true, mean_shown, sd)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
