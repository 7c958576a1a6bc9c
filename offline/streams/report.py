"""The report of the streaming benchmark: figures as PNG, and one page that shows them with the numbers."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from offline.page import facts_html, figures_html, page_html, warning_html, write_page
from offline.streams.breath_agreement import QUANTITIES
from offline.streams.chance import Chance, Metronome
from offline.streams.files import words_from_count
from offline.streams.measures import BREATH_MEASURES, FALSE_MEASURES, HEADLINES, LOOKAHEAD_MEASURES, Measure
from offline.streams.plots import draw_all
from offline.streams.result import SliceScore, StreamEvaluation
from realtime.telling import counted

_CAPTIONS = {
    "typical": "The stream in the middle of all, by macro-F1 live. Shown phases begin where they were shown.",
    "worst": "The stream with the lowest macro-F1 live.",
    "delays": "Of the onsets found: from the true onset to the moment the phase was shown.",
    "noise": "Streams by level of breath over noise. Bars: 95 % interval over days.",
    "days": "Each day alone: a day is often one patient.",
    "reliability": "How often it is so, by the confidence: the phase within true phases, and what is shown.",
}
_WIDE = ("typical", "worst")
_CHANCE = """What a metronome that hears nothing reaches, by the same rules: inhalations, exhalations and
pauses, each of the mean length that it has in the truth of streams of the same kind, long pauses left out. It
knows more of them than a listener does; nothing is said of what follows from that alone, such as how many
phases are shown."""
_SPLICED = """
Spliced streams are made of real sound, phase by phase, in an order and with pauses that are made up."""


def write_report(evaluation: StreamEvaluation, folder: Path) -> Path:
    """Write the figures and `report.html`, which needs none of the other files, and return its path.

    Raises:
        OutputError: the folder cannot be written.
    """
    images = draw_all(evaluation)
    return write_page(folder, page_from_evaluation(evaluation, images), images)


def page_from_evaluation(evaluation: StreamEvaluation, images: Mapping[str, bytes]) -> str:
    """The page, with the PNGs inside it; every name in it is escaped."""
    signature = evaluation.signature
    hop_s = signature.settings["hop_s"]
    streams = words_from_count(signature.n_streams, signature.n_spliced)
    title = f"{signature.pack}: {streams}, {signature.seconds / 60:.1f} minutes"
    wide = {name: image for name, image in images.items() if name in _WIDE}
    small = {name: image for name, image in images.items() if name not in _WIDE}
    body = f"""<p>The live path heard each stream from its start to its end, with an answer every {hop_s:g} s.
