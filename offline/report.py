"""A report folder: the figures as PNG, and one page that shows them with the numbers."""

import base64
import html
from pathlib import Path

import numpy as np

from engines.errors import OutputError
from offline.evaluate import Evaluation, Score
from offline.metrics import SCORE_NAMES
from offline.plots import draw_all

_PAGE_NAME = "report.html"
_CAPTIONS = {
    "roc": "Every threshold at once: exhalations found against inhalations mistaken for them.",
    "reliability": "Of clips given a probability, how many are exhalations. Bars: 95 % interval (Wilson).",
    "confusion": "The ensemble's decisions at P(exhale) = 0.5.",
    "probabilities": "The ensemble's probabilities, by label.",
    "days": "Each day alone: a day is often one patient. Bars: 95 % interval (Wilson).",
}
_CSS = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem }
body { margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; vertical-align: top }
th { font-weight: 600 }
td { border-top: 1px solid #ddd; font-variant-numeric: tabular-nums }
small { color: #666; display: block }
.figures { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: start }
figure { margin: 0; flex: 1 1 26rem; max-width: 34rem } img { width: 100% } figcaption { color: #666 }
.warning { border-left: .3rem solid #D55E00; padding: .2rem 1rem }
code { overflow-wrap: anywhere }
"""


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write the figures and `report.html`, which needs none of the other files, and return its path.

    Raises:
        OutputError: the folder cannot be written.
    """
    images = draw_all(evaluation)
    page = folder / _PAGE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, image in images.items():
            (folder / f"{name}.png").write_bytes(image)
        page.write_text(page_from_evaluation(evaluation, images), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write the report to {folder}: {error.strerror or error}") from error
    return page


def page_from_evaluation(evaluation: Evaluation, images: dict[str, bytes]) -> str:
    """The page, with the PNGs inside it; every name in it is escaped."""
    signature = evaluation.signature
    title = html.escape(f"{signature.pack}: {signature.n_clips} clips, part {signature.part}")
    days = ", ".join(f"{count} {part}" for part, count in signature.days_by_part.items())
    figures = "\n".join(_figure(name, image) for name, image in images.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_CSS}</style>
</head>
<body>
<h1>{title}</h1>
<p>Days by the part of the pack's split they belong to: {html.escape(days)}.</p>
{_warning(evaluation)}
{_table(evaluation.scores)}
<p><small>Below each score its 95 % interval: whole days drawn again {signature.n_draws} times.
Calibration error: 15 bins of confidence (Guo et al. 2017).</small></p>
<div class="figures">
{figures}
</div>
<h2>Signature</h2>
{_signature(evaluation)}
</body>
</html>
"""


def _warning(evaluation: Evaluation) -> str:
    if not evaluation.signature.n_seen_days:
        return ""
    return (
        f'<p class="warning">{evaluation.signature.n_seen_days} of these days were used to train or tune the '
        "pack: these figures say little about new recordings.</p>"
    )


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


def _figure(name: str, image: bytes) -> str:
    inside = base64.b64encode(image).decode("ascii")
    caption = html.escape(_CAPTIONS.get(name, name))
    return (
        f'<figure><img alt="{html.escape(name)}" src="data:image/png;base64,{inside}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


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
    rows = "\n".join(
        f"<tr><th>{html.escape(name)}</th><td><code>{html.escape(value)}</code></td></tr>"
        for name, value in facts.items()
    )
    return f"<table>\n{rows}\n</table>"
