"""Sound files as samples at 16 kHz: the first second of a clip, all of one, or what the live path hears."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from engines.errors import AudioFileError
from realtime.resample import Resampler
from realtime.sound.channels import mono_from_samples
from realtime.sound.files import FileSource
from realtime.sound.sources import LARGEST

SOUND_SUFFIXES: tuple[str, ...] = (".wav", ".flac", ".ogg")

# The resampler's filter looks ahead: what follows the first second shapes its last samples.
_FIRST_S = WINDOW_SAMPLES / RATE_HZ + 0.25


def read_clip(path: Path) -> NDArray[np.float32]:
    """The first second of a sound file: (16000,) float32 at 16 kHz, full scale +-1.

    Channels are averaged; a shorter sound is padded with zeros at its end, a longer one is cut.

    Raises:
        AudioFileError: the file is missing, unreadable or empty, or holds samples that are no sound.
    """
    clip = np.zeros(WINDOW_SAMPLES, dtype=np.float32)
    kept = _resampled(path, *_decode(path, _FIRST_S))[:WINDOW_SAMPLES]
    clip[: len(kept)] = kept
    return clip


def read_sound(path: Path) -> NDArray[np.float32]:
    """All of a sound file: (n,) float32 at 16 kHz, channels averaged.

    Raises:
        AudioFileError: as `read_clip`.
    """
    return _resampled(path, *_decode(path))


def pieces_as_heard(
    path: Path, block_samples: int | None = None, notices: list[str] | None = None
) -> Iterator[NDArray[np.float32]]:
    """A recording piece by piece, (n,) float32 at 16 kHz, mono, as the live path hears it.

    Args:
        path: anything that `breath-live replay` takes.
        block_samples: read at a time; None: as the live path does.
        notices: gets what is wrong with it, such as that it was cut off.

    Raises:
        AudioFileError: it cannot be heard.
    """
    with FileSource(path, block_samples=block_samples) as source:
        resampler = Resampler(source.rate_hz)
        for block in source.blocks():
            yield resampler.push(mono_from_samples(block.samples, None))
        yield resampler.finish()
        if notices is not None:
            notices.extend(source.take_notices())


def checksum_and_length(path: Path) -> tuple[int, int]:
    """CRC-32 over the samples that `read_clip` would use, before resampling; and how many it uses, at 16 kHz.

    Also proves that they decode.

    Raises:
        AudioFileError: as `read_clip`.
    """
    samples, rate_hz = _decode(path, _FIRST_S)
    n_samples = min(WINDOW_SAMPLES, round(len(samples) * RATE_HZ / rate_hz))
    return zlib.crc32(samples.tobytes(), rate_hz), n_samples


def _resampled(path: Path, samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    if rate_hz == RATE_HZ:
        return samples
    try:
        resampled: NDArray[np.float32] = soxr.resample(samples, rate_hz, RATE_HZ, quality="HQ")
    except (ValueError, RuntimeError) as error:
        raise AudioFileError(f"cannot resample {path} from {rate_hz} Hz: {error}") from error
    return resampled


def _decode(path: Path, seconds: float | None = None) -> tuple[NDArray[np.float32], int]:
    if not path.is_file():
        raise AudioFileError(f"no such file: {path}")
    try:
        with soundfile.SoundFile(path) as sound:
            rate_hz = int(sound.samplerate)
            wanted = -1 if seconds is None else round(rate_hz * seconds)
            channels = sound.read(wanted, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise AudioFileError(f"cannot read {path} as WAV, FLAC or Ogg: {error}") from error
    if not len(channels):
        raise AudioFileError(f"{path} holds no samples")
    # A comparison with NaN is false.
    is_sound = np.abs(channels) <= LARGEST
    if not is_sound.all():
        sample, channel = np.argwhere(~is_sound)[0]
        raise AudioFileError(
            f"{path} holds samples that are no sound: sample {sample} is {channels[sample, channel]}, and "
            f"{int((~is_sound).sum())} such in all (full scale of floats is 1); check the file for damage"
        )
    mono: NDArray[np.float32] = channels.mean(axis=1, dtype=np.float32)
    return mono, rate_hz
