"""Ground truth: which phase a recording really holds, and when - read from CSV or Audacity labels.

A CSV has the header `start_s,end_s,phase`; Audacity's text has `start<TAB>end<TAB>phase` in seconds alone.
Whatever no interval covers is not breathing, or at least not labelled as such.
"""

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engines.errors import LabelsError
from realtime.clock import samples_from_seconds, seconds_from_samples
from realtime.events import Phase

_CSV_HEADER = ("start_s", "end_s", "phase")
_LONGEST_HEADER = 1000
_PHASES = {
    **dict.fromkeys(("inhale", "i"), Phase.INHALE),
    **dict.fromkeys(("exhale", "e"), Phase.EXHALE),
}


@dataclass(frozen=True)
class PhaseInterval:
    """One phase of the truth.

    Attributes:
        start_sample: index at 16 kHz of its first sample.
        end_sample: index just after its last sample, > `start_sample`.
        phase: inhale or exhale.
    """

    start_sample: int
    end_sample: int
    phase: Phase


def are_labels(path: Path) -> bool:
    """Whether a file holds labels, as far as its first line tells: nothing else should replace them.

    The beginning of a sound may hold two tabs by chance, but never without other characters of control.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as text:
            first = text.readline(_LONGEST_HEADER).strip()
    except OSError:
        return False
    cells = first.split("\t")
    is_text = all(character >= " " for cell in cells for character in cell)
    return is_text and (first == ",".join(_CSV_HEADER) or len(cells) == len(_CSV_HEADER))


def read_labels(path: Path) -> tuple[PhaseInterval, ...]:
    """The phases of a file, in the order of time; touching ones are fine, overlapping ones are not.

    A file whose first line is the CSV header is a CSV, and one whose name ends so must be; any other is
    Audacity's text, in which an empty file means that nobody breathes. Phases are called `inhale` or `i`,
    `exhale` or `e`, in capitals or not. Seconds are rounded to the nearest sample.

    Raises:
        LabelsError: the file cannot be read, or a line - whose number is said - has not three cells, a time
            that is no number, an unknown phase, an end before its start, or begins before the one above ends.
    """
    intervals: list[PhaseInterval] = []
    for line, cells in _rows(path):
        try:
            interval = _interval_from_cells(cells)
            if intervals and interval.start_sample < intervals[-1].start_sample:
                raise LabelsError("begins before the line above begins; sort the lines by their start")
            if intervals and interval.start_sample < intervals[-1].end_sample:
                end_s = seconds_from_samples(intervals[-1].end_sample)
                raise LabelsError(f"overlaps the phase above, which ends at {end_s} s; mend one of the two")
        except LabelsError as error:
            raise LabelsError(f"{path}, line {line}: {error}") from error
        intervals.append(interval)
    return tuple(intervals)


def csv_from_labels(intervals: Iterable[PhaseInterval]) -> str:
    """The text of a CSV that `read_labels` reads back as the same intervals; with none, the header alone."""
    rows = [",".join(_CSV_HEADER), *(",".join(_cells_from_interval(interval)) for interval in intervals)]
    return "\n".join(rows) + "\n"


def audacity_from_labels(intervals: Iterable[PhaseInterval]) -> str:
    """Labels for Audacity (File, Import, Labels), that `read_labels` reads back as the same intervals."""
    return "".join("\t".join(_cells_from_interval(interval)) + "\n" for interval in intervals)


def _cells_from_interval(interval: PhaseInterval) -> tuple[str, str, str]:
    start_s, end_s = (seconds_from_samples(at) for at in (interval.start_sample, interval.end_sample))
    return f"{start_s:.6f}", f"{end_s:.6f}", interval.phase.value


def _interval_from_cells(cells: list[str]) -> PhaseInterval:
    if len(cells) != 3:
        raise LabelsError(f"has {len(cells)} cells, not the three of a phase: start, end, phase")
    start, end = (_sample_from_text(text) for text in cells[:2])
    phase = _PHASES.get(cells[2].lower())
    if phase is None:
        raise LabelsError(f"the phase {cells[2]!r} is neither inhale (i) nor exhale (e)")
    if end <= start:
        raise LabelsError(f"ends at {cells[1]} s, not after its start at {cells[0]} s")
    return PhaseInterval(start, end, phase)


def _sample_from_text(text: str) -> int:
    try:
        seconds = float(text)
    except ValueError as error:
        raise LabelsError(f"{text!r} is not a time in seconds") from error
    if not math.isfinite(seconds) or seconds < 0:
        raise LabelsError(f"{text!r} is not a time within a recording; give seconds from its start")
    return samples_from_seconds(seconds)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and stripped cells of each line that holds something, without the header."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"cannot read the labels {path}: {error}; they must be text in UTF-8") from error
    header = next((line for line in lines if line.strip()), "")
    is_csv = tuple(cell.strip().lower() for cell in header.split(",")) == _CSV_HEADER
    if not is_csv and (path.suffix.lower() == ".csv" or ("," in header and "\t" not in header)):
        raise LabelsError(f"{path}: the header of a CSV of phases is {','.join(_CSV_HEADER)}, not {header!r}")
    is_header_due = is_csv
    for number, line in enumerate(lines, start=1):
        # Audacity writes the frequency range of a label into a second line, behind a backslash.
        if not line.strip() or line.startswith("\\"):
            continue
        if is_header_due:
            is_header_due = False
            continue
        cells = next(csv.reader([line], delimiter="," if is_csv else "\t"))
        yield number, [cell.strip() for cell in cells]
