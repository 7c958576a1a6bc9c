"""The scrolling traces of P(exhale) and of the sound: kept in steps of 0.1 s, drawn with Braille dots."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from realtime.events import Frame, Phase
from realtime.sinks.level import share_from_dbfs

COLUMN_SAMPLES = RATE_HZ // 10
COLUMNS_PER_CELL = 2
_DOTS_PER_ROW = 4
_KEPT_COLUMNS = 1024

# Bit of each dot in U+2800, by row from the top and by column (The Unicode Standard, Braille Patterns).
_DOT_BITS = np.array(((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80)))


# Of each column, counted from the top: the first dot that is set, and the one behind the last; (n,) both.
Dots = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Column:
    """P(exhale), and how large the sound was, within 0.1 s of the stream.

    Attributes:
        index: which 0.1 s since the start of the stream.
        lowest: smallest P(exhale) within it, 0-1.
        highest: largest.
        phase: shown at its end.
        peak: largest absolute sample within it, full scale = 1.
    """

    index: int
    lowest: float
    highest: float
    phase: Phase
    peak: float = 0.0


@dataclass(frozen=True)
class Picture:
    """A trace as characters.

    Attributes:
        rows: top first, one character a cell.
        phases: of the cells, oldest first; None where nothing was heard.
    """

    rows: list[str]
    phases: list[Phase | None]


def extended(
    trace: tuple[Column, ...], frame: Frame, hop_samples: int, newest: NDArray[np.float32]
) -> tuple[Column, ...]:
    """The trace with one more frame, and the sound that came with it; the oldest columns go.

    A long hop, or windows that were skipped, fill the columns between; after a gap of the sound, which takes
    the answers away for a second at least, they stay away.

    Args:
        trace: oldest first.
        frame: the newest one.
        hop_samples: distance of two frames, samples at 16 kHz.
        newest: (n,) the sound up to the frame, full scale = [-1, 1].
    """
    index = (frame.end_sample - 1) // COLUMN_SAMPLES
    prob = frame.prob_exhale
    if trace and trace[-1].index == index:
        last = trace[-1]
        lowest, highest = min(last.lowest, prob), max(last.highest, prob)
        peak = max(last.peak, _peak(newest, frame.end_sample, index))
        merged = Column(index, lowest, highest, frame.phase, peak)
        return (*trace[:-1], merged)
    first = index
    most = max(hop_samples + COLUMN_SAMPLES, WINDOW_SAMPLES)
    if trace and (index - trace[-1].index) * COLUMN_SAMPLES < most:
        first = trace[-1].index + 1
    new = tuple(
        Column(i, prob, prob, frame.phase, _peak(newest, frame.end_sample, i))
        for i in range(first, index + 1)
    )
    return (trace + new)[-_KEPT_COLUMNS:]


def picture_from_trace(trace: Sequence[Column], n_cells: int, n_rows: int) -> Picture:
    """Draw the newest part of a trace.

    Breath is an area between 0.5 and P(exhale): exhalation above, inhalation below. Without breath only a
    line is drawn. Two columns share a cell, always the same two, so that nothing shimmers while it scrolls.

    Args:
        trace: oldest first.
        n_cells: width, characters.
        n_rows: height, characters.
    """
    return _picture(trace, n_cells, n_rows, _dots_of_probs)


def wave_from_trace(trace: Sequence[Column], n_cells: int, n_rows: int) -> Picture:
    """Draw how large the sound was, around the middle: full scale is all of the height, -80 dB none of it.

    In dB, because breath is far below full scale. Cells as in `picture_from_trace`, below which they stand.
    """
    return _picture(trace, n_cells, n_rows, _dots_of_sound)


def _picture(
    trace: Sequence[Column], n_cells: int, n_rows: int, dots: Callable[[Sequence[Column], int], Dots]
) -> Picture:
    newest_cell = trace[-1].index // COLUMNS_PER_CELL if trace else 0
    first_column = (newest_cell - n_cells + 1) * COLUMNS_PER_CELL
    n_columns, n_dots = n_cells * COLUMNS_PER_CELL, n_rows * _DOTS_PER_ROW
    # As many as there is room for are enough: each has an index of its own.
    shown = [column for column in trace[-n_columns:] if column.index >= first_column]
    at = [column.index - first_column for column in shown]
    phases: list[Phase | None] = [None] * n_cells
    for place, column in zip(at, shown, strict=True):
        phases[place // COLUMNS_PER_CELL] = column.phase
    is_set = np.zeros((n_dots, n_columns), bool)
    first, stop = dots(shown, n_dots)
    number = np.arange(n_dots)[:, None]
    is_set[:, at] = (number >= first) & (number < stop)
    by_cell = is_set.reshape(n_rows, _DOTS_PER_ROW, n_cells, COLUMNS_PER_CELL)
    bits = (by_cell * _DOT_BITS[:, None]).sum(axis=(1, 3))
    letters = np.where(bits, 0x2800 + bits, ord(" ")).astype("<u4")
    return Picture([row.tobytes().decode("utf-32-le") for row in letters], phases)


def _dots_of_probs(columns: Sequence[Column], n_dots: int) -> Dots:
    is_breath = np.array([column.phase is not Phase.NONE for column in columns], bool)
    lowest = np.array([column.lowest for column in columns])
    highest = np.array([column.highest for column in columns])
    lowest = np.where(is_breath, np.minimum(lowest, 0.5), lowest)
    highest = np.where(is_breath, np.maximum(highest, 0.5), highest)
    first = np.minimum(n_dots - 1, np.floor((1.0 - highest) * n_dots))
    return first, np.maximum(first + 1, np.ceil((1.0 - lowest) * n_dots))


def _dots_of_sound(columns: Sequence[Column], n_dots: int) -> Dots:
    """None where the sound is softer than what the meter shows."""
    shares = [share_from_dbfs(20 * math.log10(column.peak)) if column.peak > 0 else 0.0 for column in columns]
    half = np.ceil(np.array(shares) * n_dots / 2)
    return n_dots // 2 - half, n_dots // 2 + half


def _peak(newest: NDArray[np.float32], end_sample: int, index: int) -> float:
    """Largest absolute sample of a column, as far as `newest`, which ends at `end_sample`, holds it.

    Of a column that is not in it, because its window was skipped, as of all that is.
    """
    start = end_sample - len(newest)
    piece = newest[max(0, index * COLUMN_SAMPLES - start) : max(0, (index + 1) * COLUMN_SAMPLES - start)]
    return float(np.abs(piece if len(piece) else newest).max(initial=0.0))
