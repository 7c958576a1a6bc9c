"""The labelled clip set: read and validated as a whole, grouped by day."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from engines.contract import LABEL_EXHALE, LABEL_INHALE, RATE_HZ
from engines.errors import AudioFileError, LabelsError
from offline.naming import parse_name
from offline.sound import SOUND_SUFFIXES, checksum_and_length, read_clip
from offline.table import Row, find_table, read_durations, read_rows
from realtime.clock import seconds_from_samples

__all__ = ["Clip", "ClipSet", "read_clip"]

_SOUND_FOLDERS = ("train", "audio", "clips", ".")
_DURATIONS = "true_durations.csv"
_SHOWN_PROBLEMS = 10
# By so much a length in a table may be rounded up.
_ROUNDING_SAMPLES = RATE_HZ // 100
_LABELS = {
    **dict.fromkeys(("e", "exhale", "1"), LABEL_EXHALE),
    **dict.fromkeys(("i", "inhale", "0"), LABEL_INHALE),
}


@dataclass(frozen=True)
class Clip:
    """One labelled clip.

    Attributes:
        path: the sound file.
        label: 1 = exhale, 0 = inhale.
        recording: the recording it was cut from; the file's own name where that is not known.
        day: the group that must stay on one side of a split.
        natural_samples: length of the sound before it was looped to fill the second, samples at 16 kHz,
            1-16000; None: not known.
        checksum: CRC-32 of the samples.
    """

    path: Path
    label: int
    recording: str
    day: str
    natural_samples: int | None = None
    checksum: int = 0


@dataclass(frozen=True)
class ClipSet:
    """Labelled clips, in the order of their file names whatever the order of the rows.

    Attributes:
        root: the folder that was read.
        clips: what is usable.
        n_skipped: rows dropped because something was wrong with them; 0 unless skipping was asked for.
    """

    root: Path
    clips: tuple[Clip, ...]
    n_skipped: int = 0

    @classmethod
    def read(cls, source: Path, *, skip_bad: bool = False) -> "ClipSet":
        """Read a clip set and check every row and every file.

        Args:
            source: a folder with `train.csv`, or with one CSV of known columns (`ID,Target` or
                `file_name,label`, optionally `day` or `group`), or that CSV itself. The sounds lie in the
                folder `train`, `audio` or `clips` beside it, in one named after the CSV, or beside it.
            skip_bad: drop the rows with something wrong instead of stopping.

        Raises:
            LabelsError: nothing to read, or something is wrong; the first ten problems and their number.
        """
        table = find_table(source)
        root = table.parent
        problems: list[str] = []
        durations = _Durations(read_durations(root / _DURATIONS, problems))
        files = _SoundFiles(root, table.stem)
        found: dict[Path, tuple[int, Clip]] = {}
        contradicted: set[Path] = set()
        n_rows = 0
        for row in read_rows(table):
            n_rows += 1
            where = f"{table.name}, line {row.line}: "
            try:
                clip = _clip_from_row(row, files, durations, root)
            except (LabelsError, AudioFileError) as error:
                problems.append(where + str(error))
                continue
            if clip.path in found:
                first_line, first = found[clip.path]
                as_what = "again" if first.label == clip.label else "again with another label"
                problems.append(f"{where}{clip.path.name} is here {as_what}, first in line {first_line}")
                if first.label != clip.label:
                    contradicted.add(clip.path)
                continue
            found[clip.path] = (row.line, clip)
        if problems and not skip_bad:
            raise LabelsError(_list_of(problems, source))
        clips = tuple(clip for path, (_, clip) in sorted(found.items()) if path not in contradicted)
        if not clips:
            because = f"; {_list_of(problems, source)}" if problems else f": {table} has no rows"
            raise LabelsError(f"no usable clip in {source}{because}")
        return cls(root, clips, n_rows - len(clips))

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) int64; 1 = exhale, 0 = inhale."""
        return np.array([clip.label for clip in self.clips], dtype=np.int64)

    @property
    def days(self) -> tuple[str, ...]:
        """The day of each clip."""
        return tuple(clip.day for clip in self.clips)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over names, labels, days, natural lengths and samples, in order."""
        digest = hashlib.sha256()
        for clip in self.clips:
            fields = (clip.path.name, clip.label, clip.day, clip.natural_samples, clip.checksum)
            digest.update(repr(fields).encode())
        return digest.hexdigest()

    def name_of(self, clip: Clip) -> str:
        """Path of a clip's file within the set: two folders may hold files of one name."""
        return clip.path.relative_to(self.root).as_posix()

    def of_days(self, days: Collection[str]) -> "ClipSet":
        """The clips of these days only."""
        return replace(self, clips=tuple(clip for clip in self.clips if clip.day in days))


