"""`breath-offline evaluate --data`: from the flags to the figures."""

import math
from pathlib import Path

import click

from engines.pack import Pack
from offline.cli_options import progress_bar
from offline.clips import ClipSet
from offline.evaluate import Evaluation
from offline.evaluate import evaluate as evaluate_clips
from offline.evaluation_output import hand_out, warn
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
) -> None:
    """Score a pack on labelled clips, print the figures, and write what was asked for.

    Raises:
        BreathError: see `offline.evaluate.evaluate`; or a result cannot be written.
    """
    opened, choice = open_engine(pack, engine)
    with opened:
        click.echo(f"engine {choice.name}: {choice.reason}", err=True)
        with progress_bar("clips") as tell:
            result = evaluate_clips(
                pack, clips, part, engine=opened, n_draws=n_draws, seed=seed, progress=tell
            )

    def report_in(folder: Path) -> Path:
        from offline.report import write_report

        return write_report(result, folder)

    hand_out(
        result.to_json(),
        json_path,
        report,
        write_report=report_in,
        print_figures=lambda: _print(result),
    )
    warn(result.warning)


def _print(result: Evaluation) -> None:
    from rich.console import Console
    from rich.table import Table

    signature = result.signature
    days = ", ".join(f"{count} {part}" for part, count in signature.days_by_part.items())
    click.echo(f"pack {signature.pack} ({signature.pack_sha256[:12]})")
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
            interval = "" if math.isnan(low) else f"{low:.2f}-{high:.2f}".replace("0.", ".")
            cells.append(("-" if math.isnan(value) else f"{value:.3f}") + f"\n{interval}")
        table.add_row(name, *cells)
    Console().print(table)
