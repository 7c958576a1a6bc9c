"""`breath-offline evaluate --streams`: from the flags to the figures."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engines.pack import Pack
from offline.evaluation_output import hand_out, warn_of_seen_days
from offline.predict import Progress
from offline.stream_files import find_streams, words_from_count
from offline.stream_measures import BREATH_MEASURES, FALSE_MEASURES, HEADLINES, Measure
from offline.streams import OVERALL, SliceScore, StreamEvaluation, evaluate_streams
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
    progress: Callable[[str], AbstractContextManager[Progress]],
) -> None:
    """Replay the streams of a folder, print the figures, and write what was asked for.

    Raises:
        BreathError: see `find_streams` and `evaluate_streams`; or a result cannot be written.
    """
    streams = find_streams(folder)
    notices: list[str] = []
    with progress("streams") as tell:
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
        from offline.stream_report import write_report

        return write_report(result, folder)

    hand_out(
        result.to_json(),
        json_path,
        report,
        write_report=report_in,
        print_figures=lambda: _print(result),
    )


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
        columns = {OVERALL: result.overall} | result.by_breathing_kind
        console.print(_by_measure(columns, f"95 % intervals over days, {signature.n_draws} draws"))
        console.print(_by_slice(result.by_snr, HEADLINES[:4], "breath over noise"))
        if len(result.by_lookahead) > 1:
            console.print(_by_slice(result.by_lookahead, HEADLINES[:5], "seconds looked ahead"))
    console.print(_by_slice(result.without_breath, FALSE_MEASURES, "where nobody breathes"))
    warn_of_seen_days(signature.n_seen_days)


def _by_measure(columns: dict[str, SliceScore], caption: str) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table("", *map(escape, columns), caption=caption)
    for measure in BREATH_MEASURES:
        table.add_row(measure.label, *(_text(score, measure) for score in columns.values()))
    return table


def _by_slice(rows: dict[str, SliceScore], measures: Sequence[Measure], caption: str) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table("", *(measure.label for measure in measures), caption=caption)
    for name, score in rows.items():
        table.add_row(escape(name), *(_text(score, measure) for measure in measures))
    return table


def _text(score: SliceScore, measure: Measure) -> str:
    interval = measure.interval_text(score.intervals[measure.name])
    text = measure.text(score.measures[measure.name])
    return f"{text}\n[dim]{interval}[/dim]" if interval else text
