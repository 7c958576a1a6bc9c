"""`breath-offline evaluate --data`: from the flags to the figures."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import click

from engines.pack import Pack
from offline.clips import ClipSet
from offline.evaluate import Evaluation
from offline.evaluate import evaluate as evaluate_clips
from offline.output import STANDARD_OUTPUT, open_output
from offline.predict import Progress
from realtime.engine import open_engine


def run(
    clips: ClipSet,
    pack: Pack,
    *,
    part: str,
    engine: str,
    json_path: Path | None,
    report: Path | None,
    n_draws: int,
    seed: int,
    progress: Callable[[str], AbstractContextManager[Progress]],
) -> None:
    """Score a pack on labelled clips, print the figures, and write what was asked for.

    Raises:
        BreathError: see `offline.evaluate.evaluate`; or a result cannot be written.
    """
    opened, choice = open_engine(pack, engine)
    with opened:
        click.echo(f"engine {choice.name}: {choice.reason}", err=True)
        with progress("clips") as tell:
            result = evaluate_clips(
                pack, clips, part, engine=opened, n_draws=n_draws, seed=seed, progress=tell
            )
    if json_path is not None:
        with open_output(json_path) as text:
            text.write(json.dumps(result.to_json(), indent=2, allow_nan=False) + "\n")
    if report is not None:
        from offline.report import write_report

        click.echo(f"report: {write_report(result, report)}", err=True)
    if json_path != STANDARD_OUTPUT:
        _print(result)


def _print(result: Evaluation) -> None:
    from rich.console import Console
    from rich.table import Table

    signature = result.signature
    days = ", ".join(f"{count} {part}" for part, count in signature.days_by_part.items())
    click.echo(f"{signature.n_clips} clips; days: {days}; left out: {signature.n_days_left_out}")
    columns = {
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
            value: float = getattr(score.metrics, key)
            low, high = score.intervals[key]
            cells.append(f"{value:.3f}\n" + f"{low:.2f}-{high:.2f}".replace("0.", "."))
        table.add_row(name, *cells)
    Console().print(table)
    if signature.n_seen_days:
        click.echo(
            f"warning: {signature.n_seen_days} of these days were used to train or tune this pack: "
            "the figures say little about new recordings",
            err=True,
        )
