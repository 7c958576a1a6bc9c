"""One clip's samples: the first second of a sound file, at 16 kHz."""

import zlib
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from engines.errors import AudioFileError
from realtime.sound.sources import LARGEST

SOUND_SUFFIXES: tuple[str, ...] = (".wav", ".flac", ".ogg")

# The resampler's filter looks ahead: what follows the first second shapes its last samples.
_MARGIN_S = 0.25


def read_clip(path: Path) -> NDArray[np.float32]:
    """The first second of a sound file: (16000,) float32 at 16 kHz, full scale +-1.

    Channels are averaged; a shorter sound is padded with zeros at its end, a longer one is cut.

    Raises:
        AudioFileError: the file is missing, unreadable or empty, or holds samples that are no sound.
    """
    samples, rate_hz = _decode(path)
    if rate_hz != RATE_HZ:
        try:
            samples = soxr.resample(samples, rate_hz, RATE_HZ, quality="HQ")
        except (ValueError, RuntimeError) as error:
            raise AudioFileError(f"cannot resample {path} from {rate_hz} Hz: {error}") from error
    clip = np.zeros(WINDOW_SAMPLES, dtype=np.float32)
    kept = samples[:WINDOW_SAMPLES]
    clip[: len(kept)] = kept
    return clip


def checksum_and_length(path: Path) -> tuple[int, int]:
    """CRC-32 over the samples that `read_clip` would use, before resampling; and how many it uses, at 16 kHz.

    Also proves that they decode.

    Raises:
        AudioFileError: as `read_clip`.
    """
    samples, rate_hz = _decode(path)
    n_samples = min(WINDOW_SAMPLES, round(len(samples) * RATE_HZ / rate_hz))
    return zlib.crc32(samples.tobytes(), rate_hz), n_samples


def _decode(path: Path) -> tuple[NDArray[np.float32], int]:
    if not path.is_file():
        raise AudioFileError(f"no such file: {path}")
    try:
        with soundfile.SoundFile(path) as sound:
            rate_hz = int(sound.samplerate)
            wanted = round(rate_hz * (WINDOW_SAMPLES / RATE_HZ + _MARGIN_S))
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
