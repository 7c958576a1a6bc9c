"""Recordings with labels beside them: which labels count, and which day is whose."""

import datetime
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import soundfile

from engines.errors import AudioFileError, LabelsError
from offline.clips import lines_of
from offline.cut.labels_beside import Labels, labels_beside, names_of_labels
from offline.sound import SOUND_SUFFIXES
from realtime.clock import seconds_from_samples
from realtime.labels import PhaseInterval, are_labels
from realtime.resample import check_rate
from realtime.sound.files import FileSource

# 2026-11-28, 20261128 and the like, with the time behind it or without.
_DATE = re.compile(
    r"(?<!\d)(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?=(?:\d{4}|\d{6})?(?!\d))",
    re.ASCII,
)


@dataclass(frozen=True)
class Recording:
    """A sound with labels beside it.

    Attributes:
        sound: the file.
        labels: of it.
        day: what must stay on one side of a split.
        name: what the names of its clips begin with; no other recording has it.
        is_dated: False if nothing but the time of the file tells the day.
    """

    sound: Path
    labels: Labels
    day: str
    name: str
    is_dated: bool


class _Sidecar(msgspec.Struct):
    """What is read of a NAME.json, such as `compose` writes."""

    day: str | int | None = None
    is_spliced: bool = False


def find_recordings(
    places: Sequence[Path], form: str = "auto", day: str = "", *, is_by_folder: bool = False
) -> tuple[list[Recording], list[Path]]:
    """The labelled recordings that `places` name, each once; and the sounds in folders that have no labels.

    Folders are searched to their depths for WAV, FLAC and OGG. Labels are NAME.txt (Audacity) or NAME.csv
    beside the sound NAME. Where there are both, `auto` takes the .txt, for that is the one to correct; but if
    they differ and the .csv is the newer, only the user can know which is right.

    Args:
        places: files and folders.
        form: of the labels, `auto`, `txt` or `csv`.
        day: of all recordings; empty: `day` of a NAME.json, or the date (as YYYYMMDD) in the name of the
            sound, of its folder or in its metadata, or when it began, going by the time of the file.
        is_by_folder: the day is the name of the folder that holds the sound.

    Raises:
        AudioError: a place or the sounds in it are not there, or a sound cannot be read.
        LabelsError: labels are wrong, missing, ambiguous or without sound; the first ten problems.
    """
    problems: list[str] = []
    sounds: dict[Path, Path] = {}
    for place in places:
        for sound in _sounds_of(place, problems):
            sounds.setdefault(sound.resolve(), sound)
    recordings: list[Recording] = []
    unlabelled: list[Path] = []
    names: set[str] = set()
    owners: dict[Path, Path] = {}
    for sound in sounds.values():
        try:
            labels = labels_beside(sound, form)
            if labels is None:
                if sound in places:
                    raise LabelsError(f"{sound} has no labels beside it: {names_of_labels(form)}")
                unlabelled.append(sound)
                continue
            other = owners.setdefault(labels.file, sound)
            if other != sound:
                raise LabelsError(
                    f"{labels.file} lies beside {other.name} and {sound.name}; name one of the two"
                )
            given = sound.parent.resolve().name if is_by_folder else day
            own_day, is_dated = _day_of(sound, labels.phases)
        except LabelsError as error:
            problems.append(str(error))
            continue
        name = _name_for(sound, names)
        names.add(name.casefold())
        recordings.append(Recording(sound, labels, given or own_day, name, is_dated or bool(given)))
    if problems:
        raise LabelsError(
            problems[0] if len(problems) == 1 else f"{len(problems)} problems:{lines_of(problems)}"
        )
    if not recordings:
        wanted = names_of_labels(form)
        raise LabelsError(f"none of the {len(unlabelled)} sounds has labels beside it: {wanted}")
    for recording in recordings:
        with FileSource(recording.sound) as source:
            check_rate(source.rate_hz, source.name)
    return recordings, unlabelled


def _sounds_of(place: Path, problems: list[str]) -> list[Path]:
    """The sounds that one place names; labels that have none are added to `problems`."""
    if not place.exists():
        raise AudioFileError(f"there is no file or folder {place}; check the name")
    if not place.is_dir():
        if are_labels(place):
            problems.append(f"{place} holds labels; name the sound that it lies beside, or the folder")
            return []
        return [place]
    files = _files_in(place)
    sounds = [path for path in files if path.suffix.lower() in SOUND_SUFFIXES]
    lonely = list(_labels_without_sound(files, sounds))
    problems += lonely
    if not sounds and not lonely:
        raise AudioFileError(f"{place} holds no WAV, FLAC or OGG; give recordings, or folders with some")
    return sounds


def _files_in(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(
        path for path in files if not any(part[0] == "." for part in path.relative_to(folder).parts)
    )


def _labels_without_sound(files: Iterable[Path], sounds: Iterable[Path]) -> Iterator[str]:
    stems = {sound.with_suffix("") for sound in sounds}
    for path in files:
        is_candidate = path.suffix.lower() in (".txt", ".csv") and path.with_suffix("") not in stems
        if is_candidate and are_labels(path):
            yield f"{path} has labels, but beside it is no WAV, FLAC or OGG of that name"


def _day_of(sound: Path, phases: Sequence[PhaseInterval]) -> tuple[str, bool]:
    """The day, and whether anything but the time of the file tells it."""
    said = _Sidecar()
    with suppress(OSError, msgspec.DecodeError):
        said = msgspec.json.decode(sound.with_suffix(".json").read_bytes(), type=_Sidecar)
    if said.is_spliced:
        raise LabelsError(f"{sound} was spliced from clips; a clip set is cut from recordings")
    if said.day:
        return str(said.day), True
    date = ""
    with suppress(soundfile.SoundFileError, OSError, TypeError), soundfile.SoundFile(sound) as file:
        date = file.copy_metadata().get("date", "")
    for text in (sound.stem, sound.parent.resolve().name, date):
        if match := _DATE.search(text):
            return re.sub(r"\D", "", match[0]), True
    labelled_s = seconds_from_samples(phases[-1].end_sample) if phases else 0.0
    began = datetime.datetime.fromtimestamp(sound.stat().st_mtime - labelled_s)
    return f"{began:%Y%m%d}", False


def _name_for(sound: Path, taken: set[str]) -> str:
    """A name for files on any system, and for cells of a table, which lose blanks at their ends."""
    folder, plain = (
        re.sub(r"[^\w.+-]+", "-", part).strip("-.") for part in (sound.parent.resolve().name, sound.stem)
    )
    plain = plain or "recording"
    names = (plain, f"{folder}-{plain}", *(f"{plain}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name.casefold() not in taken)
