"""`breath-offline benchmark`: from the flags to tables, JSON and a figure."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from engines.backend import ENGINES
from engines.errors import OutputError
from offline.cli_options import FOLDER, need_workshop, pack_option, progress_bar

if TYPE_CHECKING:
    from offline.benchmark.result import BenchmarkResult, BenchmarkSettings

# What a figure needs to be quoted; the limits of fewer belong to tests.
_LEAST_WINDOWS, _LEAST_SECONDS = 1024, 10.0
_REFERENCE_NEEDS = ("torch", "librosa", "scipy", "safetensors")


def _streams(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | Literal["auto"] | None:
    if value is None:
        return None
    if value == "auto":
        return "auto"
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither auto nor a number of streams, 1 or more")
    return int(value)


@click.command()
@pack_option
@click.option(
    "--engine",
    "engines",
    multiple=True,
    default=("auto",),
    type=click.Choice(["auto", *ENGINES]),
    help="Back end; several run side by side.  [auto]",
)
@click.option("--against", type=click.Choice(["reference"]), help="Run the published pipeline beside them.")
@click.option(
    "--streams", metavar="N|auto", callback=_streams, help="Carry so many live streams; auto: find the most."
)
@click.option(
    "--hop", default=0.1, show_default=True, type=click.FloatRange(0.01, 1.0), help="Seconds between windows."
)
@click.option(
    "--windows",
    default=_LEAST_WINDOWS,
    show_default=True,
    type=click.IntRange(min=_LEAST_WINDOWS),
    help="Measure at least so many,",
)
@click.option(
    "--seconds",
    default=_LEAST_SECONDS,
    show_default=True,
    type=click.FloatRange(min=_LEAST_SECONDS),
    help="and for at least so long.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="Of one inference; the engine's choice if not given."
)
@click.option("--json", "json_path", type=FOLDER, help="Write the figures here; - for standard output.")
@click.option("--plot", "plot_path", type=FOLDER, help="Write the distributions into this PNG.")
@click.option("--explain", is_flag=True, help="Say what each number means.")
def benchmark(
    pack: str,
    engines: tuple[str, ...],
    against: str | None,
    streams: int | Literal["auto"] | None,
    hop: float,
    windows: int,
    seconds: float,
    threads: int | None,
    json_path: Path | None,
    plot_path: Path | None,
    explain: bool,
) -> None:
    """Time the live path on this machine, stage by stage.

    From the block of sound that completes a window to the decision, through the code that breath-live runs;
    and what a live session costs between hops. Several engines take turns.
    """
    needed = [*(_REFERENCE_NEEDS if against else ()), *(["matplotlib"] if plot_path else [])]
    need_workshop(*needed)
    from offline.benchmark.result import BenchmarkSettings

    settings = BenchmarkSettings(
        engines=engines,
        is_against_reference=against is not None,
        streams=streams,
        hop_s=hop,
        n_windows=windows,
        seconds=seconds,
        n_threads=threads,
    )
    run(pack, settings, json_path=json_path, plot_path=plot_path, is_explained=explain)


def run(
    pack: str,
    settings: "BenchmarkSettings",
    *,
    json_path: Path | None,
    plot_path: Path | None,
    is_explained: bool,
) -> "BenchmarkResult":
    """Measure, print, and write what was asked for.

    Raises:
        BreathError: see `run_benchmark`; or a result cannot be written.
    """
    from contextlib import ExitStack

    from engines.pack import load_pack
    from offline.benchmark.measurement import run_benchmark
    from offline.output import STANDARD_OUTPUT, check_replaceable, open_output, text_from_json

    loaded = load_pack(pack)
    for target in filter(None, (json_path, plot_path)):
        check_replaceable(target)
    with ExitStack() as outputs:
        # Opened before anything is measured: a path that cannot be written is said at once.
        text = outputs.enter_context(open_output(json_path)) if json_path is not None else None
        if plot_path is not None:
            _check_writable(plot_path)
        result = run_benchmark(loaded, settings, progress_bar)
        if text is not None:
            text.write(text_from_json(result.to_json()))
    if plot_path is not None:
        from offline.benchmark.plot import png_from_result

        _write_bytes(plot_path, png_from_result(result))
    _print(result, is_explained, is_error=json_path == STANDARD_OUTPUT)
    return result


def _print(result: "BenchmarkResult", is_explained: bool, *, is_error: bool) -> None:
    from rich.console import Console

    from offline.benchmark.text import EXPLANATION, print_result

    print_result(result, Console(stderr=is_error))
    if is_explained:
        click.echo(EXPLANATION, err=is_error)


def _check_writable(path: Path) -> None:
    is_new = not path.exists()
    try:
        path.open("ab").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _write_bytes(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
