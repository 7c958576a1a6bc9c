"""Durations to the numbers that are quoted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Distribution:
    """Statistics of a series of durations.

    Attributes:
        n: durations in the series, at least 1.
        min: shortest, milliseconds; `mean`, the percentiles `p50` (the median) to `p99` and `max` likewise.
        cv: coefficient of variation, standard deviation over mean; 0 where the mean is 0.
        per_s: throughput, how many fit in a second one after another: 1000 / mean; infinite where that is 0.
    """

    n: int
    min: float
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float
    cv: float
    per_s: float

    def to_json(self) -> dict[str, float | int | None]:
        """The same by name; an infinite throughput, of which JSON knows nothing, as None."""
        return {**asdict(self), "per_s": self.per_s if np.isfinite(self.per_s) else None}


def distribution_from_durations(durations_s: Sequence[float] | NDArray[np.float64]) -> Distribution:
    """Statistics of durations in seconds, at least one; percentiles are interpolated linearly."""
    ms = 1e3 * np.asarray(durations_s, dtype=np.float64)
    p50, p90, p95, p99 = (float(value) for value in np.percentile(ms, [50, 90, 95, 99]))
    mean = float(ms.mean())
    return Distribution(
        n=len(ms),
        min=float(ms.min()),
        mean=mean,
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        max=float(ms.max()),
        cv=float(ms.std()) / mean if mean > 0 else 0.0,
        per_s=1e3 / mean if mean > 0 else float("inf"),
    )


def drift_from_durations(durations_s: Sequence[float] | NDArray[np.float64]) -> float:
    """By what share the median of the second half exceeds that of the first; 0 for a single one."""
    half = len(durations_s) // 2
    if half == 0:
        return 0.0
    first, second = float(np.median(durations_s[:half])), float(np.median(durations_s[half:]))
    return second / first - 1.0 if first > 0 else 0.0
