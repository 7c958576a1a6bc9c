"""`breath-offline build`: from the flags to an engine in the cache."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engines.errors import ConfigError, EngineMissingError
from offline.cli_options import FOLDER, need_workshop, pack_option, read_clips, skip_bad_option

if TYPE_CHECKING:
    from engines.engine_cache import Precision
    from engines.pack import Pack
    from offline.graphs.probes import Windows

_ENGINES = ("tensorrt", "tensorrt-rtx", "onnxruntime", "openvino")
_PRECISIONS = ("fp32", "fp16", "int8")


@click.command()
@pack_option
@click.option("--engine", required=True, type=click.Choice(_ENGINES), help="What they will run on.")
@click.option(
    "--precision",
    type=click.Choice(_PRECISIONS),
    help="What the networks compute in.  [as the pack's graphs are: int8 or fp32]",
)
@click.option(
    "--batch",
    default="1:1:16",
    show_default=True,
    metavar="MIN:OPT:MAX",
    help="Windows in one inference on a GPU: least, likeliest, most.",
)
@click.option("--out", type=FOLDER, help="Folder for engines; see below.")
@click.option("--data", type=FOLDER, help="Labelled clips for the parity gate, besides the edge cases.")
@click.option("--streams", type=FOLDER, help="Labelled streams for it, as compose writes them.")
@skip_bad_option
@click.option("--rebuild", is_flag=True, help="Build an engine of TensorRT also if there is a whole one.")
@click.pass_context
def build(
    ctx: click.Context,
    pack: str,
    engine: str,
    precision: "Precision | None",
    batch: str,
    out: Path | None,
    data: Path | None,
    streams: Path | None,
    rebuild: bool,
    skip_bad: bool,
) -> None:
    """Build a pack's features and networks for an engine, and hold them to float32.

    TensorRT builds on the GPU that the engine is for; TensorRT-RTX anywhere, for every GeForce RTX and
    workstation GPU of its list; OpenVINO for this CPU; ONNX Runtime runs a pack's graphs as they are. What
    was built before and is whole is built again only with --rebuild. fp32 and fp16 take float graphs, which
    export makes, also of a shipped pack.

    The parity gate compares with torch in float32; of a pack without weights, with those that its graphs
    hold. It hears made-up edge cases, and the clips and streams that are given: clips for a pack of clips,
    streams for one of live sound. With streams, the AUC is that of the phases in them. Where the engine
    cannot be run, or there is nothing to hold it to, the gate says so, and says neither passed nor failed.

    Engines lie in the user's cache, where breath-live and benchmark look for them. BREATH_ENGINE_CACHE in the
    environment names another folder, for all three; --out is for this build alone.
    """
    is_on_cpu = engine in ("onnxruntime", "openvino")
    from engines.engine_cache import BatchProfile

    profile = BatchProfile.parse(batch)
    need_workshop("onnx", *(["sklearn"] if data or streams else []))
    from engines.pack import load_pack
    from offline.graphs.build import build_engine

    loaded = load_pack(pack)
    if not loaded.has_graphs:
        raise EngineMissingError(
            f"{loaded.path} holds no ONNX graphs; make them with: breath-offline export --pack {loaded.path}"
        )
    if is_on_cpu:
        foreign = ["rebuild", "batch", *(["out"] if engine == "onnxruntime" else [])]
        for name in foreign:
            if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
                raise ConfigError(f"--{name} has no meaning for {engine}. Leave it out")
        _build_on_cpu(loaded, engine, precision, out, data, streams, skip_bad)
        return
    windows = _windows(data, streams, skip_bad)
    with _phases() as progress:
        built = build_engine(
            loaded,
            engine,
            precision,
            profile,
            root=out,
            windows=windows,
            is_rebuilt=rebuild,
            progress=progress,
            tell=lambda text: click.echo(text, err=True),
        )
    manifest = built.engine.manifest
    if not built.is_new and (data or streams):
        click.echo("what is given for the gate is heard when an engine is built: add --rebuild", err=True)
    click.echo(f"{'built' if built.is_new else 'in the cache already'}: {built.engine.path}")
    for stage, plan in manifest.plans.items():
        click.echo(f"{stage}: {plan.n_bytes / 1e6:.1f} MB; {_text_from_layers(plan.layers)}")
    from offline.graphs.parity import Parity

    click.echo(Parity(**manifest.parity))
    _say_how_it_is_found(out)


def _build_on_cpu(
    pack: "Pack",
    engine: str,
    precision: str | None,
    out: Path | None,
    data: Path | None,
    streams: Path | None,
    skip_bad: bool,
) -> None:
    from offline.graphs.build_cpu import build_on_cpu, check_precision

    check_precision(pack, engine, precision)
    windows = _windows(data, streams, skip_bad)
    with _phases() as progress:
        built = build_on_cpu(pack, engine, windows, root=out, progress=partial(progress, "parity"))
    if built.path is None:
        click.echo(f"{engine} runs the pack's graphs as they are: nothing to build")
    else:
        click.echo(f"compiled: {built.path}, {built.n_bytes / 1e6:.1f} MB")
    for parity in built.parities:
        click.echo(parity)
    if built.path is not None:
        _say_how_it_is_found(out)


def _windows(data: Path | None, streams: Path | None, skip_bad: bool) -> "Windows":
    from offline.graphs.probes import gate_windows
    from offline.streams.files import find_streams

    return gate_windows(
        None if data is None else read_clips(data, skip_bad),
        () if streams is None else find_streams(streams),
    )


def _say_how_it_is_found(out: Path | None) -> None:
    from engines.engine_cache import ROOT_VARIABLE, default_root

    if out is not None and out.resolve() != default_root().resolve():
        click.echo(
            f"breath-live and benchmark find it with {ROOT_VARIABLE}={out.resolve()} in the environment"
        )


def _text_from_layers(layers: dict[str, dict[str, int]]) -> str:
    shown = {kind: layers[kind] for kind in ("CONVOLUTION", "MATRIX_MULTIPLY") if kind in layers}
    return ", ".join(
        f"{count} {kind.lower().replace('_', ' ')} layers in {name}"
        for kind, counts in shown.items()
        for name, count in counts.items()
    )


@contextmanager
def _phases() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for the phase that is under way; a line per phase where standard error is not a terminal."""
    if not sys.stderr.isatty():
        seen: set[str] = set()

        def say(phase: str, _n_done: int, _n_all: int) -> None:
            if phase not in seen:
                seen.add(phase)
                click.echo(phase, err=True)

        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda phase, n_done, n_all: bar.update(task, description=phase, completed=n_done, total=n_all)