class _Durations:
    """Natural lengths by the names in their table, which need not say the folder."""

    def __init__(self, by_name: dict[str, int]) -> None:
        self._by_place = {PurePosixPath(_without_suffix(name)): n for name, n in by_name.items()}
        lengths: dict[str, set[int]] = {}
        for place, n in self._by_place.items():
            lengths.setdefault(place.name, set()).add(n)
        # Of files that share a name, only a name with its folder tells which is meant.
        self._by_stem = {stem: found.pop() for stem, found in lengths.items() if len(found) == 1}

    def of(self, path: Path) -> int | None:
        """The length of a file, by its path within the set."""
        place = PurePosixPath(path.with_suffix(""))
        return self._by_place.get(place, self._by_stem.get(place.name))


class _SoundFiles:
    """The sound files of a clip set, found by the names in its rows."""

    def __init__(self, root: Path, table_stem: str) -> None:
        self._root = root
        self._by_folder: dict[Path, dict[str, list[Path]]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for folder in dict.fromkeys((table_stem, *_SOUND_FOLDERS)):
            for stem, paths in self._in_folder(root / folder).items():
                self._by_stem.setdefault(stem, []).extend(paths)

    def _in_folder(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._by_folder:
            found = self._by_folder[folder] = {}
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if path.suffix.lower() in SOUND_SUFFIXES:
                    found.setdefault(path.stem, []).append(path)
        return self._by_folder[folder]

    def find(self, name: str) -> Path:
        """The file of a row; a suffix in the name is preferred, not required.

        Raises:
            LabelsError: there is none, or the name leads out of the clip set.
        """
        inner = PurePosixPath(name)
        if inner.is_absolute() or ".." in inner.parts:
            raise LabelsError(f"{name!r} leads out of the folder; give names inside {self._root}")
        # Where a folder is named, others may hold other sounds of this name.
        by_stem = self._in_folder(self._root / inner.parent) if len(inner.parts) > 1 else self._by_stem
        stem = _without_suffix(inner.name)
        parsed = parse_name(stem)
        paths = by_stem.get(stem) or (by_stem.get(parsed.file_stem) if parsed else None) or []
        if not paths:
            raise LabelsError(f"no sound file for {name!r}")
        return next((path for path in paths if path.name == inner.name), paths[0])


def _clip_from_row(row: Row, files: _SoundFiles, durations: _Durations, root: Path) -> Clip:
    if not row.name:
        raise LabelsError("no name")
    label = _LABELS.get(row.label.lower())
    if label is None:
        raise LabelsError(f"label {row.label!r} of {row.name} is none of E, I, exhale, inhale, 1, 0")
    stem = _without_suffix(PurePosixPath(row.name).name)
    parsed = parse_name(stem)
    if parsed and parsed.letter and _LABELS[parsed.letter.lower()] != label:
        raise LabelsError(f"{row.name} says {parsed.letter}, its label says {row.label}")
    day = row.group or (parsed.day if parsed else "")
    if not day:
        raise LabelsError(f"{row.name} names no day (steth_<day>_...); add a column `day`")
    path = files.find(row.name)
    checksum, n_samples = checksum_and_length(path)
    natural = durations.of(path.relative_to(root))
    if natural is not None and natural > n_samples + _ROUNDING_SAMPLES:
        natural_s, length_s = map(seconds_from_samples, (natural, n_samples))
        raise LabelsError(f"{row.name} lasts {length_s:.2f} s, but {natural_s:.2f} s by {_DURATIONS}")
    return Clip(
        path=path,
        label=label,
        recording=parsed.recording if parsed else stem,
        day=day,
        natural_samples=natural,
        checksum=checksum,
    )


def _without_suffix(name: str) -> str:
    inner = PurePosixPath(name)
    return str(inner.with_suffix("")) if inner.suffix.lower() in SOUND_SUFFIXES else name


def lines_of(problems: list[str]) -> str:
    """The first ten problems, each below the other, and how many more there are."""
    shown = "".join(f"\n  {problem}" for problem in problems[:_SHOWN_PROBLEMS])
    n_more = len(problems) - _SHOWN_PROBLEMS
    return shown + (f"\n  ... and {n_more} more" if n_more > 0 else "")


def _list_of(problems: list[str], source: Path) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return f"{count} in {source}:{lines_of(problems)}\nmend them, or drop these clips with --skip-bad"
