"""`breath-offline`: clips in, model packs out."""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engines.backend import ENGINES
from engines.errors import ConfigError
from realtime.cli_errors import BreathGroup

if TYPE_CHECKING:
    from offline.clips import ClipSet
    from offline.evaluate import Evaluation

# Everything heavy is imported by the command that needs it: help must come at once.

_PARTS = ("unseen", "test", "validation", "train", "all")
_SPECS = ("narrowband", "reference")
_FOLDER = click.Path(path_type=Path)

_data = click.option("--data", required=True, type=_FOLDER, help="Folder of a labelled clip set, or its CSV.")
_skip_bad = click.option("--skip-bad", is_flag=True, help="Drop what is wrong instead of stopping.")
_pack = click.option("--pack", default="default", show_default=True, help="Folder of a model pack.")
_engine = click.option(
    "--engine", default="auto", show_default=True, type=click.Choice(["auto", *ENGINES]), help="Back end."
)


@click.group(name="breath-offline", cls=BreathGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="breath", prog_name="breath-offline")
def main() -> None:
    """Train, measure and export breath-phase networks from labelled clips."""


@main.command()
@_data
@click.option(
    "--out", required=True, type=_FOLDER, help="Folder of the feature store; a started one goes on."
)
@click.option("--spec", default="narrowband", show_default=True, type=click.Choice(_SPECS), help="Features.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; one per core if not given.")
@_skip_bad
def precompute(data: Path, out: Path, spec: str, workers: int | None, skip_bad: bool) -> None:
    """Compute the features of every clip into a store."""
    _need_workshop("torch", "torchaudio")
    from engines.spec import NARROWBAND, FeatureSpec
    from offline import precompute as precomputing

    clips = _read_clips(data, skip_bad)
    chosen = NARROWBAND if spec == "narrowband" else FeatureSpec()
    with _progress("features") as progress:
        precomputing.precompute(clips, out, chosen, workers, progress)
    click.echo(f"{len(clips)} clips in {out}")


@main.command()
@_data
@click.option("--out", required=True, type=_FOLDER, help="Folder of the new model pack.")
@click.option("--epochs", type=click.IntRange(min=1), help="At most this many passes over the clips.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Clips per step.")
@click.option("--seed", type=int, help="Of the split, the weights, the order and the mixing.")
@click.option("--store", type=_FOLDER, help="Feature store to use or make; beside the pack if not given.")
@click.option("--resume", is_flag=True, help="Go on where an earlier run stopped.")
@_skip_bad
def train(
    data: Path,
    out: Path,
    epochs: int | None,
    batch_size: int | None,
    seed: int | None,
    store: Path | None,
    resume: bool,
    skip_bad: bool,
) -> None:
    """Train both networks and write a model pack."""
    _need_workshop("torch", "torchaudio", "sklearn", "onnx", "onnxscript", "safetensors", "tensorboard")
    from offline.settings import TrainSettings
    from offline.train import train_pack

    given: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "seed": seed}
    settings = TrainSettings(**{name: value for name, value in given.items() if value is not None})
    train_pack(_read_clips(data, skip_bad), out, settings, store_folder=store, is_resumed=resume)


@main.command()
@_pack
@click.option("--data", type=_FOLDER, help="Clips to verify the graphs on, besides the edge cases.")
@click.option("--drop-weights", is_flag=True, help="Leave a pack of graphs alone, as it is shipped.")
def export(pack: str, data: Path | None, drop_weights: bool) -> None:
    """Write a pack's ONNX graphs, verified against torch."""
    _need_workshop("torch", "torchaudio", "onnx", "onnxscript", "safetensors")
    from engines.pack import load_pack
    from offline.export import export_pack

    clips = None if data is None else _read_clips(data, skip_bad=False)
    exported = export_pack(load_pack(pack), clips, keep_weights=not drop_weights)
    click.echo(f"graphs in {exported.path}")


