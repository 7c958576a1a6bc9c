"""Durations to statistics: percentiles of the latest ones, without growing."""

from collections import deque
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
        self._durations_s: deque[float] = deque(maxlen=n_kept)

    def add(self, duration_s: float) -> None:
        """Take in one duration, seconds."""
        self._durations_s.append(duration_s)

    def summary(self) -> LatencySummary | None:
        """Statistics of what is kept; None before the first duration."""
        if not self._durations_s:
            return None
        ms = 1e3 * np.asarray(self._durations_s)
        p50, p90, p99 = np.percentile(ms, [50, 90, 99])
        return LatencySummary(len(ms), float(ms.mean()), float(p50), float(p90), float(p99), float(ms.max()))
