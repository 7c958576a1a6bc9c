"""A report folder: the figures as PNG, and one page that shows them with the numbers."""

import html
from pathlib import Path

import numpy as np

from offline.evaluate import Evaluation, Score
from offline.metrics import SCORE_NAMES
from offline.page import facts_html, figures_html, page_html, warning_html, write_page
from offline.plots import draw_all

_CAPTIONS = {
    "roc": "Every threshold at once: exhalations found against inhalations mistaken for them.",
    "reliability": "Of clips given a probability, how many are exhalations. Bars: 95 % interval (Wilson).",
    "confusion": "The ensemble's decisions at P(exhale) = 0.5.",
    "probabilities": "The ensemble's probabilities, by label.",
    "days": "Each day alone: a day is often one patient. Bars: 95 % interval (Wilson).",
}


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write the figures and `report.html`, which needs none of the other files, and return its path.

    Raises:
        OutputError: the folder cannot be written.
    """
    images = draw_all(evaluation)
    return write_page(folder, page_from_evaluation(evaluation, images), images)


def page_from_evaluation(evaluation: Evaluation, images: dict[str, bytes]) -> str:
    """The page, with the PNGs inside it; every name in it is escaped."""
    signature = evaluation.signature
    title = f"{signature.pack}: {signature.n_clips} clips, part {signature.part}"
    days = ", ".join(f"{count} {part}" for part, count in signature.days_by_part.items())
    body = f"""<p>Days by the part of the pack's split they belong to: {html.escape(days)}.</p>
{warning_html(evaluation.warning)}
{_table(evaluation.scores)}
<p><small>Below each score its 95 % interval: whole days drawn again {signature.n_draws} times.
Calibration error: 15 bins of confidence (Guo et al. 2017).</small></p>
{figures_html(images, _CAPTIONS)}
<h2>Signature</h2>
{_signature(evaluation)}"""
    return page_html(title, body)


def _table(scores: dict[str, Score]) -> str:
    heads = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in SCORE_NAMES)
    rows = "\n".join(
        f"<tr><th>{html.escape(network)}</th>{''.join(_cell(score, name) for name in SCORE_NAMES)}</tr>"
        for network, score in scores.items()
    )
    return f"<table>\n<tr><th></th>{heads}</tr>\n{rows}\n</table>"


def _cell(score: Score, name: str) -> str:
    value: float = getattr(score.metrics, name)
    if np.isnan(value):
        return "<td>-</td>"
    low, high = score.intervals[name]
    interval = "" if np.isnan(low) else f"<small>{low:.3f} to {high:.3f}</small>"
    return f"<td>{value:.3f}{interval}</td>"


def _signature(evaluation: Evaluation) -> str:
    signature = evaluation.signature
    facts = {
        "feature contract": signature.contract,
        "pack": signature.pack_sha256,
        "clips": signature.clips,
        "seed": str(signature.seed),
        "engine": signature.engine,
        "versions": ", ".join(f"{name} {version}" for name, version in signature.versions.items()),
    }
    return facts_html(facts)