What it showed is held against the truth of that moment. Days by the part of the pack's split they belong
to: {html.escape(_days(evaluation))}.{_SPLICED if signature.n_spliced else ""}</p>
{warning_html(evaluation.warning)}
{_breath_tables(evaluation)}
<h2>Where nobody breathes</h2>
{_false_table(evaluation)}
<h2>Figures</h2>
{figures_html(wide, _CAPTIONS, is_wide=True)}
{figures_html(small, _CAPTIONS)}
{_parts(evaluation)}
<h2>What the measures mean</h2>
{_meanings()}
<h2>Signature</h2>
{facts_html(_facts(evaluation))}"""
    return page_html(title, body)


def _days(evaluation: StreamEvaluation) -> str:
    parts = evaluation.signature.days_by_part
    return ", ".join(f"{count} {part}" for part, count in parts.items()) or "no stream states its day"


def _breath_tables(evaluation: StreamEvaluation) -> str:
    if not evaluation.overall.n_streams:
        return "<p>No stream holds breath: there is nothing to follow, only false breaths to count.</p>"
    rest = [measure for measure in BREATH_MEASURES if measure not in HEADLINES]
    return f"""{_in_words(evaluation.overall.measures)}
{_chance_in_words(evaluation.chance)}
{_measure_table(evaluation, HEADLINES)}
<p><small>Below each figure its 95 % interval: whole days drawn again
{evaluation.signature.n_draws} times; and what the metronome reaches.</small></p>
<details><summary>All other measures</summary>
{_measure_table(evaluation, rest)}
</details>
<h2>Rows of breaths</h2>
<p>What <code>--breaths</code> writes, against the breaths of the truth: {_found_in_words(evaluation)}. The
mean of shown - true; the limits between which nineteen of twenty differences lie (Bland and Altman 1986); and
the mean that is shown, for that of the truth.</p>
{_agreement_table(evaluation)}"""


def _in_words(measures: Mapping[str, float]) -> str:
    """What the headlines say to somebody who does not know the measures; nothing if nothing was found."""
    names = ("onset_recall", "onset_precision", "onset_delay_p50_s", "onset_delay_p90_s")
    recall, precision, p50_s, p90_s = (measures[name] for name in names)
    if np.isnan([recall, precision, p50_s, p90_s]).any():
        return ""
    return (
        f"<p>Of 100 inhalations and exhalations, {100 * recall:.0f} are shown as what they are: half of them "
        f"within {p50_s:.2f} s of their beginning, nine of ten within {p90_s:.2f} s. "
        f"Of 100 that are shown, {100 * precision:.0f} are right.</p>"
    )


def _chance_in_words(chance: Chance) -> str:
    """What a metronome is, how it beats here, and what the headlines say to somebody of it."""
    recall, precision = (chance.overall[name] for name in ("onset_recall", "onset_precision"))
    lengths = "; ".join(f"{kind}: {_lengths(one)}" for kind, one in chance.metronomes.items())
    return (
        "<p>By chance: a metronome that hears nothing, and only knows how long phases and pauses are on "
        f"average, shows {100 * recall:.0f} of 100 phases as what they are, and of 100 that it shows "
        f"{100 * precision:.0f} are right. <small>Its lengths: {html.escape(lengths)}.</small></p>"
    )


def _lengths(metronome: Metronome) -> str:
    words = ("inhalation", "pause", "exhalation", "pause")
    lengths = metronome.lengths_s.values()
    return ", ".join(f"{word} {length_s:.2f} s" for word, length_s in zip(words, lengths, strict=True))


def _measure_table(evaluation: StreamEvaluation, measures: Sequence[Measure]) -> str:
    columns = evaluation.breathing_columns
    heads = "".join(
        f"<th>{html.escape(name)}<small>{_size(score.n_streams, score.seconds)}</small></th>"
        for name, score in columns.items()
    )
    rows = "\n".join(
        f"<tr><th>{html.escape(measure.label)}</th>"
        f"{''.join(_cell(one, measure, evaluation.chance_of(name)) for name, one in columns.items())}</tr>"
        for measure in measures
    )
    return _table(f"<th></th>{heads}", rows)


def _found_in_words(evaluation: StreamEvaluation) -> str:
    said = (f"{name}: {evaluation.breaths[name].caption}" for name in evaluation.breathing_columns)
    return html.escape("; ".join(said))


def _agreement_table(evaluation: StreamEvaluation) -> str:
    columns = [evaluation.breaths[name] for name in evaluation.breathing_columns]
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in evaluation.breathing_columns)
    rows = "\n".join(
        f"<tr><th>{html.escape(quantity.label)}</th>"
        f"{''.join(_agreement_cell(quantity.text(one.by_quantity[quantity.name])) for one in columns)}</tr>"
        for quantity in QUANTITIES
    )
    return _table(f"<th></th>{heads}", rows)


def _agreement_cell(lines: tuple[str, ...]) -> str:
    first, *below = lines
    return f"<td>{first}{''.join(f'<small>{line}</small>' for line in below)}</td>"


def _slice_table(
    slices: Mapping[str, SliceScore], sizes: Mapping[str, str], word: str, measures: Sequence[Measure]
) -> str:
    heads = "".join(f"<th>{html.escape(measure.label)}</th>" for measure in measures)
    rows = "\n".join(
        f"<tr><th>{html.escape(name)}<small>{sizes[name]}</small></th>"
        f"{''.join(_cell(score, measure) for measure in measures)}</tr>"
        for name, score in slices.items()
    )
    return _table(f"<th>{html.escape(word)}</th>{heads}", rows)


def _cell(score: SliceScore, measure: Measure, chance: Mapping[str, float] | None = None) -> str:
    lines = (measure.interval_text(score.intervals[measure.name]), measure.chance_text(chance or {}))
    below = "".join(f"<small>{line}</small>" for line in lines if line)
    return f"<td>{measure.text(score.measures[measure.name])}{below}</td>"


def _false_table(evaluation: StreamEvaluation) -> str:
    rows = evaluation.without_breath
    sizes = {name: _size(score.n_streams, score.seconds_without_breath) for name, score in rows.items()}
    return _slice_table(rows, sizes, "sound", FALSE_MEASURES)


def _parts(evaluation: StreamEvaluation) -> str:
    sections = []
    lookaheads = {f"{name} s": score for name, score in evaluation.by_lookahead.items()}
    has_lookahead = evaluation.overall.n_streams and evaluation.has_lookahead
    for word, slices, measures in (
        ("noise", evaluation.by_snr, HEADLINES),
        ("day", evaluation.by_day, HEADLINES),
        ("lookahead", lookaheads if has_lookahead else {}, LOOKAHEAD_MEASURES),
    ):
        if slices:
            sizes = {name: _size(score.n_streams, score.seconds) for name, score in slices.items()}
            sections.append(f"<h2>By {word}</h2>\n{_slice_table(slices, sizes, word, measures)}")
    sections.append(f"<details><summary>Every stream</summary>\n{_stream_table(evaluation)}\n</details>")
    return "\n".join(sections)


def _stream_table(evaluation: StreamEvaluation) -> str:
    measures = (*HEADLINES[:-1], FALSE_MEASURES[0])
    heads = "".join(f"<th>{html.escape(measure.label)}</th>" for measure in measures)
    rows: list[str] = []
    for result in evaluation.streams:
        stream = result.stream
        snr = "-" if stream.snr_db is None else f"{stream.snr_db:.0f} dB"
        facts = (stream.kind, stream.day or "-", snr)
        # Macro-F1 and onsets of a stream in which nobody breathes say nothing.
        values = [
            measure.text(result.measures[measure.name]) if stream.truth or measure in FALSE_MEASURES else "-"
            for measure in measures
        ]
        cells = "".join(f"<td>{html.escape(text)}</td>" for text in (*facts, *values))
        rows.append(f"<tr><th>{html.escape(stream.name)}</th>{cells}</tr>")
    return _table(f"<th>stream</th><th>kind</th><th>day</th><th>noise</th>{heads}", "\n".join(rows))


def _table(heads: str, rows: str) -> str:
    return f'<div class="scroll"><table>\n<tr>{heads}</tr>\n{rows}\n</table></div>'


def _meanings() -> str:
    measures = dict.fromkeys((*BREATH_MEASURES, *LOOKAHEAD_MEASURES, *FALSE_MEASURES))
    meanings = {**{measure.label: measure.meaning for measure in measures}, "chance": _CHANCE}
    entries = "\n".join(
        f"<dt>{html.escape(label)}</dt><dd>{html.escape(meaning)}</dd>" for label, meaning in meanings.items()
    )
    return f"<dl>\n{entries}\n</dl>"


def _size(n_streams: int, seconds: float) -> str:
    return f"{counted(n_streams, 'stream')}, {seconds / 60:.1f} min"


def _facts(evaluation: StreamEvaluation) -> dict[str, str]:
    signature = evaluation.signature
    return {
        "feature contract": signature.contract,
        "pack": signature.pack_sha256,
        "streams": signature.streams,
        "settings": json.dumps(signature.settings, default=str),
        "rules": json.dumps(signature.rules),
        "seed": str(signature.seed),
        "engine": signature.engine,
        "versions": ", ".join(f"{name} {version}" for name, version in signature.versions.items()),
    }
