"""How well the shown phases follow the truth: instants, segments, onsets, calibration. Pure functions.

Times are sample indices at 16 kHz. Scores are computed from counts over the last axes, so that the counts of
several recordings can be added, or stacked, before. A score that does not exist (nothing to find and nothing
shown) is NaN.
"""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engines.contract import RATE_HZ
from realtime.events import Frame, Phase, PhaseEvent
from realtime.labels import PhaseInterval

PHASES: tuple[Phase, ...] = (Phase.NONE, Phase.INHALE, Phase.EXHALE)
BREATH_PHASES: tuple[Phase, ...] = (Phase.INHALE, Phase.EXHALE)
CODES: dict[Phase, int] = {phase: code for code, phase in enumerate(PHASES)}

GRID_SAMPLES = RATE_HZ // 100
SEGMENT_SAMPLES = RATE_HZ // 10
N_CONFIDENCE_BINS = 15

Codes = NDArray[np.int8]
Counts = NDArray[np.int64]
Scores = NDArray[np.float64]


def codes_from_intervals(
    intervals: Iterable[PhaseInterval], n_samples: int, step_samples: int = GRID_SAMPLES
) -> Codes:
    """The phase at the instants 0, `step_samples`, ... below `n_samples`, as its place in `PHASES`.

    An interval holds its start and not its end; where intervals overlap, the later one of the list counts.
    """
    codes = np.zeros(_ceil(n_samples, step_samples), np.int8)
    for interval in intervals:
        first, end = _ceil(interval.start_sample, step_samples), _ceil(interval.end_sample, step_samples)
        codes[max(0, first) : max(0, end)] = CODES[interval.phase]
    return codes


def codes_from_frames(frames: Sequence[Frame], n_samples: int, step_samples: int = GRID_SAMPLES) -> Codes:
    """What is shown at the same instants: the newest frame with `end_sample` <= t, none before the first."""
    ends = np.array([frame.end_sample for frame in frames], np.int64)
    codes = np.array([0] + [CODES[frame.phase] for frame in frames], np.int8)
    instants = step_samples * np.arange(_ceil(n_samples, step_samples))
    return codes[np.searchsorted(ends, instants, side="right")]


def confusion_from_codes(truth: Codes, shown: Codes) -> Counts:
    """(3, 3) int64: instants of each true phase (row) by the phase shown (column), both as in `PHASES`."""
    n_phases = len(PHASES)
    pairs = n_phases * truth.astype(np.int64) + shown
    return np.bincount(pairs, minlength=n_phases**2).reshape(n_phases, n_phases)


def f1_from_confusion(confusion: ArrayLike) -> Scores:
    """F1 of each class, 0-1: (..., k, k) counts, rows true, columns shown -> (..., k)."""
    table = np.asarray(confusion, np.float64)
    hits = np.diagonal(table, axis1=-2, axis2=-1)
    return ratio(2 * hits, table.sum(axis=-1) + table.sum(axis=-2))


def f1_from_counts(counts: ArrayLike) -> Scores:
    """F1, 0-1: (..., 3) counts of hits, false alarms and misses -> (...)."""
    table = np.asarray(counts, np.float64)
    return ratio(2 * table[..., 0], 2 * table[..., 0] + table[..., 1] + table[..., 2])


def mean_of_known(scores: ArrayLike) -> Scores:
    """Mean over the last axis of the scores that exist; NaN where none does."""
    values = np.asarray(scores, np.float64)
    is_known = ~np.isnan(values)
    return ratio(np.where(is_known, values, 0).sum(axis=-1), is_known.sum(axis=-1))


def intervals_from_events(events: Sequence[PhaseEvent], n_samples: int) -> list[PhaseInterval]:
    """The shown inhalations and exhalations, each from its report to the next one or the end of the sound."""
    borders = [*(event.reported_sample for event in events), n_samples]
    return [
        PhaseInterval(start, end, event.phase)
        for event, (start, end) in zip(events, itertools.pairwise(borders), strict=True)
        if event.phase is not Phase.NONE
    ]


