"""The scrolling trace of P(exhale): remembered in steps of 0.1 s, drawn with Braille dots."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from realtime.events import Frame, Phase

COLUMN_SAMPLES = RATE_HZ // 10
COLUMNS_PER_CELL = 2
_DOTS_PER_ROW = 4
_KEPT_COLUMNS = 1024

# Bit of each dot in U+2800, by row from the top and by column (The Unicode Standard, Braille Patterns).
_DOT_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass(frozen=True)
class Column:
    """P(exhale) within 0.1 s of the stream.

    Attributes:
        index: which 0.1 s since the start of the stream.
        lowest: smallest P(exhale) within it, 0-1.
        highest: largest.
        phase: shown at its end.
    """

    index: int
    lowest: float
    highest: float
    phase: Phase


@dataclass(frozen=True)
class Cell:
    """One character of the trace's width: what is written in each row, top first, and the phase.

    The phase is None where nothing was heard.
    """

    rows: str
    phase: Phase | None


def extended(trace: tuple[Column, ...], frame: Frame, hop_samples: int) -> tuple[Column, ...]:
    """The trace with one more frame; the oldest columns go.

    A long hop, or windows that were skipped, fill the columns between; after a gap of the sound, which takes
    the answers away for a second at least, they stay away.
    """
    index = (frame.end_sample - 1) // COLUMN_SAMPLES
    prob = frame.prob_exhale
    if trace and trace[-1].index == index:
        last = trace[-1]
        merged = Column(index, min(last.lowest, prob), max(last.highest, prob), frame.phase)
        return (*trace[:-1], merged)
    first = index
    most = max(hop_samples + COLUMN_SAMPLES, WINDOW_SAMPLES)
    if trace and (index - trace[-1].index) * COLUMN_SAMPLES < most:
        first = trace[-1].index + 1
    new = tuple(Column(i, prob, prob, frame.phase) for i in range(first, index + 1))
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
    newest_cell = trace[-1].index // COLUMNS_PER_CELL if trace else 0
    first_cell = newest_cell - n_cells + 1
    bits = [[0] * n_rows for _ in range(n_cells)]
    phases: list[Phase | None] = [None] * n_cells
    for column in trace:
        cell = column.index // COLUMNS_PER_CELL - first_cell
        if cell < 0:
            continue
        phases[cell] = column.phase
        for dot in _dots(column, n_rows * _DOTS_PER_ROW):
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
