"""Clips into a feature store, on every core, going on where it stopped."""

import functools
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from engines.spec import FeatureSpec
from engines.threads import n_cores
from offline import store
from offline.clips import ClipSet, read_clip
from offline.workers import run_in_processes

Extract = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]
MakeExtract = Callable[[FeatureSpec], Extract]
Rows = tuple[int, ...]
Batch = tuple[Rows, tuple[Path, ...]]

_BATCHES_PER_CHECKPOINT = 8


def stack_extract(spec: FeatureSpec) -> Extract:
    """The features of `realtime.features`, as a function of arrays: (B, 16000) -> images, scalars."""
    import torch

    from realtime.features.stack import FeatureStack

    stack = FeatureStack(spec)

    def extract(windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.inference_mode():
            images, scalars = stack(torch.from_numpy(windows))
        return images.numpy(), scalars.numpy()

    return extract


def precompute(
    clips: ClipSet,
    out: Path,
    spec: FeatureSpec,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    make_extract: MakeExtract = stack_extract,
    batch_clips: int = 32,
) -> None:
    """Compute the features of every clip into the store `out`, or of those that an earlier run left.

    A row counts as done once it is on the disk, so neither a kill nor a power cut leaves a row that only
    looks finished; the last few batches may be computed twice.

    Args:
        clips: what to compute.
        out: the store's folder; made if it is not there.
        spec: parameters inside the channels.
        workers: processes; None: one for each core. 1 computes in this process.
        progress: called with clips done and clips in all.
        make_extract: makes the feature function, in each worker; a function of a module, as it is pickled.
        batch_clips: clips per batch, at least 1.

    Raises:
        LabelsError: `out` is a store of other clips, features or parameters.
        AudioFileError: a clip cannot be read any more.
        OutputError: `out` cannot be written, or there is no room.
    """
    done = store.create_or_resume(clips, out, spec)
    pending = np.flatnonzero(done == 0)
    rows_of = [tuple(pending[i : i + batch_clips].tolist()) for i in range(0, len(pending), batch_clips)]
    batches: list[Batch] = [(rows, tuple(clips.clips[row].path for row in rows)) for rows in rows_of]
    workers = min(workers or n_cores(), max(1, len(batches)))
    tell = progress or (lambda _n_done, _n_clips: None)
    n_done = len(clips) - len(pending)
    tell(n_done, len(clips))
    unsaved: list[int] = []
    if workers == 1 and batches:
        run = _Worker(out, spec, make_extract).run
    else:
        run = functools.partial(_run_batch, out, spec, make_extract)
    try:
        with closing(run_in_processes(run, batches, workers, f"the feature store {out}")) as finished:
            for rows in finished:
                unsaved.extend(rows)
                n_done += len(rows)
                if len(unsaved) >= _BATCHES_PER_CHECKPOINT * batch_clips:
                    store.save_done(out, done, unsaved)
                    unsaved.clear()
                tell(n_done, len(clips))
    finally:
        # What is finished is kept, whatever stopped us.
        store.save_done(out, done, unsaved)


class _Worker:
    """Writes the features of batches of clips into the arrays of a store."""

    def __init__(self, folder: Path, spec: FeatureSpec, make_extract: MakeExtract) -> None:
        self._images = open_memmap(folder / store.IMAGES_FILE, mode="r+")
        self._scalars = open_memmap(folder / store.SCALARS_FILE, mode="r+")
        self._extract = make_extract(spec)

    def run(self, batch: Batch) -> Rows:
        rows, paths = batch
        images, scalars = self._extract(np.stack([read_clip(path) for path in paths]))
        assert np.isfinite(images).all(), "features of finite sound must be finite"
        assert np.isfinite(scalars).all(), "features of finite sound must be finite"
        self._images[list(rows)] = images
        self._scalars[list(rows)] = scalars
        return rows


@functools.cache
def _worker_of_process(folder: Path, spec: FeatureSpec, make_extract: MakeExtract) -> _Worker:
    worker = _Worker(folder, spec, make_extract)
    if "torch" in sys.modules:
        # One process per core already: threads inside them would only get into each other's way.
        sys.modules["torch"].set_num_threads(1)
    return worker


def _run_batch(folder: Path, spec: FeatureSpec, make_extract: MakeExtract, batch: Batch) -> Rows:
    return _worker_of_process(folder, spec, make_extract).run(batch)
