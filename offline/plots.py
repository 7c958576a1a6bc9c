"""The figures of an evaluation, each one a PNG."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from offline.evaluate import ENSEMBLE, Evaluation
from offline.figures import (
    EXHALE_COLOUR,
    FAINT,
    INHALE_COLOUR,
    INK,
    SERIES_COLOURS,
    percent_ticks,
    pngs_from_figures,
    wilson,
)

_N_PROB_BINS = 10


def draw_all(evaluation: Evaluation) -> dict[str, bytes]:
    """Every figure as a PNG, by the name it should be saved under without suffix."""
    figures: dict[str, Callable[[Evaluation], Figure]] = {
        "roc": roc,
        "reliability": reliability,
        "confusion": confusion,
        "probabilities": probabilities,
        "days": accuracy_by_day,
    }
    return pngs_from_figures({name: partial(draw, evaluation) for name, draw in figures.items()})


def roc(evaluation: Evaluation) -> Figure:
    """Receiver operating characteristic of networks and ensemble; no curve where one class is missing."""
    figure = Figure(figsize=(4.8, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
    for name, colour, width in _curves(evaluation):
        auc = evaluation.scores[name].metrics.auc
        if np.isfinite(auc):
            false_rate, true_rate, _ = roc_curve(evaluation.labels, evaluation.probs[name])
            axes.plot(false_rate, true_rate, color=colour, linewidth=width, label=f"{name}  AUC {auc:.3f}")
        else:
            axes.plot([], [], color=colour, linewidth=width, label=f"{name}  one class only")
    axes.set(xlabel="inhalations taken for exhalations", ylabel="exhalations found", title="ROC")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    percent_ticks(axes, "xy")
    axes.legend(loc="lower right")
    return figure


def reliability(evaluation: Evaluation) -> Figure:
    """How often a clip is an exhalation where the program says P: a calibrated one follows the diagonal."""
    figure = Figure(figsize=(4.8, 5.6), layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
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
            low, high = wilson(n_exhale, n_clips[used])
            seen = n_exhale / n_clips[used]
            bars = np.clip(np.array([seen - low, high - seen]), 0, None)
            axes.errorbar(said, seen, yerr=bars, marker="o", markersize=4, elinewidth=1, capsize=2, **style)
        else:
            axes.plot(said, n_exhale / n_clips[used], marker="o", markersize=3, **style)
    axes.set(ylabel="share that are exhalations", title="Reliability", ylim=(-0.02, 1.02))
    axes.legend(loc="upper left")
    counts.hist(evaluation.probs[ENSEMBLE], bins=edges.tolist(), color=INK, rwidth=0.9)
    counts.set(xlabel="P(exhale)", ylabel="clips", xlim=(-0.02, 1.02))
    percent_ticks(axes, "y")
    percent_ticks(counts, "x")
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
            colour = "white" if shares[row, column] > 0.55 else INK
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
    for label, name, colour in ((0, "inhale", INHALE_COLOUR), (1, "exhale", EXHALE_COLOUR)):
        probs = evaluation.probs[ENSEMBLE][evaluation.labels == label]
        axes.hist(probs, bins=edges, color=colour, alpha=0.35)
        words = f"labelled {name} ({len(probs)})"
        axes.hist(probs, bins=edges, color=colour, histtype="step", linewidth=1.6, label=words)
    axes.axvline(0.5, color=INK, linewidth=1, linestyle="--")
    axes.set(xlabel="P(exhale) of the ensemble", ylabel="clips", title="Probabilities", xlim=(0, 1))
    percent_ticks(axes, "x")
    axes.margins(y=0.15)
    axes.legend(loc="upper center", ncols=2, bbox_to_anchor=(0.5, 1.02))
    return figure


def accuracy_by_day(evaluation: Evaluation) -> Figure:
    """The ensemble's accuracy on each day, with the 95 % interval that so few clips leave (Wilson)."""
    days = sorted(evaluation.accuracy_by_day.items(), key=lambda item: (item[1][0] / item[1][1], item[0]))
    n_right = np.array([right for _, (right, _) in days], dtype=np.float64)
    n_clips = np.array([total for _, (_, total) in days])
    low, high = wilson(n_right, n_clips)
    rows = np.arange(len(days))
    overall = evaluation.scores[ENSEMBLE].metrics.accuracy
    figure = Figure(figsize=(5.6, 1.7 + 0.2 * len(days)), layout="constrained")
    axes = figure.subplots()
    axes.hlines(rows, low, high, color=FAINT, linewidth=2)
    axes.scatter(n_right / n_clips, rows, s=10 + 2 * np.sqrt(n_clips), color=INK, zorder=3)
    axes.axvline(overall, color=EXHALE_COLOUR, linewidth=1.2, label=f"all clips {overall:.1%}")
    axes.axvline(0.5, color=INK, linewidth=1, linestyle="--", label="guessing")
    axes.set_yticks(rows, [f"{day}  ({total})" for day, (_, total) in days], fontsize=8)
    axes.set(xlabel="accuracy of the ensemble", xlim=(0, 1.01), ylim=(-0.8, len(days) - 0.2))
    axes.set_title("Accuracy by day (clips)")
    percent_ticks(axes, "x")
    # Beside the axes: no corner of them is sure to be free.
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _curves(evaluation: Evaluation) -> Iterator[tuple[str, str, float]]:
    """Name, colour and line width; the ensemble last, on top of the others."""
    networks = [name for name in evaluation.probs if name != ENSEMBLE]
    for index, name in enumerate(networks):
        yield name, SERIES_COLOURS[index % len(SERIES_COLOURS)], 1.4
    yield ENSEMBLE, INK, 2.2