def segment_counts(
    truth: Sequence[PhaseInterval],
    shown: Sequence[PhaseInterval],
    n_samples: int,
    segment_samples: int = SEGMENT_SAMPLES,
) -> Counts:
    """(2, 3) int64: hits, false alarms and misses of inhale and exhale, in segments of 0.1 s.

    A phase is active in a segment that it touches at all; both phases may be active in one. This is the
    segment-based measure of Mesaros, Heittola and Virtanen, Metrics for Polyphonic Sound Event Detection,
    Applied Sciences 6(6), 2016, class by class, as in their `sed_eval`.
    """
    table = np.zeros((len(BREATH_PHASES), 3), np.int64)
    for row, phase in enumerate(BREATH_PHASES):
        is_true, is_shown = (_active(side, phase, n_samples, segment_samples) for side in (truth, shown))
        table[row] = [(is_true & is_shown).sum(), (~is_true & is_shown).sum(), (is_true & ~is_shown).sum()]
    return table


def matched_onsets(
    truth: Sequence[int], shown: Sequence[int], early_samples: int, late_samples: int
) -> list[tuple[int, int]]:
    """Pairs (place in `truth`, place in `shown`) of onsets of one phase, one to one.

    An onset may be matched if it is shown at most `early_samples` before and `late_samples` after the true
    one, limits included. As many as possible are matched, and of all ways to do that the one with the
    smallest sum of distances is taken. Needs SciPy.
    """
    if not len(truth) or not len(shown):
        return []
    from scipy.optimize import linear_sum_assignment

    delays = np.asarray(shown, np.float64)[None, :] - np.asarray(truth, np.float64)[:, None]
    is_allowed = (delays >= -early_samples) & (delays <= late_samples)
    # One forbidden pair costs more than all allowed ones together, so that matches come first.
    forbidden = 1.0 + (early_samples + late_samples) * min(delays.shape)
    rows, columns = linear_sum_assignment(np.where(is_allowed, np.abs(delays), forbidden))
    return [
        (int(row), int(column)) for row, column in zip(rows, columns, strict=True) if is_allowed[row, column]
    ]


def onset_counts(n_matched: int, n_true: int, n_shown: int) -> Counts:
    """(3,) int64: hits, false alarms and misses."""
    return np.array([n_matched, n_shown - n_matched, n_true - n_matched], np.int64)


def stretches_without_breath(
    truth: Sequence[PhaseInterval], n_samples: int, min_samples: int
) -> list[tuple[int, int]]:
    """Start and end of every stretch of at least `min_samples` without a true phase."""
    phases = sorted((interval.start_sample, interval.end_sample) for interval in truth)
    stretches: list[tuple[int, int]] = []
    start = 0
    for next_start, next_end in [*phases, (n_samples, n_samples)]:
        if next_start - start >= max(1, min_samples):
            stretches.append((start, next_start))
        start = max(start, next_end)
    return stretches


def confidence_bins(confidence: ArrayLike, is_right: ArrayLike) -> Scores:
    """(3, 15): number, sum of confidence and number right, in bins of equal width over (0, 1]; they add up.

    Args:
        confidence: (N,) probability of what was decided for, 0-1.
        is_right: (N,) whether that was so.
    """
    said = np.asarray(confidence, np.float64)
    bins = np.clip(np.ceil(said * N_CONFIDENCE_BINS).astype(np.int64) - 1, 0, N_CONFIDENCE_BINS - 1)
    columns = (np.ones_like(said), said, np.asarray(is_right, np.float64))
    return np.stack([np.bincount(bins, weights=column, minlength=N_CONFIDENCE_BINS) for column in columns])


def calibration_error(bins: ArrayLike) -> Scores:
    """Mean |share right - confidence| of the bin, 0-1: (..., 3, 15) as of `confidence_bins` -> (...).

    Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017, equations 3 and 5.
    """
    table = np.asarray(bins, np.float64)
    surplus = np.abs(table[..., 2, :] - table[..., 1, :]).sum(axis=-1)
    return ratio(surplus, table[..., 0, :].sum(axis=-1))


def ratio(over: ArrayLike, under: ArrayLike) -> Scores:
    """Quotient, broadcast; NaN where there is nothing to divide by."""
    above, below = np.broadcast_arrays(np.asarray(over, np.float64), np.asarray(under, np.float64))
    result: Scores = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result


def _active(
    intervals: Iterable[PhaseInterval], phase: Phase, n_samples: int, segment_samples: int
) -> NDArray[np.bool_]:
    is_active = np.zeros(_ceil(n_samples, segment_samples), np.bool_)
    for interval in intervals:
        if interval.phase is phase and interval.end_sample > interval.start_sample:
            first, end = interval.start_sample // segment_samples, _ceil(interval.end_sample, segment_samples)
            is_active[max(0, first) : max(0, end)] = True
    return is_active


def _ceil(samples: int, step_samples: int) -> int:
    return -(-samples // step_samples)
