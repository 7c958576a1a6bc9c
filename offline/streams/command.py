"""`breath-offline evaluate --streams`: from the flags to the figures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engines.pack import Pack
from offline.cli_options import progress_bar
from offline.evaluation_output import hand_out, warn
from offline.streams.breath_agreement import QUANTITIES
from offline.streams.evaluate import evaluate_streams
from offline.streams.files import find_streams, notes_from_streams, words_from_count
from offline.streams.measures import (
    BREATH_MEASURES,
    DAY_MEASURES,
    FALSE_MEASURES,
    HEADLINES,
    LOOKAHEAD_MEASURES,
    Measure,
)
from offline.streams.result import OVERALL, SliceScore, StreamEvaluation
from realtime.config import DEFAULT_ORIGIN, Given, resolve
from realtime.pipeline import PipelineSettings

if TYPE_CHECKING:
    from rich.table import Table

_LIVE_KEYS = ("hop_s", "lookahead_s", "channel")


def run(
    folder: Path,
    pack: Pack,
    settings: PipelineSettings,
    lookaheads_s: Sequence[float],
    *,
    engine: str,
    jobs: int,
    json_path: Path | None,
    report: Path | None,
    n_draws: int,
    seed: int,
) -> None:
    """Replay the streams of a folder, print the figures, and write what was asked for.

    Raises:
        BreathError: see `find_streams` and `evaluate_streams`; or a result cannot be written.
    """
    streams = find_streams(folder)
    for note in notes_from_streams(streams):
        click.echo(note, err=True)
    notices: list[str] = []
    with progress_bar("streams") as tell:
        result = evaluate_streams(
            pack,
            streams,
            settings,
            lookaheads_s=lookaheads_s,
            engine=engine,
            jobs=jobs,
            n_draws=n_draws,
            seed=seed,
            progress=tell,
            tell=notices.append,
        )
    for notice in notices:
        click.echo(notice, err=True)

    def report_in(folder: Path) -> Path:
        from offline.streams.report import write_report

        return write_report(result, folder)

    hand_out(
        result.to_json(),
        json_path,
        report,
        write_report=report_in,
        print_figures=lambda: _print(result),
    )
    warn(result.warning)


def settings_from_flags(
    hop: str | None, lookahead: str | None, config: Path | None
) -> tuple[PipelineSettings, tuple[float, ...]]:
    """The settings that `breath-live` would run with here, and further lookaheads; says what is no default.

    Raises:
        ConfigError: a setting that cannot be used.
    """
    first, *others = (lookahead or "").split(",")
    flags = {
        key: Given(text, flag, is_text=True)
        for key, flag, text in (("hop_s", "--hop", hop), ("lookahead_s", "--lookahead", first or None))
        if text is not None
    }
    further = [
        resolve({"lookahead_s": Given(text, "--lookahead", is_text=True)}, config).config.lookahead_s
        for text in others
    ]
    resolved = resolve(flags, config)
    for key, origin in resolved.origins.items():
        if origin != DEFAULT_ORIGIN and (key in _LIVE_KEYS or "." in key):
            click.echo(f"{key} is set by {origin}", err=True)
    return resolved.config.pipeline, tuple(further)


def _print(result: StreamEvaluation) -> None:
    from rich.console import Console

    signature = result.signature
    days = ", ".join(f"{count} {part}" for part, count in signature.days_by_part.items()) or "none stated"
    counted = words_from_count(signature.n_streams, signature.n_spliced)
    click.echo(f"{counted}, {signature.seconds / 60:.1f} min; days: {days}")
    console = Console()
    if result.overall.n_streams:
        console.print(_by_measure(result))
        console.print(_by_quantity(result))
        console.print(_by_slice(result.by_snr, HEADLINES[:4], "breath over noise"))
        if result.by_day:
            console.print(_by_slice(result.by_day, DAY_MEASURES, "each day alone", ("streams", _n_streams)))
        if result.has_lookahead:
            console.print(_by_slice(result.by_lookahead, LOOKAHEAD_MEASURES, "seconds looked ahead"))
    size = ("minutes", _minutes_without_breath)
    console.print(_by_slice(result.without_breath, FALSE_MEASURES, "shown where nobody breathes", size))


def _by_measure(result: StreamEvaluation) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    columns = result.breathing_columns
    caption = (
        f"95 % intervals over days, {result.signature.n_draws} draws; chance: a metronome that hears "
        "nothing, with the mean lengths of the true phases and pauses"
    )
    table = Table("", *(escape(name) for name in columns), caption=caption)
    for measure in BREATH_MEASURES:
        cells = (_text(score, measure, result.chance_of(name)) for name, score in columns.items())
        table.add_row(measure.label, *cells)
    return table


def _by_quantity(result: StreamEvaluation) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    columns = {name: result.breaths[name] for name in result.breathing_columns}
    caption = (
        "rows of breaths: mean of shown - true, limits of agreement (95 %), mean shown for mean true; "
        f"{columns[OVERALL].caption}"
    )
    table = Table("", *(escape(name) for name in columns), caption=caption)
    for quantity in QUANTITIES:
        cells: list[str] = []
        for agreement in columns.values():
            first, *rest = quantity.text(agreement.by_quantity[quantity.name])
            cells.append("\n".join([first, *(f"[dim]{line}[/dim]" for line in rest)]))
        table.add_row(quantity.label, *cells)
    return table


def _by_slice(
    rows: dict[str, SliceScore],
    measures: Sequence[Measure],
    caption: str,
    size: tuple[str, Callable[[SliceScore], str]] | None = None,
) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    heads = [] if size is None else [size[0]]
    table = Table("", *heads, *(measure.label for measure in measures), caption=caption)
    for name, score in rows.items():
        sizes = [] if size is None else [size[1](score)]
        table.add_row(escape(name), *sizes, *(_text(score, measure) for measure in measures))
    return table


def _n_streams(score: SliceScore) -> str:
    return str(score.n_streams)


def _minutes_without_breath(score: SliceScore) -> str:
    return f"{score.seconds_without_breath / 60:.1f}"


def _text(score: SliceScore, measure: Measure, chance: Mapping[str, float] | None = None) -> str:
    interval = measure.interval_text(score.intervals[measure.name])
    guessed = measure.chance_text(chance or {})
    below = "".join(f"\n[dim]{line}[/dim]" for line in (interval, guessed) if line)
    return measure.text(score.measures[measure.name]) + below
