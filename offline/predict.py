"""Sound files in, P(exhale) of each out; runs on the base install."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from engines.backend import Engine
from engines.ensemble import fuse
from engines.errors import AudioFileError, ConfigError
from engines.pack import Pack
from offline.sound import SOUND_SUFFIXES, checksum_and_length, read_clip

Progress = Callable[[int, int], None]

_BATCH_CLIPS = 64
_SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Prediction:
    """What the ensemble says about the first second of a file.

    Attributes:
        path: the file, as it was given or found.
        prob_exhale: P(exhale), 0-1.
    """

    path: Path
    prob_exhale: float

    @property
    def letter(self) -> str:
        """`E` for exhale, at P(exhale) >= 0.5, or `I` for inhale."""
        return "E" if self.prob_exhale >= 0.5 else "I"


def find_sounds(places: Sequence[Path], *, skip_bad: bool = False) -> tuple[list[Path], list[str]]:
    """The sound files that `places` name, each once.

    Files are taken as they are; folders are searched to their depths, in alphabetical order. Every file is
    opened, so that a bad one is known before any work is done.

    Args:
        places: files and folders.
        skip_bad: leave the bad ones out instead of stopping.

    Returns:
        The files, and what was wrong with those left out.

    Raises:
        AudioFileError: a file is bad, and nothing said to skip it, or no sound is left.
    """
    found: dict[Path, None] = {}
    problems: list[str] = []
    for place in places:
        inside = _sounds_in(place) if place.is_dir() else [place]
        if not inside:
            problems.append(f"no {', '.join(SOUND_SUFFIXES)} file in {place}")
        found.update(dict.fromkeys(inside))
    good: list[Path] = []
    for path in found:
        try:
            checksum_and_length(path)
        except AudioFileError as error:
            problems.append(str(error))
        else:
            good.append(path)
    if problems and not (skip_bad and good):
        more = len(problems) - _SHOWN_PROBLEMS
        shown = "; ".join(problems[:_SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
        raise AudioFileError(
            f"{shown.rstrip('.')}. Mend or remove them" + (", or use --skip-bad" if good else "")
        )
    return good, problems


def infer_files(
    engine: Engine, paths: Sequence[Path], progress: Progress | None = None
) -> NDArray[np.float32]:
    """The phase's logits of the first second of every file, (N, n_networks) float32.

    Args:
        engine: what runs them.
        paths: at least one sound file.
        progress: called with files done and files in all.

    Raises:
        AudioFileError: a file cannot be read.
        EngineError: the engine failed.
    """
    logits: list[NDArray[np.float32]] = []
    for start in range(0, len(paths), _BATCH_CLIPS):
        batch = paths[start : start + _BATCH_CLIPS]
        logits.append(engine.infer(np.stack([read_clip(path) for path in batch])).logits)
        if progress:
            progress(start + len(batch), len(paths))
    return np.concatenate(logits)


def predict(
    pack: Pack, engine: Engine, paths: Sequence[Path], progress: Progress | None = None
) -> list[Prediction]:
    """P(exhale) of the first second of every file, padded with zeros where it is shorter.

    Raises:
        AudioFileError: a file cannot be read.
        EngineError: the engine failed.
    """
    logits = infer_files(engine, paths, progress)
    probs = fuse(logits, pack.manifest.weights, pack.manifest.temperature)
    return [Prediction(path, float(prob)) for path, prob in zip(paths, probs, strict=True)]


def write_predictions(predictions: Sequence[Prediction], text: TextIO, *, kaggle: bool = False) -> None:
    """Write `file,prob_exhale,label`, or `ID,Target` with the file's name as ID for `kaggle`.

    Raises:
        ConfigError: two files would have the same ID.
    """
    writer = csv.writer(text, lineterminator="\n")
    if not kaggle:
        writer.writerow(["file", "prob_exhale", "label"])
        writer.writerows([one.path, f"{one.prob_exhale:.6f}", one.letter] for one in predictions)
        return
    check_ids([one.path for one in predictions])
    writer.writerow(["ID", "Target"])
    writer.writerows([one.path.name, one.letter] for one in predictions)


def check_ids(paths: Sequence[Path]) -> None:
    """See that no two files share their name, which is their ID.

    Raises:
        ConfigError: two do.
    """
    first: dict[str, Path] = {}
    for path in paths:
        if path.name in first:
            raise ConfigError(
                f"{first[path.name]} and {path} have the same ID; predict one of them at a time"
            )
        first[path.name] = path


def _sounds_in(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in SOUND_SUFFIXES and path.is_file()
    )
