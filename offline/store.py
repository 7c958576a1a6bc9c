"""The feature store: a folder that holds what the networks see of every clip, ready to be memory-mapped."""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from engines.contract import N_CHANNELS, N_FRAMES, N_ROWS, N_SCALARS, contract_hash
from engines.errors import LabelsError, OutputError
from engines.spec import FeatureSpec
from offline.clips import ClipSet

IMAGES_FILE = "spectrograms.npy"
# float32, unlike the images: kurtosis and squared decibels exceed what float16 can hold or tell apart.
SCALARS_FILE = "scalars.npy"
DONE_FILE = "done.npy"
INDEX_FILE = "clips.csv"
HEADER_FILE = "store.json"
FILES: tuple[str, ...] = (IMAGES_FILE, SCALARS_FILE, DONE_FILE, INDEX_FILE, HEADER_FILE)

_DONE_NEXT = f"{DONE_FILE}.new"
_SCHEMA = 1
_INDEX_COLUMNS = ("file", "label", "day", "recording", "natural_samples")


@dataclass(frozen=True)
class FeatureStore:
    """Features and labels of N clips, row by row.

    Attributes:
        images: (N, 9, 128, 63) float16, memory-mapped, read-only.
        scalars: (N, 39) float32.
        labels: (N,) int64; 1 = exhale, 0 = inhale.
        days: (N,) str; the group that stays on one side of a split.
        paths: the sound files, where they were when the store was made.
        natural_samples: (N,) int64, samples at 16 kHz; 0 where it is not known.
        spec: the parameters inside the channels.
        fingerprint: of the clip set the store was made from.
    """

    images: NDArray[np.float16]
    scalars: NDArray[np.float32]
    labels: NDArray[np.int64]
    days: NDArray[np.str_]
    paths: tuple[Path, ...]
    natural_samples: NDArray[np.int64]
    spec: FeatureSpec
    fingerprint: str

    def __len__(self) -> int:
        return len(self.labels)


def header_for(clips: ClipSet, spec: FeatureSpec) -> dict[str, Any]:
    """What `store.json` says: a store with another header is another store."""
    return {
        "schema": _SCHEMA,
        "contract": contract_hash(),
        "spec": asdict(spec),
        "clips": clips.fingerprint,
        "n_clips": len(clips),
    }


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """In words, how the header of a store differs from the one wanted; empty when it does not."""
    words: list[str] = []
    if found.get("schema") != wanted["schema"]:
        words.append(f"its layout is version {found.get('schema')}, this program's is {wanted['schema']}")
    if found.get("contract") != wanted["contract"]:
        words.append("it follows another feature contract")
    its_spec = found.get("spec")
    for name, value in wanted["spec"].items():
        its_value = its_spec.get(name, "missing") if isinstance(its_spec, dict) else "missing"
        if its_value != value:
            words.append(f"its {name} is {its_value}, not {value}")
    if found.get("clips") != wanted["clips"]:
        words.append(f"its {found.get('n_clips')} clips are not these {wanted['n_clips']}")
    return words


def read_header(folder: Path) -> dict[str, Any]:
    """The content of `store.json`.

    Raises:
        LabelsError: it is missing or damaged.
    """
    path = folder / HEADER_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LabelsError(
            f"{folder} is no feature store: it has no {HEADER_FILE}; make one with breath-offline precompute"
        ) from error
    except (OSError, ValueError) as error:
        raise LabelsError(f"cannot read {path}: {error}; remove {folder} and precompute again") from error
    if not isinstance(content, dict):
        raise LabelsError(f"{path} is damaged; remove {folder} and precompute again")
    return content


def write_index(folder: Path, clips: ClipSet) -> None:
    """Write `clips.csv`, a row for every row of the arrays."""
    with (folder / INDEX_FILE).open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_INDEX_COLUMNS)
        for clip in clips:
            path = clip.path.absolute()
            writer.writerow([path, clip.label, clip.day, clip.recording, clip.natural_samples or 0])


def create_or_resume(clips: ClipSet, folder: Path, spec: FeatureSpec) -> NDArray[np.uint8]:
    """Make the store, with room for everything, or take up one that was left.

    Returns:
        (N,) uint8; 1 for the rows that are finished.

    Raises:
        LabelsError: the folder is a store of other clips, features or parameters, or is damaged.
        OutputError: the folder holds other things or cannot be written, or there is no room.
    """
    header = header_for(clips, spec)
    with _mapping_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        present = {path.name for path in folder.iterdir()}
        strangers = sorted(present - {*FILES, _DONE_NEXT})
        if strangers:
            raise OutputError(f"{folder} holds other things ({strangers[0]}); give --out a folder of its own")
        if HEADER_FILE not in present:
            return _create(clips, folder, header)
        words = differences(read_header(folder), header)
        if words:
            raise LabelsError(
                f"{folder} is another feature store: {'; '.join(words)}; remove it, or give another folder"
            )
        missing = sorted(set(FILES) - present)
        if missing:
            raise LabelsError(f"{folder} is damaged: no {missing[0]}; remove it and precompute again")
        return _read_done(folder)


