"""The figures of an evaluation, each one a PNG."""

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from offline.evaluate import ENSEMBLE, Evaluation

# Okabe and Ito's palette: told apart by every kind of colour vision, and in grey.
_NETWORK_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
_INHALE, _EXHALE = "#0072B2", "#D55E00"
_INK, _FAINT = "#222222", "#B0B0B0"
_N_PROB_BINS = 10
_Z_95 = 1.96

_STYLE: dict[Any, Any] = {
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _INK,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    # Names of networks and days are data: a dollar sign in one is a dollar sign.
    "text.parse_math": False,
}


def draw_all(evaluation: Evaluation) -> dict[str, bytes]:
    """Every figure as a PNG, by the name it should be saved under without suffix."""
    figures: dict[str, Callable[[Evaluation], Figure]] = {
        "roc": roc,
        "reliability": reliability,
        "confusion": confusion,
        "probabilities": probabilities,
        "days": accuracy_by_day,
    }
    images: dict[str, bytes] = {}
    with mpl.rc_context(_STYLE):
        for name, draw in figures.items():
            image = BytesIO()
            draw(evaluation).savefig(image, format="png")
            images[name] = image.getvalue()
    return images


def roc(evaluation: Evaluation) -> Figure:
    """Receiver operating characteristic of networks and ensemble; no curve where one class is missing."""
    figure = Figure(figsize=(4.8, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle="--")
    for name, colour, width in _curves(evaluation):
        auc = evaluation.scores[name].metrics.auc
        if np.isfinite(auc):
            false_rate, true_rate, _ = roc_curve(evaluation.labels, evaluation.probs[name])
            axes.plot(false_rate, true_rate, color=colour, linewidth=width, label=f"{name}  AUC {auc:.3f}")
        else:
            axes.plot([], [], color=colour, linewidth=width, label=f"{name}  one class only")
    axes.set(xlabel="inhalations taken for exhalations", ylabel="exhalations found", title="ROC")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    _percent(axes, "xy")
    axes.legend(loc="lower right")
    return figure


def reliability(evaluation: Evaluation) -> Figure:
    """How often a clip is an exhalation where the program says P: a calibrated one follows the diagonal."""
    figure = Figure(figsize=(4.8, 5.6), layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle="--")
    edges = np.linspace(0, 1, _N_PROB_BINS + 1)
    for name, colour, width in _curves(evaluation):
        probs = evaluation.probs[name]
        bins = np.clip(np.digitize(probs, edges) - 1, 0, _N_PROB_BINS - 1)
        n_clips = np.bincount(bins, minlength=_N_PROB_BINS)
        used = n_clips > 0
        said = np.bincount(bins, weights=probs, minlength=_N_PROB_BINS)[used] / n_clips[used]
        n_exhale = np.bincount(bins, weights=evaluation.labels, minlength=_N_PROB_BINS)[used]
        error = evaluation.scores[name].metrics.calibration_error
        style = {"color": colour, "linewidth": width, "label": f"{name}  ECE {error:.3f}"}
        if name == ENSEMBLE:
            low, high = _wilson(n_exhale, n_clips[used])
            seen = n_exhale / n_clips[used]
            bars = np.clip(np.array([seen - low, high - seen]), 0, None)
            axes.errorbar(said, seen, yerr=bars, marker="o", markersize=4, elinewidth=1, capsize=2, **style)
        else:
            axes.plot(said, n_exhale / n_clips[used], marker="o", markersize=3, **style)
    axes.set(ylabel="share that are exhalations", title="Reliability", ylim=(-0.02, 1.02))
    axes.legend(loc="upper left")
    counts.hist(evaluation.probs[ENSEMBLE], bins=edges.tolist(), color=_INK, rwidth=0.9)
    counts.set(xlabel="P(exhale)", ylabel="clips", xlim=(-0.02, 1.02))
    _percent(axes, "y")
    _percent(counts, "x")
    return figure


def confusion(evaluation: Evaluation) -> Figure:
    """What the ensemble made of each class: clips, and their share of the class."""
    table = np.array(evaluation.scores[ENSEMBLE].metrics.confusion)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(2):
        for column in range(2):
            colour = "white" if shares[row, column] > 0.55 else _INK
            words = f"{table[row, column]}\n{shares[row, column]:.1%}"
            axes.text(column, row, words, ha="center", va="center", color=colour, fontsize=13)
    axes.set_xticks([0, 1], ["inhale", "exhale"])
    axes.set_yticks([0, 1], ["inhale", "exhale"], rotation=90, va="center")
    axes.set(xlabel="decided", ylabel="labelled", title="Ensemble, clips and share of the class")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def probabilities(evaluation: Evaluation) -> Figure:
    """How the ensemble's probabilities of the two classes are spread."""
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.subplots()
    edges = np.linspace(0, 1, 2 * _N_PROB_BINS + 1).tolist()
    for label, name, colour in ((0, "inhale", _INHALE), (1, "exhale", _EXHALE)):
        probs = evaluation.probs[ENSEMBLE][evaluation.labels == label]
        axes.hist(probs, bins=edges, color=colour, alpha=0.35)
        words = f"labelled {name} ({len(probs)})"
        axes.hist(probs, bins=edges, color=colour, histtype="step", linewidth=1.6, label=words)
    axes.axvline(0.5, color=_INK, linewidth=1, linestyle="--")
    axes.set(xlabel="P(exhale) of the ensemble", ylabel="clips", title="Probabilities", xlim=(0, 1))
    _percent(axes, "x")
    axes.margins(y=0.15)
    axes.legend(loc="upper center", ncols=2, bbox_to_anchor=(0.5, 1.02))
    return figure


def accuracy_by_day(evaluation: Evaluation) -> Figure:
    """The ensemble's accuracy on each day, with the 95 % interval that so few clips leave (Wilson)."""
    days = sorted(evaluation.accuracy_by_day.items(), key=lambda item: (item[1][0] / item[1][1], item[0]))
    n_right = np.array([right for _, (right, _) in days], dtype=np.float64)
    n_clips = np.array([total for _, (_, total) in days])
    low, high = _wilson(n_right, n_clips)
    rows = np.arange(len(days))
    overall = evaluation.scores[ENSEMBLE].metrics.accuracy
    figure = Figure(figsize=(5.6, 1.7 + 0.2 * len(days)), layout="constrained")
    axes = figure.subplots()
    axes.hlines(rows, low, high, color=_FAINT, linewidth=2)
    axes.scatter(n_right / n_clips, rows, s=10 + 2 * np.sqrt(n_clips), color=_INK, zorder=3)
    axes.axvline(overall, color=_EXHALE, linewidth=1.2, label=f"all clips {overall:.1%}")
    axes.axvline(0.5, color=_INK, linewidth=1, linestyle="--", label="guessing")
    axes.set_yticks(rows, [f"{day}  ({total})" for day, (_, total) in days], fontsize=8)
    axes.set(xlabel="accuracy of the ensemble", xlim=(0, 1.01), ylim=(-0.8, len(days) - 0.2))
    axes.set_title("Accuracy by day (clips)")
    _percent(axes, "x")
    # Beside the axes: no corner of them is sure to be free.
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _curves(evaluation: Evaluation) -> Iterator[tuple[str, str, float]]:
    """Name, colour and line width; the ensemble last, on top of the others."""
    networks = [name for name in evaluation.probs if name != ENSEMBLE]
    for index, name in enumerate(networks):
        yield name, _NETWORK_COLOURS[index % len(_NETWORK_COLOURS)], 1.4
    yield ENSEMBLE, _INK, 2.2


def _percent(axes: Axes, which: str) -> None:
    ticks = np.linspace(0, 1, 6)
    words = [f"{tick:.0%}" for tick in ticks]
    if "x" in which:
        axes.set_xticks(ticks, words)
    if "y" in which:
        axes.set_yticks(ticks, words)


def _wilson(
    n_hits: NDArray[np.number[Any]], n: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % interval of a proportion (Wilson, JASA 1927): sensible for small n and shares near 0 and 1."""
    share = n_hits / n
    centre = (share + _Z_95**2 / (2 * n)) / (1 + _Z_95**2 / n)
    half = _Z_95 / (1 + _Z_95**2 / n) * np.sqrt(share * (1 - share) / n + _Z_95**2 / (4 * n**2))
    return centre - half, centre + half
