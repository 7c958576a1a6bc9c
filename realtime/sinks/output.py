"""Lines of text to a file or to standard output, each one written for good before the next."""

import select
import sys
import time
from io import RawIOBase
from typing import BinaryIO

from engines.errors import OutputError
from engines.paths import is_there, path_from_text

STANDARD_OUTPUT = "-"
_WHERE = "name a file in a folder that exists and may be written"
_NOTICE_GROWTH = 10
_LOOK_AGAIN_S = 0.01


def check_target(target: str) -> None:
    """See that a file can be written, and leave what it holds; one that is not there is made, empty.

    Raises:
        ConfigError: `target` can be no path.
        OutputError: it cannot be written.
    """
    if target == STANDARD_OUTPUT:
        return
    path = path_from_text(target)
    # Who reads a pipe would take the closing for the end.
    if is_there(path) and not (path.is_file() or path.is_dir()):
        return
    try:
        path.open("ab").close()
    except OSError as error:
        raise _error(target, error, _WHERE) from error


class LineOutput:
    """A file that grows line by line (UTF-8), opened, and emptied, when created.

    Args:
        target: path of the file, or `-` for standard output.
        is_patient: whether the reader of a pipe, such as standard output, is waited for. Otherwise, for sound
            that does not wait either, a line is left out, and counted, while the pipe is full of what the
            reader has not read.

    Raises:
        ConfigError: `target` can be no path; see `path_from_text`.
        OutputError: the file cannot be opened.
    """

    def __init__(self, target: str, *, is_patient: bool = True) -> None:
        self.is_standard = target == STANDARD_OUTPUT
        self.n_left_out = 0
        self._n_told = 0
        self._is_patient = is_patient
        self.name = "standard output" if self.is_standard else target
        self._has_failed = False
        self._file: BinaryIO | RawIOBase
        if self.is_standard:
            # Python's own text layer would turn line ends and odd file names into something else.
            if sys.stdout is None:
                raise OutputError("standard output is closed; name a file, or leave it open")
            sys.stdout.flush()
            # Without a buffer, of which nobody could say how much of it was written when that fails.
            self._file = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)
            return
        try:
            self._file = path_from_text(target).open("wb", buffering=0)
        except OSError as error:
            raise _error(self.name, error, _WHERE) from error

    def write_line(self, text: str) -> None:
        """Write `text` and an end of line, and hand both to the system; see `is_patient`.

        Raises:
            OutputError: the disk is full, or the file went away.
            BrokenPipeError: whoever read standard output has left.
        """
        if not self._is_patient and not self._has_room():
            self.n_left_out += 1
            return
        try:
            self._write(text.encode("utf-8", "surrogateescape") + b"\n")
        except OSError as error:
            self._has_failed = True
            if self.is_standard and isinstance(error, BrokenPipeError):
                raise
            mend = "what came before is there; make room, or choose another file"
            raise _error(self.name, error, mend) from error

    def _write(self, content: bytes) -> None:
        """All of it: the system may take a part, or, where it is told not to wait, nothing for now."""
        rest = memoryview(content)
        while rest:
            n_written = self._file.write(rest)
            if n_written is None:
                self._wait_for_room()
            else:
                rest = rest[n_written:]

    def _wait_for_room(self) -> None:
        try:
            select.select([], [self._file], [])
        except (OSError, ValueError):  # Windows, see `_has_room`
            time.sleep(_LOOK_AGAIN_S)

    def take_notices(self) -> list[str]:
        """A warning after the first line left out, and again whenever they have become ten times as many."""
        if self.n_left_out < max(1, _NOTICE_GROWTH * self._n_told):
            return []
        self._n_told = self.n_left_out
        lines = "line" if self.n_left_out == 1 else "lines"
        return [f"{self.name}: {self.n_left_out} {lines} left out so far, because its reader is too slow"]

    def close(self) -> None:
        """Close the file; standard output stays open. Closing twice is fine.

        Raises:
            OutputError: the file could not be closed, and nothing else had failed before.
        """
        if self.is_standard:
            return
        try:
            self._file.close()
        except OSError as error:
            if not self._has_failed:
                raise _error(self.name, error, "its end may be missing") from error

    def _has_room(self) -> bool:
        """Whether a line can be written without waiting: to a file always, to a pipe if 4096 bytes fit in."""
        try:
            return bool(select.select([], [self._file], [], 0)[1])
        except (OSError, ValueError):
            # Windows tells it of sockets only; what is no file has nobody who is slow.
            return True


def _error(name: str, error: OSError, mend: str) -> OutputError:
    return OutputError(f"{name} cannot be written ({error.strerror or error}); {mend}")
