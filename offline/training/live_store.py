"""Live windows on the disk: a folder an epoch, made on every core, going on where it stopped."""

import functools
import json
import os
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from engines.contract import N_CHANNELS, N_FRAMES, N_ROWS, N_SCALARS, contract_hash
from engines.errors import LabelsError, OutputError
from engines.spec import FeatureSpec
from engines.threads import n_cores
from offline.clips import ClipSet
from offline.compose.negatives import Negatives
from offline.precompute import stack_extract
from offline.store import reserve_array, write_atomically
from offline.training.lessons import Examples
from offline.training.live_settings import BATCH_WINDOWS, LiveSettings
from offline.training.live_windows import WindowSource
from offline.training.opinions import Opinions
from offline.workers import run_in_processes

_HEADER_FILE = "windows.json"
_DONE_FILE = "done.npy"
_BATCHES_PER_CHECKPOINT = 8
_ARRAYS: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
    "spectrograms.npy": ((N_CHANNELS, N_ROWS, N_FRAMES), np.float16),
    "scalars.npy": ((N_SCALARS,), np.float32),
    "targets.npy": ((2,), np.float32),
    "weights.npy": ((2,), np.float32),
}


@dataclass(frozen=True)
class LiveRecipe:
    """What live windows are made of, and how; small enough to be sent to other processes.

    Attributes:
        clips: of one part of the split.
        negatives: folder of sounds that are not breathing.
        part: the part of the split, which says which of those sounds to use.
        settings: how windows are drawn.
        spec: parameters inside the channels.
        seed: of everything that is drawn.
        opinions: of the clips, for softer targets; None: the labels.
    """

    clips: ClipSet
    negatives: Path
    part: str
    settings: LiveSettings
    spec: FeatureSpec
    seed: int
    opinions: Opinions | None = None

    def header(self, epoch: int, n_windows: int) -> dict[str, Any]:
        """What a folder of windows says of itself: one with another header holds other windows."""
        return {
            "schema": 1,
            "contract": contract_hash(),
            "spec": asdict(self.spec),
            "clips": self.clips.fingerprint,
            "negatives": Negatives.find(self.negatives).fingerprint,
            "part": self.part,
            "settings": asdict(self.settings),
            "seed": self.seed,
            "opinions": None if self.opinions is None else asdict(self.opinions),
            "epoch": epoch,
            "n_windows": n_windows,
        }


def live_examples(
    recipe: LiveRecipe,
    folder: Path,
    epoch: int,
    n_windows: int,
    progress: Callable[[int, int], None] = lambda _n_done, _n_all: None,
    workers: int | None = None,
) -> Examples:
    """The windows of an epoch: read if they are there, made if not, gone on with after an interruption.

    Args:
        recipe: what they are made of.
        folder: for these windows alone.
        epoch: another epoch, other windows.
        n_windows: a multiple of `BATCH_WINDOWS`.
        progress: called with windows done and windows in all.
        workers: processes; None: one for each core. 1 computes in this process.

    Raises:
        LabelsError: the folder holds other windows, or is damaged.
        AudioFileError: a sound cannot be read any more.
        OutputError: the folder cannot be written, or there is no room.
    """
    header = json.loads(json.dumps(recipe.header(epoch, n_windows)))
    done = _create_or_resume(folder, header, n_windows)
    pending = np.flatnonzero(done == 0).tolist()
    progress((len(done) - len(pending)) * BATCH_WINDOWS, n_windows)
    workers = min(workers or n_cores(), max(1, len(pending)))
    if workers == 1 and pending:
        run = functools.partial(_Worker(recipe, folder).run, epoch)
    else:
        run = functools.partial(_run_batch, recipe, folder, epoch)
    unsaved: list[int] = []
    try:
        with closing(run_in_processes(run, pending, workers, f"the live windows {folder}")) as finished:
            for n_done, batch in enumerate(finished, start=len(done) - len(pending) + 1):
                unsaved.append(batch)
                if len(unsaved) >= _BATCHES_PER_CHECKPOINT:
                    _save_done(folder, done, unsaved)
                progress(n_done * BATCH_WINDOWS, n_windows)
    finally:
        _save_done(folder, done, unsaved)
    arrays = _open_arrays(folder, n_windows)
    images, scalars, targets, weights = arrays.values()
    rows = np.arange(n_windows, dtype=np.int64)
    return Examples(images, np.array(scalars), rows, np.array(targets), np.array(weights))


