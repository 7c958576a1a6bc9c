"""What the commands of breath-offline share: options, and the steps around their work; nothing heavy."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engines.backend import ENGINES
from engines.errors import ConfigError
from engines.installing import install_extra
from offline.progress_lines import ProgressLines

if TYPE_CHECKING:
    from offline.clips import ClipSet

FOLDER = click.Path(path_type=Path)

data_option = click.option(
    "--data", required=True, type=FOLDER, help="Folder of a labelled clip set, or its CSV."
)
skip_bad_option = click.option("--skip-bad", is_flag=True, help="Drop what is wrong instead of stopping.")
pack_option = click.option("--pack", default="default", show_default=True, help="Folder of a model pack.")
clip_pack_option = click.option(
    "--pack",
    default="default",
    show_default=True,
    help="Folder of a model pack; default: the shipped one, for clips the one called clips.",
)
engine_option = click.option(
    "--engine", default="auto", show_default=True, type=click.Choice(["auto", *ENGINES]), help="Back end."
)


def seed_option(words: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--seed N`, 0 unless given; `words` say of what."""
    return click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help=words)


def pack_for_clips(name: str) -> str:
    """The pack that `--pack` means where clips are judged, at which the one for live sound is no good."""
    from engines.pack import SHIPPED_PACKS

    is_default = name == "default" or Path(name).expanduser().resolve() == SHIPPED_PACKS["default"].resolve()
    return "clips" if is_default else name


def need_workshop(*modules: str) -> None:
    """Stop before anything is done if a package of the workshop is not installed.

    Raises:
        ConfigError: one of `modules` is not there.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"this command needs {', '.join(missing)}; {install_extra('train')}")


def read_clips(data: Path, skip_bad: bool) -> "ClipSet":
    """The clip set behind `--data`; says on standard error how many clips were skipped.

    Raises:
        LabelsError: something is wrong with it, and it is not to be skipped.
    """
    from offline.clips import ClipSet

    clips = ClipSet.read(data, skip_bad=skip_bad)
    if clips.n_skipped:
        click.echo(f"skipped {clips.n_skipped} clips with something wrong; {len(clips)} are left", err=True)
    return clips


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, moved by calls with (done, all); where it is no terminal, a line a minute."""
    if not sys.stderr.isatty():
        lines = ProgressLines(partial(click.echo, err=True))
        yield partial(lines.tell, what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda n_done, n_all: bar.update(task, completed=n_done, total=n_all)
