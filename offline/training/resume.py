"""Whether a training may go on where an earlier one stopped, or begin anew in its place."""

import json
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engines.contract import contract_hash
from engines.errors import ConfigError, LabelsError, OutputError
from engines.spec import FeatureSpec
from offline.clips import ClipSet
from offline.split import Split
from offline.store import remove_store
from offline.training.checkpoint import read_values
from offline.training.live_store import are_windows

_SHOWN_DAYS = 5

STORE = "store"
"""Folder of the features of the clips in a work folder."""
WINDOWS = "windows"
"""Folder of the live windows in a work folder."""
TENSORBOARD = "tensorboard"
"""Folder of TensorBoard's curves in a work folder."""

RunKey = dict[str, Any]


def run_key(clips: ClipSet, split: Split, spec: FeatureSpec, settings: dict[str, Any]) -> RunKey:
    """Everything that decides what a training learns, as plain JSON; it is kept in every checkpoint."""
    return {
        "contract": contract_hash(),
        "clips": clips.fingerprint,
        "n_clips": len(clips),
        "train_days": list(split.train),
        "validation_days": list(split.validation),
        "features": asdict(spec),
        "settings": json.loads(json.dumps(settings)),
    }


def require_same_run(checkpoint: Path, wanted: RunKey) -> None:
    """See that a checkpoint belongs to the training `wanted`.

    Raises:
        LabelsError: it does not, or is damaged; the message says what differs.
    """
    found = read_values(checkpoint).get("run")
    words = _differences(found, wanted) if isinstance(found, dict) else ["it does not say which run it is of"]
    if words:
        raise LabelsError(
            f"{checkpoint} is of another training: {'; '.join(words)}. Go on with what it was started with, "
            "give another --work, or begin anew with --restart"
        )


def prepare_work(
    folder: Path, names: Iterable[str], run: RunKey, *, is_resumed: bool, is_restarted: bool
) -> None:
    """Make the work folder ready, or say why it is not: hours of training are neither lost nor mixed up.

    Args:
        folder: checkpoints, histories, TensorBoard; made if it is not there.
        names: of the networks.
        run: the training that is about to begin.
        is_resumed: checkpoints that are there must be of `run`.
        is_restarted: checkpoints, features, live windows and curves that are there are deleted; whatever else
            lies in the folder stays.

    Raises:
        ConfigError: there are checkpoints, and neither resuming nor restarting was asked for; or both.
        LabelsError: a checkpoint to be resumed is damaged, or of another training.
        OutputError: the folder cannot be written.
    """
    if is_resumed and is_restarted:
        raise ConfigError("--resume keeps what --restart deletes; give one of them")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoints = [path for name in names if (path := checkpoint_path(folder, name)).exists()]
        if is_restarted:
            for path in checkpoints:
                path.unlink()
            remove_windows(folder / WINDOWS)
            remove_store(folder / STORE)
            # TensorBoard would draw the curves of both runs as one.
            if not (folder / TENSORBOARD).is_symlink():
                for curves in (folder / TENSORBOARD).rglob("events.out.*"):
                    curves.unlink()
    except OSError as error:
        raise OutputError(
            f"the work folder {folder} cannot be written: {error.strerror or error}; give another --work"
        ) from error
    if is_resumed:
        for path in checkpoints:
            require_same_run(path, run)
    elif checkpoints and not is_restarted:
        there = ", ".join(path.stem for path in checkpoints)
        raise ConfigError(
            f"{folder} holds the checkpoints of an earlier training ({there}): go on with it with --resume, "
            "or delete them and begin anew with --restart"
        )


def remove_windows(folder: Path) -> None:
    """Remove the live windows in a folder, and nothing that is none, nor what a link leads to."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for inner in folder.iterdir():
        if inner.is_dir() and not inner.is_symlink() and are_windows(inner):
            shutil.rmtree(inner, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()


def checkpoint_path(folder: Path, name: str) -> Path:
    """Where the state of the training of the network `name` is kept."""
    return folder / f"{name}.safetensors"


def _differences(found: RunKey, wanted: RunKey) -> list[str]:
    words: list[str] = []
    if found.get("contract") != wanted["contract"]:
        words.append("it follows another feature contract")
    if found.get("clips") != wanted["clips"]:
        words.append(f"its {found.get('n_clips')} clips are not these {wanted['n_clips']}")
    for part in ("train_days", "validation_days"):
        moved = sorted(set(found.get(part) or ()) ^ set(wanted[part]))
        if moved:
            more = f" and {len(moved) - _SHOWN_DAYS} more" if len(moved) > _SHOWN_DAYS else ""
            words.append(f"{part.replace('_', ' ')} differ in {', '.join(moved[:_SHOWN_DAYS])}{more}")
    for group in ("features", "settings"):
        its_values = found.get(group) or {}
        for name in sorted({*its_values, *wanted[group]}):
            its_value, value = its_values.get(name, "missing"), wanted[group].get(name, "missing")
            if its_value != value:
                words.append(f"its {name} is {its_value}, not {value}")
    return words
