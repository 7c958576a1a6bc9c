"""Which labels of a recording count, of the two files that may lie beside it."""

from pathlib import Path

from engines.errors import LabelsError
from realtime.labels import PhaseInterval, are_labels, read_labels

# Some file systems count in steps of 2 s, and copying gives files their times one after the other.
_SAME_TIME_S = 2.0


def labels_beside(sound: Path, form: str = "auto") -> tuple[Path, tuple[PhaseInterval, ...], bool] | None:
    """The labels to use: their file, the phases, and whether the other file says something else.

    Labels are NAME.txt (Audacity) or NAME.csv beside the sound NAME. Where there are both, the .txt counts,
    for that is the one that people correct; but if they differ and the .csv is the newer, only they can know.

    Args:
        sound: the recording.
        form: of the labels, `auto`, `txt` or `csv`.

    Returns:
        None where there are no labels of that form.

    Raises:
        LabelsError: labels are wrong, or nobody can tell which count.
    """
    text, table = sound.with_suffix(".txt"), sound.with_suffix(".csv")
    there = [path for path in (text, table) if path.is_file() and form in ("auto", path.suffix[1:])]
    if not there:
        return None
    phases = read_labels(there[0])
    is_table_of_phases = len(there) == 2 and are_labels(table)
    if len(there) == 1 or (is_table_of_phases and read_labels(table) == phases):
        return there[0], phases, False
    if is_table_of_phases and table.stat().st_mtime > text.stat().st_mtime + _SAME_TIME_S:
        raise LabelsError(
            f"{table} differs from {text.name} and is the newer; remove the wrong one, "
            "or say to breath-offline cut which is right: --labels csv or txt"
        )
    return text, phases, True


def names_of_labels(form: str = "auto") -> str:
    """What such files are called, for messages."""
    return " or ".join(f"NAME.{suffix}" for suffix in ("txt", "csv") if form in ("auto", suffix))
