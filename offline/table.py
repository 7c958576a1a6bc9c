"""The CSV beside the sounds: which one it is, and its rows with the columns they are known by."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engines.contract import WINDOW_SAMPLES
from engines.errors import LabelsError
from realtime.clock import samples_from_seconds

_FORMS = (("id", "target"), ("file_name", "label"))
_GROUP_COLUMNS = ("day", "group")
_KNOWN_COLUMNS = "ID,Target or file_name,label"


@dataclass(frozen=True)
class Row:
    """One row of a table of clips; cells are stripped, absent ones are empty.

    Attributes:
        line: line number in the file, from 1.
        name: what the clip is called.
        label: the label as written.
        group: what must stay on one side of a split, where the table says so.
    """

    line: int
    name: str
    label: str
    group: str


def find_table(source: Path) -> Path:
    """The table of a clip set: the file `source`, or the folder's `train.csv` or only CSV of known columns.

    Raises:
        LabelsError: there is none, there are several, or it cannot be read.
    """
    if source.is_file():
        if _form_of(_header(source)) is None:
            raise LabelsError(
                f"{source} is no table of clips: it needs the columns {_KNOWN_COLUMNS}"
                f"{_other_separator([source])}"
            )
        return source
    if not source.is_dir():
        raise LabelsError(f"no such folder: {source}; give --data the folder of a clip set")
    usual = source / "train.csv"
    if usual.is_file() and _form_of(_header(usual)):
        return usual
    tables = [path for path in sorted(source.glob("*.csv")) if _form_of(_header(path))]
    if not tables:
        raise LabelsError(
            f"{source} holds no CSV with the columns {_KNOWN_COLUMNS}{_other_separator(source.glob('*.csv'))}"
        )
    if len(tables) > 1:
        names = ", ".join(table.name for table in tables)
        raise LabelsError(f"{source} holds several tables of clips ({names}); give --data the one you mean")
    return tables[0]


def clip_columns(path: Path) -> list[str]:
    """The columns of a file, in small letters, if it is a table of clips; of any other file, none."""
    try:
        header = _header(path)
    except LabelsError:
        return []
    return header if _form_of(header) else []


def read_rows(table: Path) -> Iterator[Row]:
    """The rows of a table that `find_table` found; empty lines are passed over.

    Raises:
        LabelsError: the file cannot be read.
    """
    form = _form_of(_header(table))
    assert form is not None
    for line, cells in _cells(table):
        group = next((cells[name] for name in _GROUP_COLUMNS if cells.get(name)), "")
        yield Row(line, cells.get(form[0], ""), cells.get(form[1], ""), group)


def read_durations(table: Path, problems: list[str]) -> dict[str, int]:
    """Natural length by file name, samples at 16 kHz, 1-16000; sounds of 1 s and more were cut to the second.

    A table that is not there is an empty one; what is wrong with its rows is appended to `problems`.

    Raises:
        LabelsError: the file cannot be read.
    """
    if not table.is_file():
        return {}
    if not {"file_name", "duration_s"} <= set(_header(table)):
        problems.append(f"{table.name}: needs the columns file_name,duration_s")
        return {}
    lengths: dict[str, int] = {}
    for line, cells in _cells(table):
        try:
            natural_samples = samples_from_seconds(float(cells.get("duration_s", "")))
        except (ValueError, OverflowError):
            natural_samples = 0
        if natural_samples < 1:
            duration = cells.get("duration_s", "")
            problems.append(f"{table.name}, line {line}: {duration!r} is no positive number of seconds")
        else:
            lengths[cells.get("file_name", "")] = min(natural_samples, WINDOW_SAMPLES)
    return lengths


def _other_separator(tables: Iterable[Path]) -> str:
    """What to say of tables that would be some of clips, were their columns separated by commas."""
    for table in tables:
        header = ",".join(_header(table))
        for mark, name in ((";", "semicolons"), ("\t", "tabs")):
            if _form_of([cell.strip() for cell in header.split(mark)]):
                return f"; the columns of {table.name} are separated by {name}: save it with commas"
    return ""


def _form_of(header: list[str]) -> tuple[str, str] | None:
    return next((form for form in _FORMS if set(form) <= set(header)), None)


def _header(table: Path) -> list[str]:
    return next((cells for _, cells in _lines(table)), [])


def _cells(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    lines = _lines(table)
    _, header = next(lines)
    for line, cells in lines:
        yield line, dict(zip(header, cells, strict=False))


def _lines(table: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.reader(text)
            is_header = True
            for cells in reader:
                stripped = [cell.strip() for cell in cells]
                if any(stripped):
                    yield reader.line_num, [name.lower() for name in stripped] if is_header else stripped
                    is_header = False
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelsError(f"cannot read {table}: {error}; it must be a CSV in UTF-8") from error
