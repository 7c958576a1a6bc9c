"""Rate and variability of cycles: pairs of samples at 16 kHz, where a breath began and where it ended."""

import math
from collections.abc import Sequence
from itertools import pairwise

from engines.contract import RATE_HZ


def rate_per_min(cycles: Sequence[tuple[int, int]]) -> float:
    """The inverse of the mean cycle, breaths a minute; of at least one cycle, (start, end) in samples."""
    return 60.0 * RATE_HZ * len(cycles) / sum(end - start for start, end in cycles)


def sdbb_s(cycles: Sequence[tuple[int, int]]) -> float | None:
    """Standard deviation (n - 1) of the breath-to-breath intervals, s: `RRV_SDBB` of NeuroKit2's `rsp_rrv`.

    NeuroKit2 gives it in milliseconds, and over a whole recording. None for fewer than two intervals.
    """
    if len(cycles) < 2:
        return None
    lengths = [(end - start) / RATE_HZ for start, end in cycles]
    mean = math.fsum(lengths) / len(lengths)
    return math.sqrt(math.fsum((length - mean) ** 2 for length in lengths) / (len(lengths) - 1))


def rmssd_s(cycles: Sequence[tuple[int, int]]) -> float | None:
    """Root mean square of successive differences of the intervals, s: `RRV_RMSSD` of NeuroKit2's `rsp_rrv`.

    Only of intervals that meet: those on two sides of a breath that did not count are not successive.
    """
    squares = [
        ((end - start - (before_end - before_start)) / RATE_HZ) ** 2
        for (before_start, before_end), (start, end) in pairwise(cycles)
        if start == before_end
    ]
    return math.sqrt(math.fsum(squares) / len(squares)) if squares else None
