"""Recordings as a source of sound: anything libsndfile reads, as far as it can be read."""

import re
import stat
import threading
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from engines.errors import AudioFileError
from realtime.sound.pacing import REAL_CLOCK, WallClock
from realtime.sound.sources import PacedSource

# Small, because a decoder that meets the end of a broken file throws away the piece it was asked for.
_PIECE_SAMPLES = 1024

# Programs that write to a pipe cannot know the length and put a huge number in its place.
_LENGTH_UNKNOWN_BYTES = 0x7FFF_0000

# An MP3 without an index only lets its length be guessed.
_MPEG_LENGTH_TOLERANCE = 0.02

_DECLARED_AND_FOUND = re.compile(
    r"^\s*(?:data|SSND|riff|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE
)
_SAYS_CUT_OFF = re.compile(r"does not match value from 'ds64'|Last page lacks an end-of-stream bit")


class _SequentialFile(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that is only read onwards.

    After every read soundfile seeks to where it already is. That is meant to change nothing, but an MP3
    decoder loses what it carries from frame to frame, and the sound then depends on the size of the reads.
    """

    def seekable(self) -> bool:
        return False


class FileSource(PacedSource):
    """Plays a recording of any rate and channel count.

    What the header says about the length is never believed: the file is read piece by piece until nothing
    more comes. A file that is cut off or damaged ends there, and a notice says so; the same samples come
    out whatever `block_samples` is. `name` is the path. It may be closed on another thread than reads it.

    Args:
        path: the file; its format is found out by libsndfile (WAV, FLAC, OGG, MP3, AIFF and others).
        block_samples: see `PacedSource`.
        pace: see `PacedSource`; None reads as fast as possible.
        clock: see `PacedSource`.

    Raises:
        AudioFileError: the file is missing, unreadable, or holds no sound.
        ConfigError: `block_samples` or `pace` cannot be used.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        block_samples: int | None = None,
        pace: float | None = None,
        clock: WallClock = REAL_CLOCK,
    ) -> None:
        self._file = _opened(Path(path))
        # libsndfile gives back what another thread is still reading from.
        self._in_use = threading.Lock()
        self._decoder_error = ""
        try:
            super().__init__(
                str(path),
                self._file.samplerate,
                self._file.channels,
                block_samples=block_samples,
                pace=pace,
                clock=clock,
            )
            # Read at once, so that a file without sound is refused before anything else starts.
            self._first_piece = self._read()
            if len(self._first_piece) == 0:
                why = self._decoder_error or "it is empty, or was cut off before the first sample"
                raise AudioFileError(f"{path} holds no sound: {why}; record or copy it again")
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """See `AudioSource`."""
        super().close()
        with self._in_use:
            self._file.close()

    def _pieces(self) -> Iterator[NDArray[np.float32]]:
        piece = self._first_piece
        n_read = 0
        while len(piece) > 0:
            n_read += len(piece)
            yield piece
            if self.is_closed:
                return
            piece = self._read()
        with self._in_use:
            if not self._file.closed:
                self._notice_if_cut_off(n_read)

    def _read(self) -> NDArray[np.float32]:
        room = np.empty((_PIECE_SAMPLES, self.n_channels), np.float32)
        with self._in_use:
            if self._file.closed:
                return room[:0]
            try:
                piece: NDArray[np.float32] = self._file.read(out=room)
            except soundfile.SoundFileError as error:
                self._decoder_error = str(error).strip().rstrip(".")
                return room[:0]
        return piece

    def _notice_if_cut_off(self, n_read: int) -> None:
        end_s = n_read / self.rate_hz
        if self._decoder_error:
            self._notices.append(
                f"{self.name} is cut off or damaged: it was read up to {end_s:.2f} s and not further "
                f"({self._decoder_error}); the rest is missing - copy the file again if it should be longer"
            )
        elif _is_cut_off(self._file, n_read):
            self._notices.append(
                f"{self.name} is cut off: its header promises more than the {end_s:.2f} s that are there; "
                "the rest is missing - copy the file again if it should be longer"
            )


def _opened(path: Path) -> Any:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AudioFileError(f"there is no file {path}; check the name and the folder") from error
    except OSError as error:
        raise AudioFileError(
            f"{path} cannot be looked at ({error.strerror}); check the name, and who may enter its folder"
        ) from error
    if stat.S_ISDIR(status.st_mode):
        raise AudioFileError(f"{path} is a folder; name the sound files in it")
    if not stat.S_ISREG(status.st_mode):
        what = "a pipe, which cannot be read twice" if stat.S_ISFIFO(status.st_mode) else "no file"
        raise AudioFileError(f"{path} is {what}; save the sound first")
    if status.st_size == 0:
        raise AudioFileError(f"{path} is empty; copy or record it again")
    try:
        return _SequentialFile(path)
    # A TypeError is soundfile's way to ask for the rate of a headerless .raw file.
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise AudioFileError(
            f"{path} cannot be read as sound ({str(error).strip().rstrip('.')}); "
            f"convert it first, for example: ffmpeg -i {path} {path.with_name(path.stem)}-converted.wav"
        ) from error


def _is_cut_off(file: Any, n_read: int) -> bool:
    """Whether less sound was there than the header declares, by the count or by libsndfile's own log."""
    missing = file.frames - n_read
    if missing > (file.frames * _MPEG_LENGTH_TOLERANCE if file.format in ("MP3", "MPEG") else 0):
        return True
    log = str(file.extra_info)
    for declared, found in _DECLARED_AND_FOUND.findall(log):
        if int(found) < int(declared) < _LENGTH_UNKNOWN_BYTES:
            return True
    return _SAYS_CUT_OFF.search(log) is not None
