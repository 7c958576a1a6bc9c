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
_DOT_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


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
class Cell:
    """One character of the trace's width: what is written in each row, top first, and the phase.

    The phase is None where nothing was heard.
    """

    rows: str
    phase: Phase | None


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


def cells_from_trace(trace: Sequence[Column], n_cells: int, n_rows: int) -> list[Cell]:
    """Draw the newest part of a trace.

    Breath is an area between 0.5 and P(exhale): exhalation above, inhalation below. Without breath only a
    line is drawn. Two columns share a cell, always the same two, so that nothing shimmers while it scrolls.

    Args:
        trace: oldest first.
        n_cells: width, characters.
        n_rows: height, characters.

    Returns:
        `n_cells` cells, oldest first.
    """
    return _cells(trace, n_cells, n_rows, _dots)


def wave_from_trace(trace: Sequence[Column], n_cells: int, n_rows: int) -> list[Cell]:
    """Draw how large the sound was, around the middle: full scale is all of the height, -80 dB none of it.

    In dB, because breath is far below full scale. Cells as in `cells_from_trace`, below which they stand.
    """
    return _cells(trace, n_cells, n_rows, _wave_dots)


def _cells(
    trace: Sequence[Column], n_cells: int, n_rows: int, dots: Callable[[Column, int], range]
) -> list[Cell]:
    newest_cell = trace[-1].index // COLUMNS_PER_CELL if trace else 0
    first_cell = newest_cell - n_cells + 1
    bits = [[0] * n_rows for _ in range(n_cells)]
    phases: list[Phase | None] = [None] * n_cells
    for column in trace:
        cell = column.index // COLUMNS_PER_CELL - first_cell
        if cell < 0:
            continue
        phases[cell] = column.phase
        for dot in dots(column, n_rows * _DOTS_PER_ROW):
            row, within = divmod(dot, _DOTS_PER_ROW)
            bits[cell][row] |= _DOT_BITS[within][column.index % COLUMNS_PER_CELL]
    return [
        Cell("".join(chr(0x2800 + b) if b else " " for b in column_bits), phase)
        for column_bits, phase in zip(bits, phases, strict=True)
    ]


def _dots(column: Column, n_dots: int) -> range:
    """Which of `n_dots`, counted from the top, are set."""
    lowest, highest = column.lowest, column.highest
    if column.phase is not Phase.NONE:
        lowest, highest = min(lowest, 0.5), max(highest, 0.5)
    top = min(n_dots - 1, math.floor((1.0 - highest) * n_dots))
    end = math.ceil((1.0 - lowest) * n_dots)
    return range(top, max(top + 1, end))


def _wave_dots(column: Column, n_dots: int) -> range:
    """As `_dots`; none where the sound is softer than what the meter shows."""
    if column.peak <= 0:
        return range(0)
    half = math.ceil(share_from_dbfs(20 * math.log10(column.peak)) * n_dots / 2)
    return range(n_dots // 2 - half, n_dots // 2 + half)


def _peak(newest: NDArray[np.float32], end_sample: int, index: int) -> float:
    """Largest absolute sample of a column, as far as `newest`, which ends at `end_sample`, holds it.

    Of a column that is not in it, because its window was skipped, as of all that is.
    """
    start = end_sample - len(newest)
    piece = newest[max(0, index * COLUMN_SAMPLES - start) : max(0, (index + 1) * COLUMN_SAMPLES - start)]
    return float(np.abs(piece if len(piece) else newest).max(initial=0.0))
