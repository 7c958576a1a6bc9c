"""Sounds that are not breathing: dogs, rain, spoken digits, running taps - by part of the split."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import AudioFileError, ConfigError
from offline.clips import lines_of
from offline.compose.breathing import faded
from offline.sound import SOUND_SUFFIXES, read_sound
from offline.split import DEFAULT_FRACTIONS, PARTS

_FADE_SAMPLES = 160
# Names say what was cut from one take (ESC: fold-source-letter) or spoken by one person (speech commands).
_SOURCES = (re.compile(r"\d-(\d+)-[A-Z]"), re.compile(r"([0-9a-f]{8})_nohash_\d+"))


class Negatives:
    """Sound files that hold no breath; each is decoded at its first use and kept in memory as 16 kHz float32.

    Attributes:
        paths: the files, sorted; names from the folder's root are what `parameters` of a stream say.
    """

    def __init__(self, root: Path, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        self._root = root
        self._decoded: dict[Path, NDArray[np.float32]] = {}

    @classmethod
    def find(cls, root: Path, part: str = "all") -> "Negatives":
        """Every WAV, FLAC or Ogg file below a folder, or those of one part of the split.

        Which part a file belongs to is drawn from what its name says about its source: cuts of one take and
        words of one speaker stay together, whatever other files there are.

        Args:
            root: the folder.
            part: `train`, `validation`, `test` or `all`.

        Raises:
            ConfigError: there is no such folder, or nothing of this part in it.
        """
        if not root.is_dir():
            raise ConfigError(f"there is no folder {root} with sounds that are not breathing")
        found = sorted(
            path for path in root.rglob("*") if path.suffix.lower() in SOUND_SUFFIXES and path.is_file()
        )
        kept = [path for path in found if part in ("all", _part_of(path))]
        if not kept:
            raise ConfigError(f"{root} holds {len(found)} sounds (WAV, FLAC, Ogg), none for the part {part}")
        return cls(root, kept)

    def check(self) -> None:
        """Read every file once, before anything that takes hours begins; none is kept in memory.

        Raises:
            AudioFileError: some cannot be read; the first ten, and their number.
        """
        problems: list[str] = []
        for path in self.paths:
            try:
                _decode(path)
            except AudioFileError as error:
                problems.append(str(error))
        if problems:
            count = "a sound" if len(problems) == 1 else f"{len(problems)} sounds"
            raise AudioFileError(
                f"{count} in {self._root} cannot be used:{lines_of(problems)}\nmend or remove what is named"
            )

    @property
    def fingerprint(self) -> str:
        """Of the names and sizes of the files: other sounds, another fingerprint."""
        facts = [(path.relative_to(self._root).as_posix(), path.stat().st_size) for path in self.paths]
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def stretch(self, n_samples: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """A piece of one file, (up to `n_samples`,) float32 with soft ends; and which.

        A shorter file is given whole. Places of digital silence count as sound.

        Raises:
            AudioFileError: the file cannot be read.
        """
        path = self.paths[int(rng.integers(len(self.paths)))]
        sound = self._samples(path)
        first = int(rng.integers(max(1, len(sound) - n_samples + 1)))
        piece = faded(sound[first : first + n_samples], _FADE_SAMPLES, _FADE_SAMPLES)
        return piece, {"file": path.relative_to(self._root).as_posix(), "from_sample": first}

    def _samples(self, path: Path) -> NDArray[np.float32]:
        if path not in self._decoded:
            self._decoded[path] = _decode(path)
        return self._decoded[path]


def _part_of(path: Path) -> str:
    source = next((match[1] for form in _SOURCES if (match := form.fullmatch(path.stem))), path.stem)
    share = int.from_bytes(hashlib.sha256(source.encode()).digest()[:8], "big") / 2**64
    for part, limit in zip(PARTS, np.cumsum(DEFAULT_FRACTIONS), strict=True):
        if share < limit:
            return part
    return PARTS[-1]


def _decode(path: Path) -> NDArray[np.float32]:
    sound = read_sound(path)
    centred: NDArray[np.float32] = sound - sound.mean()
    return centred