def save_done(folder: Path, done: NDArray[np.uint8], rows: list[int]) -> None:
    """Bring what was written to the arrays onto the disk, then say that these rows are there.

    Raises:
        OutputError: the folder cannot be written.
    """
    if not rows:
        return
    with _mapping_os_errors(folder):
        for name in (IMAGES_FILE, SCALARS_FILE):
            with (folder / name).open("r+b") as file:
                os.fsync(file.fileno())
        done[rows] = 1
        write_atomically(folder / DONE_FILE, done)


def open_store(folder: Path) -> FeatureStore:
    """Open a finished store; the images stay on the disk and are read as they are used.

    Raises:
        LabelsError: the folder is no store, is damaged or unfinished, or follows another feature contract.
    """
    header = read_header(folder)
    if header.get("schema") != _SCHEMA or header.get("contract") != contract_hash():
        raise LabelsError(
            f"{folder} was made by another version of the features; remove it and precompute again"
        )
    try:
        spec = FeatureSpec(**header["spec"])
        n_clips, fingerprint = int(header["n_clips"]), str(header["clips"])
        images = np.load(folder / IMAGES_FILE, mmap_mode="r", allow_pickle=False)
        scalars = np.load(folder / SCALARS_FILE, allow_pickle=False)
        done = _read_done(folder)
        with (folder / INDEX_FILE).open(newline="", encoding="utf-8") as text:
            rows = list(csv.DictReader(text))
        labels = np.array([int(row["label"]) for row in rows], dtype=np.int64)
        natural_samples = np.array([int(row["natural_samples"]) for row in rows], dtype=np.int64)
        days = np.array([row["day"] for row in rows], dtype=np.str_)
        paths = tuple(Path(row["file"]) for row in rows)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise LabelsError(f"{folder} is damaged: {error}; remove it and precompute again") from error
    shapes = (images.shape, scalars.shape, done.shape, labels.shape)
    images_shape = (n_clips, N_CHANNELS, N_ROWS, N_FRAMES)
    if shapes != (images_shape, (n_clips, N_SCALARS), (n_clips,), (n_clips,)):
        raise LabelsError(f"{folder} is damaged: its files disagree; remove it and precompute again")
    n_done = int(np.count_nonzero(done))
    if n_done < n_clips:
        raise LabelsError(
            f"{folder} is unfinished: {n_done} of {n_clips} clips; run the same precompute again to go on"
        )
    return FeatureStore(images, scalars, labels, days, paths, natural_samples, spec, fingerprint)


def _create(clips: ClipSet, folder: Path, header: dict[str, Any]) -> NDArray[np.uint8]:
    n_clips = len(clips)
    shape = (n_clips, N_CHANNELS, N_ROWS, N_FRAMES)
    reserve_array(folder / IMAGES_FILE, shape, np.dtype(np.float16))
    reserve_array(folder / SCALARS_FILE, (n_clips, N_SCALARS), np.dtype(np.float32))
    done = np.zeros(n_clips, dtype=np.uint8)
    write_atomically(folder / DONE_FILE, done)
    write_index(folder, clips)
    # Last of all: a folder with a header is a whole store, if an empty one.
    (folder / HEADER_FILE).write_text(json.dumps(header, indent=2) + "\n", encoding="utf-8")
    return done


def reserve_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Make an array that has its room on the disk: writing a mapped page without room kills the process.

    Raises:
        OutputError: there is no room.
        OSError: the folder cannot be written.
    """
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    free_bytes = shutil.disk_usage(path.parent).free
    if n_bytes > free_bytes:
        raise OutputError(
            f"{path} needs {n_bytes / 1e6:.0f} MB and the disk has {free_bytes / 1e6:.0f} MB left; "
            "make room, or give --out a folder on another disk"
        )
    open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def write_atomically(path: Path, array: NDArray[Any]) -> None:
    """Write a small array; a reader sees the file before or after, never in between.

    Raises:
        OSError: it cannot be written.
    """
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _read_done(folder: Path) -> NDArray[np.uint8]:
    try:
        done: NDArray[np.uint8] = np.load(folder / DONE_FILE, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise LabelsError(f"{folder} is damaged: {error}; remove it and precompute again") from error
    return done


@contextmanager
def _mapping_os_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write the feature store {folder}: {error}") from error


def remove_store(folder: Path) -> None:
    """Remove a feature store, and nothing that is none, nor what a link leads to."""
    if folder.is_symlink():
        return
    for name in (*FILES, _DONE_NEXT):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
