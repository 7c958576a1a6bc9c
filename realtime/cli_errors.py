"""The one place where errors become a line on standard error and an exit code."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from engines.errors import BreathError, ConfigError, OutputError
from realtime.endable import call_endable
from realtime.telling import tell

EXIT_INTERRUPTED = 130

_UNUSABLE_PATHS = (errno.EACCES, errno.ENAMETOOLONG)


class BreathGroup(click.Group):
    """A group of commands whose foreseeable failures end in one line, without a traceback.

    `BreathError` gives `<name of the group>: error: <message>` and the error's exit code, interruption 130.
    A reader of standard output that has left (`| head`) ends the command quietly, with 0; no room there is an
    `OutputError`. A path that nobody may look at, or whose name is too long, counts as an error of usage, as
    click's, with 2. Anything else is a bug of ours, and keeps its traceback.
    """

    signals: Sequence[str] = ("SIGINT",)
    """Of the ones that end a program, those that end a command like an error does: tidily."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program; see `click.Group.main`."""
        _write_utf8()
        return call_endable(partial(super().main, *args, **kwargs), self.signals)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            result = super().invoke(ctx)
            # Here and not at exit, where a lost reader could only be complained about.
            if sys.stdout is not None:
                sys.stdout.flush()
        except BreathError as error:
            tell(f"{self.name}: error: {error}")
            _flush_what_can_be()
            raise click.exceptions.Exit(error.exit_code) from error
        except (KeyboardInterrupt, click.Abort) as interruption:
            click.echo(f"{self.name}: interrupted", err=True)
            raise click.exceptions.Exit(EXIT_INTERRUPTED) from interruption
        except BrokenPipeError as error:
            _discard_output()
            raise click.exceptions.Exit(0) from error
        except OSError as error:
            # Files are opened by name, and their errors say it.
            if error.errno in _UNUSABLE_PATHS and error.filename is not None:
                text = f"{error.filename} cannot be looked at ({error.strerror})"
                mend = "check the name, and who may enter its folder"
                tell(f"{self.name}: error: {text}; {mend}")
                raise click.exceptions.Exit(ConfigError.exit_code) from error
            if error.filename is not None:
                raise
            _discard_output()
            reason = error.strerror or error
            tell(f"{self.name}: error: standard output cannot be written ({reason})")
            raise click.exceptions.Exit(OutputError.exit_code) from error
        return result


def _write_utf8() -> None:
    """What goes to a file or a program is UTF-8 on every system, as what we write to files ourselves.

    A terminal knows its own encoding, and who sets PYTHONIOENCODING has chosen one.
    """
    is_chosen = os.environ.get("PYTHONIOENCODING")
    if isinstance(sys.stdout, io.TextIOWrapper) and not is_chosen and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


def _flush_what_can_be() -> None:
    """Write what is still buffered, or else see that nobody tries again at exit and complains."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        _discard_output()


def _discard_output() -> None:
    """Send what is still buffered for the lost reader nowhere."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
