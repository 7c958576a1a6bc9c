"""A folder of streams: which days, kinds and noise levels, and the four files of each stream."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from engines.contract import RATE_HZ
from engines.errors import OutputError
from offline.compose.composer import Composer, Stream
from offline.compose.levels import BREATH_BAND_HZ
from offline.compose.material import Material
from offline.compose.negatives import Negatives
from offline.compose.settings import ComposeSettings, Kind
from offline.output import filled_at_once, open_output
from offline.versions import software_versions
from realtime.clock import samples_from_seconds
from realtime.labels import audacity_from_labels, csv_from_labels

_PACKAGES = ("breath", "numpy", "scipy", "soundfile", "soxr")


@dataclass(frozen=True)
class StreamSet:
    """What to compose: `n_each` streams for each day, kind and noise level.

    Attributes:
        kinds: kinds of breathing.
        snrs_db: power of breath over noise, dB; None: no noise added to the floor of the recordings.
        n_each: streams of each combination.
        n_negative: streams without any breath; with the first comes one of digital silence.
        seed: each stream's own seed is made from it and the stream's name, without its noise level.
        part: of the split that the days belong to, for the sidecars.
        settings: everything else.
    """

    kinds: tuple[Kind, ...] = ("fast", "slow")
    snrs_db: tuple[float | None, ...] = (None, 20.0, 10.0, 5.0)
    n_each: int = 1
    n_negative: int = 0
    seed: int = 0
    part: str = "all"
    settings: ComposeSettings = field(default_factory=ComposeSettings)

    def n_streams(self, n_days: int) -> int:
        """How many streams a material of so many days makes."""
        n_without_breath = self.n_negative + bool(self.n_negative)
        return n_days * len(self.kinds) * len(self.snrs_db) * self.n_each + n_without_breath


def write_stream_set(
    wanted: StreamSet,
    material: Material,
    out: Path,
    negatives: Negatives | None = None,
    progress: Callable[[int, int], None] = lambda _n_done, _n_all: None,
) -> list[str]:
    """Write NAME.wav (16 kHz, 16 bits), NAME.csv, NAME.txt (for Audacity) and NAME.json of every stream.

    All of them, or none: streams that are half of a set would be scored as if they were all.

    Returns:
        The names.

    Raises:
        OutputError: the folder holds something, or cannot be written.
        ConfigError: streams without breath are wanted, but there are no negatives.
    """
    versions = software_versions(_PACKAGES)
    n_all = wanted.n_streams(len(material.days))
    names: list[str] = []
    with filled_at_once(out) as folder:
        for name, settings, stream in _streams(wanted, material, negatives):
            sidecar = {
                "name": name,
                "is_spliced": True,
                **stream.parameters,
                "part": wanted.part,
                "set_seed": wanted.seed,
                "rate_hz": RATE_HZ,
                "snr_band_hz": list(BREATH_BAND_HZ),
                "settings": asdict(settings),
                "versions": versions,
            }
            _write_stream(folder, name, stream, sidecar)
            names.append(name)
            progress(len(names), n_all)
    return names


def _streams(
    wanted: StreamSet, material: Material, negatives: Negatives | None
) -> Iterator[tuple[str, ComposeSettings, Stream]]:
    file_names = _file_names(material.days)
    for kind in wanted.kinds:
        for snr_db in wanted.snrs_db:
            settings = replace(
                wanted.settings,
                kind=kind,
                snr_db=None if snr_db is None else (snr_db, snr_db),
                clean_share=0.0,
            )
            composer = Composer(material, settings, negatives)
            level = "clean" if snr_db is None else f"snr{snr_db:g}"
            for day in material.days:
                for number in range(wanted.n_each):
                    # The same breathing at every level: what differs between them is the noise.
                    seed = _seed_of(wanted.seed, f"spliced-{kind}-{day}-clean-{number:03d}")
                    name = f"spliced-{kind}-{file_names[day]}-{level}-{number:03d}"
                    yield name, settings, composer.stream(seed, day)
    if not wanted.n_negative:
        return
    composer = Composer(material, wanted.settings, negatives)
    for number in range(wanted.n_negative):
        name = f"negative-{number:03d}"
        yield name, wanted.settings, composer.negative_stream(_seed_of(wanted.seed, name))
    silence = np.zeros(samples_from_seconds(wanted.settings.seconds), np.float32)
    parameters = {"kind": "silence", "seconds": wanted.settings.seconds}
    yield "silence-000", wanted.settings, Stream(silence, (), parameters)


def _file_names(days: Iterable[str]) -> dict[str, str]:
    """How each day is called in names of files, which cannot hold everything; no two alike."""
    names = {day: re.sub(r"[^\w.+-]+", "-", day) for day in days}
    counts = Counter(name.casefold() for name in names.values())
    return {
        day: name
        if counts[name.casefold()] == 1
        else f"{name}-{hashlib.sha256(day.encode()).hexdigest()[:8]}"
        for day, name in names.items()
    }


def _seed_of(seed: int, name: str) -> int:
    """A stream stays the same whichever others are made with it."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big")


def _write_stream(out: Path, name: str, stream: Stream, sidecar: dict[str, Any]) -> None:
    texts = {
        ".csv": csv_from_labels(stream.phases),
        ".txt": audacity_from_labels(stream.phases),
        ".json": json.dumps(sidecar, indent=1, allow_nan=False) + "\n",
    }
    for suffix, content in texts.items():
        with open_output(out / f"{name}{suffix}") as text:
            text.write(content)
    # Whole numbers, because a conversion by the writer would scale once more.
    steps = (stream.samples * np.float32(32768)).astype(np.int16)
    try:
        soundfile.write(out / f"{name}.wav", steps, RATE_HZ, subtype="PCM_16")
    except (soundfile.SoundFileError, OSError) as error:
        raise OutputError(f"cannot write {out / name}.wav: {error}") from error
