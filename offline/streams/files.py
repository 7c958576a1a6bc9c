"""Labelled streams of a folder: NAME.wav, its phases in NAME.txt or NAME.csv, its making in NAME.json."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec
import soundfile

from engines.errors import LabelsError
from offline.cut.labels_beside import check_end, labels_beside
from realtime.clock import samples_from_seconds
from realtime.labels import PhaseInterval

UNKNOWN = "unknown"
NO_SNR = "clean, or not stated"
_SNR_EDGES_DB = (7.5, 15.0, 25.0)


class _Sidecar(msgspec.Struct):
    """What is read of a sidecar; it may say more."""

    kind: str = UNKNOWN
    day: str | int | None = None
    snr_db: float | None = None
    is_spliced: bool = False


@dataclass(frozen=True)
class Stream:
    """One labelled stream.

    Attributes:
        name: of its files, without suffix.
        sound: the WAV or FLAC file.
        truth: its phases, in order of time.
        kind: such as fast, slow, negative or silence; `unknown` where no sidecar says.
        day: recording day of the sound in it; None: not known.
        snr_db: level of breath over noise, dB; None: not known, or without noise.
        is_spliced: whether it was put together from pieces, as `breath-offline compose` does it.
        checksum: SHA-256 (hex) of sound and labels.
        is_disputed: whether there were other labels in the other form, that do not count.
        has_notes_beside: whether its .txt holds no labels, so that only the .csv counts.
    """

    name: str
    sound: Path
    truth: tuple[PhaseInterval, ...]
    kind: str = UNKNOWN
    day: str | None = None
    snr_db: float | None = None
    is_spliced: bool = False
    checksum: str = ""
    is_disputed: bool = False
    has_notes_beside: bool = False

    @property
    def group(self) -> str:
        """What is drawn as a whole by the bootstrap: the day, or the stream alone where that is not known."""
        return self.day or f"stream {self.name}"

    @property
    def snr_class(self) -> str:
        """The range of `snr_db`, for people."""
        if self.snr_db is None:
            return NO_SNR
        low, middle, high = _SNR_EDGES_DB
        if self.snr_db < low:
            return f"below {low:g} dB"
        if self.snr_db >= high:
            return f"{high:g} dB and more"
        return f"{low:g} to {middle:g} dB" if self.snr_db < middle else f"{middle:g} to {high:g} dB"


SNR_CLASSES: tuple[str, ...] = ("below 7.5 dB", "7.5 to 15 dB", "15 to 25 dB", "25 dB and more", NO_SNR)


def find_streams(folder: Path) -> list[Stream]:
    """Every WAV and FLAC of `folder` with labels beside it, by name; one without is passed over.

    Which labels count, where there are two forms, `offline.cut.labels_beside` says.

    Raises:
        LabelsError: there is no such folder or no labelled stream in it, labels or a sidecar are wrong, or
            labels go on where the sound has ended, or lie beside two sounds.
    """
    if not folder.is_dir():
        raise LabelsError(f"no such folder: {folder}; make streams with: breath-offline compose")
    found = (path for path in folder.iterdir() if path.suffix.lower() in (".wav", ".flac"))
    sounds = sorted(found, key=lambda path: (path.stem, path.name))
    for one, other in pairwise(sounds):
        if one.stem == other.stem and labels_beside(one) is not None:
            raise LabelsError(
                f"the labels of {folder / one.stem} lie beside {one.name} and {other.name}, and would count "
                "twice; take one of the two away"
            )
    streams = [stream for sound in sounds if (stream := _stream(sound)) is not None]
    if not streams:
        raise LabelsError(
            f"{folder} holds no labelled stream: it needs NAME.wav (or .flac) and beside it NAME.txt "
            "(labels of Audacity) or NAME.csv (columns start_s,end_s,phase); "
            "make streams with: breath-offline compose"
        )
    return streams


def fingerprint(streams: Sequence[Stream]) -> str:
    """SHA-256 (hex) of the names, sounds and labels of streams."""
    return hashlib.sha256(repr([(one.name, one.checksum) for one in streams]).encode()).hexdigest()


def words_from_count(n_streams: int, n_spliced: int) -> str:
    """How many streams; what is spliced is called so, for it says less than a recording does."""
    noun = "stream" if n_streams == 1 else "streams"
    if n_spliced == n_streams:
        return f"{n_streams} spliced {noun}"
    return f"{n_streams} {noun}" + (f", {n_spliced} of them spliced" if n_spliced else "")


def notes_from_streams(streams: Sequence[Stream]) -> list[str]:
    """What people should know of the labels, a line each."""
    found = {
        "labels of the .txt, not of the .csv that differs": [s.name for s in streams if s.is_disputed],
        "labels of the .csv, as the .txt holds none": [s.name for s in streams if s.has_notes_beside],
    }
    return [f"{what}: {', '.join(names)}" for what, names in found.items() if names]


def _stream(sound: Path) -> Stream | None:
    labels = labels_beside(sound)
    if labels is None:
        return None
    # A sound that cannot be read says so when it is heard.
    with suppress(soundfile.SoundFileError, OSError, TypeError):
        check_end(labels, sound, samples_from_seconds(soundfile.info(sound).duration))
    table, sidecar = sound.with_suffix(".csv"), sound.with_suffix(".json")
    said = _Sidecar()
    if sidecar.is_file():
        try:
            said = msgspec.json.decode(sidecar.read_bytes(), type=_Sidecar)
        except (OSError, msgspec.DecodeError) as error:
            raise LabelsError(f"{sidecar} cannot be read: {error}; mend it, or remove it") from error
    counted = labels.file if labels.is_disputed or not table.is_file() else table
    digest = hashlib.sha256(counted.read_bytes())
    with sound.open("rb") as content:
        digest.update(hashlib.file_digest(content, "sha256").digest())
    day = None if said.day is None else str(said.day)
    return Stream(
        sound.stem,
        sound,
        labels.phases,
        said.kind,
        day or None,
        said.snr_db,
        said.is_spliced,
        digest.hexdigest(),
        labels.is_disputed,
        labels.has_notes_beside,
    )
