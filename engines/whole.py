"""Files and folders that are there as a whole, or as they were before."""

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from engines.errors import OutputError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one step: who reads it meanwhile sees the old one or the new one.

    Raises:
        OutputError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def replace_folder(
    place: Path, files: Mapping[str, bytes], check: Callable[[Path], object] = lambda _folder: None
) -> None:
    """Write a folder beside its place, and put it there when it is complete.

    Whatever stops it before that leaves the old folder as it was. Between the two renames at the end the old
    one lies in `.<name>.previous`, from where the next call brings it back; a reader finds no folder then,
    and never half of one.

    Args:
        place: of the folder; its parents are made.
        files: content of each file by its name.
        check: sees the new folder before it takes its place, and may refuse it by raising.

    Raises:
        OSError: it cannot be written.
    """
    partial, previous = (place.with_name(f".{place.name}.{state}") for state in ("partial", "previous"))
    if previous.exists() and not place.exists():
        previous.rename(place)
    for leftover in (partial, previous):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        for name, content in files.items():
            (partial / name).write_bytes(content)
        check(partial)
        if place.exists():
            place.rename(previous)
        try:
            partial.rename(place)
        except OSError:
            if previous.exists():
                previous.rename(place)
            raise
    except Exception:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(previous, ignore_errors=True)