@main.command()
@_data
@_pack
@click.option("--part", default="unseen", show_default=True, type=click.Choice(_PARTS), help="Days to score.")
@click.option("--json", "json_path", type=_FOLDER, help="Write the figures here; - for standard output.")
@click.option("--report", type=_FOLDER, help="Write curves and report.html into this folder.")
@_engine
@click.option(
    "--draws", default=1000, show_default=True, type=click.IntRange(min=1), help="Of the bootstrap."
)
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@_skip_bad
def evaluate(
    data: Path,
    pack: str,
    part: str,
    json_path: Path | None,
    report: Path | None,
    engine: str,
    draws: int,
    seed: int,
    skip_bad: bool,
) -> None:
    """Score a pack, and each of its networks, on labelled clips.

    By default on the days that the pack was neither trained nor tuned on: the held-out days of its own clip
    set, every day of another one.
    """
    _need_workshop("sklearn", *(["matplotlib"] if report else []))
    from engines.pack import load_pack
    from offline import evaluate as evaluation
    from offline.output import STANDARD_OUTPUT, open_output
    from realtime.engine import open_engine

    loaded = load_pack(pack)
    clips = _read_clips(data, skip_bad)
    opened, choice = open_engine(loaded, engine)
    with opened:
        click.echo(f"engine {choice.name}: {choice.reason}", err=True)
        with _progress("clips") as progress:
            result = evaluation.evaluate(
                loaded, clips, part, engine=opened, n_draws=draws, seed=seed, progress=progress
            )
    if json_path is not None:
        with open_output(json_path) as text:
            text.write(json.dumps(result.to_json(), indent=2, allow_nan=False) + "\n")
    if report is not None:
        from offline.report import write_report

        click.echo(f"report: {write_report(result, report)}", err=True)
    if json_path != STANDARD_OUTPUT:
        _print_scores(result)


@main.command()
@click.argument("places", nargs=-1, required=True, type=_FOLDER, metavar="WAV_OR_DIR...")
@click.option("--csv", "csv_path", required=True, type=_FOLDER, help="Write here; - for standard output.")
@click.option("--kaggle", is_flag=True, help="Write ID,Target instead of file,prob_exhale,label.")
@_pack
@_engine
@_skip_bad
def predict(
    places: tuple[Path, ...], csv_path: Path, kaggle: bool, pack: str, engine: str, skip_bad: bool
) -> None:
    """Say inhale or exhale for the first second of each sound file."""
    from engines.pack import load_pack
    from offline import predict as prediction
    from offline.output import open_output
    from realtime.engine import open_engine

    loaded = load_pack(pack)
    paths, problems = prediction.find_sounds(places, skip_bad=skip_bad)
    for problem in problems:
        click.echo(f"skipped: {problem}", err=True)
    if kaggle:
        prediction.check_ids(paths)
    opened, _ = open_engine(loaded, engine)
    with open_output(csv_path) as text, opened, _progress("files") as progress:
        predictions = prediction.predict(loaded, opened, paths, progress)
        prediction.write_predictions(predictions, text, kaggle=kaggle)


def _need_workshop(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"this command needs {', '.join(missing)}; pip install 'breath[train]'")


def _read_clips(data: Path, skip_bad: bool) -> "ClipSet":
    from offline.clips import ClipSet

    clips = ClipSet.read(data, skip_bad=skip_bad)
    if clips.n_skipped:
        click.echo(f"skipped {clips.n_skipped} clips with something wrong; {len(clips)} are left", err=True)
    return clips


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error; nothing where that is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda _n_done, _n_all: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda n_done, n_all: bar.update(task, completed=n_done, total=n_all)


def _print_scores(result: "Evaluation") -> None:
    from rich.console import Console
    from rich.table import Table

    signature = result.signature
    days = ", ".join(f"{count} {part}" for part, count in signature.days_by_part.items())
    click.echo(f"{signature.n_clips} clips; days: {days}; left out: {signature.n_days_left_out}")
    columns: dict[str, str] = {
        "accuracy": "accuracy",
        "auc": "AUC",
        "precision": "precision",
        "recall": "recall",
        "f1": "F1",
        "calibration_error": "ECE",
    }
    table = Table("", *columns.values(), caption=f"95 % intervals over days, {signature.n_draws} draws")
    for name, score in result.scores.items():
        cells: list[str] = []
        for key in columns:
            value: Any = getattr(score.metrics, key)
            low, high = score.intervals[key]
            cells.append(f"{value:.3f}\n{low:.2f}-{high:.2f}")
        table.add_row(name, *cells)
    Console().print(table)
    if signature.n_seen_days:
        click.echo(
            f"warning: {signature.n_seen_days} of these days were used to train or tune this pack: "
            "the figures say little about new recordings",
            err=True,
        )


if __name__ == "__main__":
    main()