def are_windows(folder: Path) -> bool:
    """Whether a folder holds live windows, if half of them, and nothing else."""
    names = {path.name for path in folder.iterdir()}
    return bool(names) and names <= {*_ARRAYS, _HEADER_FILE, _DONE_FILE}


class _Worker:
    """Draws batches of windows and writes their features into the arrays of a folder."""

    def __init__(self, recipe: LiveRecipe, folder: Path) -> None:
        negatives = Negatives.find(recipe.negatives, recipe.part)
        self._source = WindowSource(recipe.clips, negatives, recipe.settings, recipe.opinions)
        self._extract = stack_extract(recipe.spec)
        self._arrays = [open_memmap(folder / name, mode="r+") for name in _ARRAYS]
        self._seed = recipe.seed

    def run(self, epoch: int, batch: int) -> int:
        windows = self._source.batch((self._seed, epoch, batch))
        images, scalars = self._extract(windows.samples)
        assert np.isfinite(images).all(), "features of finite sound must be finite"
        assert np.isfinite(scalars).all(), "features of finite sound must be finite"
        rows = slice(batch * BATCH_WINDOWS, (batch + 1) * BATCH_WINDOWS)
        for array, values in zip(
            self._arrays, (images, scalars, windows.targets, windows.weights), strict=True
        ):
            array[rows] = values
        return batch


# Of each process the last one: epochs come one after the other.
_worker_of_process: list[tuple[Path, _Worker]] = []


def _run_batch(recipe: LiveRecipe, folder: Path, epoch: int, batch: int) -> int:
    if not _worker_of_process or _worker_of_process[0][0] != folder:
        _worker_of_process[:] = [(folder, _Worker(recipe, folder))]
        if "torch" in sys.modules:
            # One process per core already: threads inside them would only get into each other's way.
            sys.modules["torch"].set_num_threads(1)
    return _worker_of_process[0][1].run(epoch, batch)


def _create_or_resume(folder: Path, header: dict[str, Any], n_windows: int) -> NDArray[np.uint8]:
    place = folder / _HEADER_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if place.is_file():
            if json.loads(place.read_text(encoding="utf-8")) != header:
                raise LabelsError(
                    f"{folder} holds windows of another training; give another --work, or begin anew "
                    "with --restart"
                )
            # Before anything is written: a file that is too short would be extended with zeros.
            _open_arrays(folder, n_windows)
            return _read_done(folder, n_windows)
        for name, (shape, dtype) in _ARRAYS.items():
            reserve_array(folder / name, (n_windows, *shape), np.dtype(dtype))
        done = np.zeros(n_windows // BATCH_WINDOWS, np.uint8)
        write_atomically(folder / _DONE_FILE, done)
        # Last of all: a folder with a header is a whole one, if empty.
        place.write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")
    except ValueError as error:
        raise _damaged(folder, error) from error
    except OSError as error:
        raise OutputError(f"cannot write the live windows {folder}: {error}") from error
    return done


def _open_arrays(folder: Path, n_windows: int) -> dict[str, NDArray[Any]]:
    try:
        arrays = {name: np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in _ARRAYS}
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(folder, error) from error
    for name, (shape, dtype) in _ARRAYS.items():
        if arrays[name].shape != (n_windows, *shape) or arrays[name].dtype != dtype:
            raise _damaged(folder, ValueError(f"{name} has the wrong shape"))
    return arrays


def _read_done(folder: Path, n_windows: int) -> NDArray[np.uint8]:
    try:
        done: NDArray[np.uint8] = np.load(folder / _DONE_FILE, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(folder, error) from error
    if done.shape != (n_windows // BATCH_WINDOWS,):
        raise _damaged(folder, ValueError(f"{_DONE_FILE} has the wrong shape"))
    return done


def _save_done(folder: Path, done: NDArray[np.uint8], batches: list[int]) -> None:
    if not batches:
        return
    try:
        for name in _ARRAYS:
            with (folder / name).open("r+b") as file:
                os.fsync(file.fileno())
        done[batches] = 1
        batches.clear()
        write_atomically(folder / _DONE_FILE, done)
    except OSError as error:
        raise OutputError(f"cannot write the live windows {folder}: {error}") from error


def _damaged(folder: Path, error: Exception) -> LabelsError:
    return LabelsError(f"{folder} is damaged: {error}; remove it and run the same command again")
