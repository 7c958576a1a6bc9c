"""Durations to statistics: percentiles of the latest ones, without growing."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LatencySummary:
    """Statistics of a series of durations, milliseconds."""

    n: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


class LatencyMeter:
    """Keeps the latest durations, 4,096 by default, and summarises them on request."""

    def __init__(self, n_kept: int = 4096) -> None:
        # All of its room from the start: a program that runs for hours must not look as if it grew.
        self._durations_s = np.full(n_kept, np.nan)
        self._n_added = 0

    def add(self, duration_s: float) -> None:
        """Take in one duration, seconds."""
        self._durations_s[self._n_added % len(self._durations_s)] = duration_s
        self._n_added += 1

    def summary(self) -> LatencySummary | None:
        """Statistics of what is kept; None before the first duration."""
        if not self._n_added:
            return None
        ms = 1e3 * self._durations_s[: self._n_added]
        p50, p90, p99 = np.percentile(ms, [50, 90, 99])
        return LatencySummary(len(ms), float(ms.mean()), float(p50), float(p90), float(p99), float(ms.max()))
