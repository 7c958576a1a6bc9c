"""A lock between processes that the system gives back when its holder dies."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from engines.errors import OutputError


@contextlib.contextmanager
def file_lock(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of `path`, an empty file that stays behind.

    Args:
        path: in a folder that exists.
        on_wait: called once if somebody else holds the lock, before waiting for as long as that takes.

    Raises:
        OutputError: the file cannot be made, or the file system knows no locks.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    try:
        try:
            if not _try_lock(handle):
                on_wait()
                _wait_for_lock(handle)
        except OSError as error:
            raise OutputError(
                f"{path} cannot be locked: {error.strerror or error}; use a folder on a disk of this machine"
            ) from error
        yield
    finally:
        os.close(handle)


if os.name == "nt":  # pragma: no cover
    import msvcrt
    import time

    def _try_lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True

    def _wait_for_lock(handle: int) -> None:
        while not _try_lock(handle):
            time.sleep(0.2)

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait_for_lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX)
