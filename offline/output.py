"""A result as text, written as a whole or not at all."""

import io
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from engines.errors import ConfigError, OutputError
from offline.table import clip_columns
from realtime.labels import are_labels

STANDARD_OUTPUT = Path("-")

_PARTIAL = ".partial"

_SOUNDS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"FORM", b"ID3")


def check_replaceable(target: Path, *, own_columns: Sequence[str] = ()) -> None:
    """Refuse to put a result in the place of a sound, or of labels that somebody may have made by hand.

    Args:
        target: of a result.
        own_columns: of the results themselves, if they look like a table of clips; such may be replaced.

    Raises:
        ConfigError: `target` is such a file.
    """
    if not target.is_file():
        return
    try:
        with target.open("rb") as file:
            is_sound = file.read(max(map(len, _SOUNDS))).startswith(_SOUNDS)
    except OSError:
        # That it cannot be written either is said where it is written.
        return
    if is_sound or are_labels(target) or clip_columns(target) not in ([], list(own_columns)):
        what = "a sound" if is_sound else "labels"
        raise ConfigError(f"{target} holds {what}; name another file, so that nothing is lost")


@contextmanager
def open_output(target: Path) -> Iterator[TextIO]:
    """Collect text for `target` (`-`: standard output), and write it when the block ends without an error.

    That `target` can be written is tried before the block begins, since what fills it may take minutes. A
    file that was there is replaced only at the end.

    Raises:
        OutputError: it cannot be written.
    """
    text = io.StringIO(newline="")
    if target == STANDARD_OUTPUT:
        yield text
        sys.stdout.write(text.getvalue())
        return
    # A device or a pipe is written to; only a file can be replaced.
    is_file = target.is_file() or not target.exists()
    fresh = target.with_name(f".{target.name}.partial") if is_file else target
    try:
        try:
            fresh.open("a", encoding="utf-8").close()
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
        yield text
        try:
            fresh.write_text(text.getvalue(), encoding="utf-8", newline="")
            if is_file:
                fresh.replace(target)
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        if is_file:
            fresh.unlink(missing_ok=True)


@contextmanager
def filled_at_once(out: Path, *, last: str = "") -> Iterator[Path]:
    """A hidden folder in `out`, whose content is moved into `out` when the block ends without an error.

    Args:
        out: a folder that is empty, or is made.
        last: what of the content is moved last of all.

    Raises:
        OutputError: `out` holds something, or cannot be written.
    """
    folder = out / _PARTIAL
    is_new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        if strangers := sorted(path.name for path in out.iterdir() if path != folder):
            raise OutputError(f"{out} holds {strangers[0]} already; give --out a new folder, or an empty one")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
            parts = sorted(folder.iterdir(), key=lambda path: (path.name == last, path.name))
            try:
                for part in parts:
                    part.rename(out / part.name)
            except BaseException:
                # Back to where they are removed: half of the content would look like all of it.
                for part in parts:
                    if not part.exists():
                        (out / part.name).rename(part)
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if is_new:
                # It goes only if it is empty.
                with suppress(OSError):
                    out.rmdir()
    except OSError as error:
        raise OutputError(f"cannot write into {out}: {error.strerror or error}") from error


def write_json(target: Path, content: Mapping[str, Any]) -> None:
    """Write JSON to a file, or to standard output (`-`).

    Raises:
        OutputError: it cannot be written.
        ValueError: a number is NaN or infinite, which JSON does not know.
    """
    with open_output(target) as text:
        text.write(text_from_json(content))


def text_from_json(content: Mapping[str, Any]) -> str:
    """JSON for people and programs, with its last end of line."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
