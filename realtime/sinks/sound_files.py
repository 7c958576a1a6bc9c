"""Sound files that grow, 16 kHz and one channel, and can be read at any moment of that."""

import contextlib
import struct
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.contract import RATE_HZ
from engines.errors import OutputError
from realtime.sinks.output import check_target

SUFFIXES = (".wav", ".flac")
HEADER_BYTES = 94
_SAMPLE_BYTES = 4
_IEEE_FLOAT = 3
_LARGEST_32_BIT = 0xFFFF_FFFF
_FLAC_FULL_SCALE = 2**23


class SoundWriter(Protocol):
    """A sound file under construction."""

    @property
    def n_samples(self) -> int:
        """Samples written so far."""

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append (n,) float32.

        Raises:
            OutputError: the disk is full, or the file went away; what was written before is there.
        """

    def write_silence(self, n_samples: int) -> None:
        """Append so many zeros.

        Raises:
            OutputError: as `write`.
        """

    def close(self) -> None:
        """Finish the file; closing twice is fine.

        Raises:
            OutputError: it could not be finished, and no other error was raised before.
        """


class WavWriter:
    """Writes 32-bit floats: what is read back is what was heard, bit for bit.

    Every piece is handed to the system at once, and the header is brought up to date after every second of
    sound, when writing fails, and at the end. After a crash of the program the file can be read up to the
    last second at least. Beyond 4 GiB (18 hours) the header turns from RIFF to RF64, for which it has room
    (EBU Tech 3306).

    Args:
        file: empty, open for writing, unbuffered and seekable; it is closed in the end.
        name: for messages.

    Raises:
        OutputError: the header cannot be written.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._n_bytes = 0
        self._n_told = 0
        self._has_failed = False
        try:
            self._write_all(wav_header(0))
        except OSError as error:
            self._file.close()
            raise _output_error(name, error) from error

    @property
    def n_samples(self) -> int:
        """See `SoundWriter`."""
        return self._n_bytes // _SAMPLE_BYTES

    def write(self, samples: NDArray[np.float32]) -> None:
        """See `SoundWriter`."""
        content = memoryview(samples.astype("<f4").tobytes())
        try:
            while content:
                n_written = self._file.write(content)
                self._n_bytes += n_written
                content = content[n_written:]
            if self.n_samples - self._n_told >= RATE_HZ:
                self._tell_length()
        except OSError as error:
            self._fail(error)

    def write_silence(self, n_samples: int) -> None:
        """See `SoundWriter`. A hole in the file, where the file system has such."""
        try:
            self._n_bytes += n_samples * _SAMPLE_BYTES
            self._file.seek(HEADER_BYTES + self._n_bytes)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """See `SoundWriter`."""
        if self._file.closed:
            return
        try:
            if not self._has_failed:
                self._tell_length()
        except OSError as error:
            self._fail(error)
        finally:
            self._file.close()

    def _tell_length(self) -> None:
        self._n_told = self.n_samples
        self._file.seek(0)
        self._write_all(wav_header(self.n_samples))
        self._file.seek(HEADER_BYTES + self._n_bytes)

    def _write_all(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _fail(self, error: OSError) -> None:
        self._has_failed = True
        # The header is there already, so writing it again needs no room.
        with contextlib.suppress(OSError):
            self._tell_length()
        raise _output_error(self._name, error) from error


class FlacWriter:
    """Writes FLAC of 24 bits by libsndfile: exact for sound of a 16-bit or 24-bit device at 16 kHz.

    Anything else is rounded to 24 bits, and clipped at full scale. After a crash of the program the file
    can be read up to about the last half second.

    Args:
        path: of the file; what is there is overwritten.

    Raises:
        OutputError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        import soundfile

        self._name = str(path)
        self._failures = (soundfile.LibsndfileError, OSError, AssertionError)
        self._has_failed = False
        self.n_samples = 0
        try:
            self._file = soundfile.SoundFile(
                self._name, "w", samplerate=RATE_HZ, channels=1, subtype="PCM_24", format="FLAC"
            )
        except self._failures as error:
            raise _output_error(self._name, error) from error

    def write(self, samples: NDArray[np.float32]) -> None:
        """See `SoundWriter`."""
        # libsndfile itself would scale floats by 2^23 - 1, which no reader takes back.
        scaled = np.rint(samples.astype(np.float64) * _FLAC_FULL_SCALE)
        whole = np.clip(scaled, -_FLAC_FULL_SCALE, _FLAC_FULL_SCALE - 1).astype(np.int32)
        try:
            self._file.write(whole << 8)
        # soundfile asserts that all was written, which it is not on a full disk.
        except self._failures as error:
            self._has_failed = True
            raise _output_error(self._name, error) from error
        self.n_samples += len(samples)

    def write_silence(self, n_samples: int) -> None:
        """See `SoundWriter`."""
        for start in range(0, n_samples, RATE_HZ):
            self.write(np.zeros(min(RATE_HZ, n_samples - start), np.float32))

    def close(self) -> None:
        """See `SoundWriter`."""
        try:
            self._file.close()
        except self._failures as error:
            if not self._has_failed:
                self._has_failed = True
                raise _output_error(self._name, error) from error


def open_sound_writer(path: Path) -> SoundWriter:
    """A writer for the kind of file that the name's end tells, one of `SUFFIXES`.

    Raises:
        OutputError: the file cannot be opened.
    """
    check_target(str(path))
    if path.suffix.lower() == ".flac":
        return FlacWriter(path)
    try:
        file = path.open("wb", buffering=0)
    except OSError as error:
        raise _output_error(str(path), error) from error
    return WavWriter(file, str(path))


def wav_header(n_samples: int) -> bytes:
    """The first 94 bytes of a WAV of `n_samples` 32-bit floats, of any length."""
    data_bytes = n_samples * _SAMPLE_BYTES
    riff_bytes = HEADER_BYTES - 8 + data_bytes
    is_long = riff_bytes > _LARGEST_32_BIT
    byte_rate = RATE_HZ * _SAMPLE_BYTES
    # fmt: off
    return b"".join((
        struct.pack("<4sI4s", b"RF64" if is_long else b"RIFF", min(riff_bytes, _LARGEST_32_BIT), b"WAVE"),
        struct.pack("<4sIQQQI", b"ds64", 28, riff_bytes, data_bytes, n_samples, 0)
        if is_long else struct.pack("<4sI28x", b"JUNK", 28),
        struct.pack("<4sIHHIIHHH", b"fmt ", 18, _IEEE_FLOAT, 1, RATE_HZ, byte_rate, _SAMPLE_BYTES, 32, 0),
        struct.pack("<4sII", b"fact", 4, min(n_samples, _LARGEST_32_BIT)),
        struct.pack("<4sI", b"data", _LARGEST_32_BIT if is_long else data_bytes),
    ))
    # fmt: on


def _output_error(name: str, error: Exception) -> OutputError:
    reason = getattr(error, "strerror", None) or str(error) or "the disk may be full"
    return OutputError(
        f"{name} cannot be written ({reason}); what came before is there; make room, or choose another file"
    )
