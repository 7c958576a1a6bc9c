"""Which labels of a recording count, of the two files that may lie beside it."""

from dataclasses import dataclass
from pathlib import Path

from engines.contract import RATE_HZ
from engines.errors import LabelsError
from realtime.clock import seconds_from_samples
from realtime.labels import PhaseInterval, are_labels, read_labels

# Some file systems count in steps of 2 s, and copying gives files their times one after the other.
_SAME_TIME_S = 2.0
# A recorder that was killed may have labelled sound of which the header does not tell yet.
_MOST_BEYOND_SAMPLES = RATE_HZ


@dataclass(frozen=True)
class Labels:
    """The labels of a recording.

    Attributes:
        file: which holds them.
        phases: in the order of time.
        is_disputed: whether the file of the other form says something else.
        has_notes_beside: whether there is a .txt too, which holds no labels.
    """

    file: Path
    phases: tuple[PhaseInterval, ...]
    is_disputed: bool = False
    has_notes_beside: bool = False


def labels_beside(sound: Path, form: str = "auto") -> Labels | None:
    """The labels to use.

    Labels are NAME.txt (Audacity) or NAME.csv beside the sound NAME. Where there are both, the .txt counts,
    for that is the one that people correct; but if they differ and the .csv is the newer, only they can know.
    A .txt without a single tab, by which labels are told from notes, holds somebody's notes.

    Args:
        sound: the recording.
        form: of the labels, `auto`, `txt` or `csv`.

    Returns:
        None where there are no labels of that form.

    Raises:
        LabelsError: labels are wrong, or nobody can tell which count.
    """
    text, table = sound.with_suffix(".txt"), sound.with_suffix(".csv")
    has_notes = form == "auto" and text.is_file() and _are_notes(text)
    forms = ("csv",) if has_notes else ("txt", "csv") if form == "auto" else (form,)
    there = [path for path in (text, table) if path.is_file() and path.suffix[1:] in forms]
    if not there:
        return None
    phases = read_labels(there[0])
    is_table_of_phases = len(there) == 2 and are_labels(table)
    if len(there) == 1 or (is_table_of_phases and read_labels(table) == phases):
        return Labels(there[0], phases, has_notes_beside=has_notes)
    if is_table_of_phases and table.stat().st_mtime > text.stat().st_mtime + _SAME_TIME_S:
        raise LabelsError(
            f"{table} differs from {text.name} and is the newer; remove the wrong one, "
            "or say to breath-offline cut which is right: --labels csv or txt"
        )
    return Labels(text, phases, is_disputed=True)


def check_end(labels: Labels, sound: Path, n_samples: int) -> None:
    """See that labels end with their sound, which has `n_samples` at 16 kHz.

    Raises:
        LabelsError: they go on.
    """
    end = labels.phases[-1].end_sample if labels.phases else 0
    if end > n_samples + _MOST_BEYOND_SAMPLES:
        labels_s, sound_s = map(seconds_from_samples, (end, n_samples))
        raise LabelsError(
            f"{labels.file} goes on to {labels_s:.2f} s, but {sound.name} ends at {sound_s:.2f} s; "
            "mend the labels, or bring the whole sound that they belong to"
        )


def _are_notes(text: Path) -> bool:
    """Whether a .txt says something, and none of it is, or was meant as, a label."""
    try:
        content = text.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise LabelsError(f"cannot read the labels {text}: {error}") from error
    return bool(content.strip()) and "\t" not in content and "start_s" not in content


def names_of_labels(form: str = "auto") -> str:
    """What such files are called, for messages."""
    return " or ".join(f"NAME.{suffix}" for suffix in ("txt", "csv") if form in ("auto", suffix))
