"""The figures of the streaming benchmark, each one a PNG."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from engines.contract import RATE_HZ
from offline.figures import (
    EXHALE_COLOUR,
    FAINT,
    INHALE_COLOUR,
    INK,
    SERIES_COLOURS,
    percent_ticks,
    pngs_from_figures,
)
from offline.streams.result import SliceScore, StreamEvaluation, StreamResult
from offline.streams.scores import EARLY_S, LATE_S
from realtime.events import Phase
from realtime.labels import PhaseInterval
from realtime.metrics import intervals_from_events

_SHOWN_S = 30.0
_NAME_LETTERS = 60
_DELAY_BIN_S = 0.05
_COLOURS = {Phase.INHALE: INHALE_COLOUR, Phase.EXHALE: EXHALE_COLOUR}
_MACRO_COLOUR, _ONSET_COLOUR = SERIES_COLOURS[0], SERIES_COLOURS[1]


def draw_all(evaluation: StreamEvaluation) -> dict[str, bytes]:
    """Every figure that has something to show as a PNG, by the name it should be saved under."""
    figures: dict[str, Callable[[], Figure]] = {}
    ranked = ranked_streams(evaluation)
    if ranked:
        figures["typical"] = partial(timeline, ranked[len(ranked) // 2], "Typical")
        if len(ranked) > 1:
            figures["worst"] = partial(timeline, ranked[0], "Worst")
    # Of about one height, two by two.
    if any(len(result.delays_s) for result in evaluation.streams):
        figures["delays"] = partial(delays, evaluation)
    if ranked:
        figures["noise"] = partial(scores_by_noise, evaluation)
    if evaluation.by_day:
        figures["days"] = partial(scores_by_day, evaluation)
    if ranked:
        figures["reliability"] = partial(reliability, evaluation)
    return pngs_from_figures(figures)


def ranked_streams(evaluation: StreamEvaluation) -> list[StreamResult]:
    """The streams that hold breath, the worst macro-F1 live first."""
    breathing = [result for result in evaluation.streams if result.stream.truth]
    return sorted(breathing, key=lambda result: (result.measures["macro_f1_live"], result.stream.name))


def timeline(result: StreamResult, word: str) -> Figure:
    """Truth, what was shown, and P(exhale), over the middle half minute of a stream."""
    length_s = result.replay.n_samples / RATE_HZ
    start_s = max(0.0, (length_s - _SHOWN_S) / 2)
    figure = Figure(figsize=(10.4, 3.5), layout="constrained")
    lanes, curve = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.5))
    shown = intervals_from_events(result.replay.events, result.replay.n_samples)
    for row, intervals in enumerate((shown, result.stream.truth)):
        _bars(lanes, intervals, row)
    lanes.set_yticks([0, 1], ["shown", "truth"])
    lanes.set(ylim=(-0.5, 1.5))
    lanes.tick_params(axis="both", length=0)
    lanes.spines[:].set_visible(False)
    for interval in result.stream.truth:
        start, end = interval.start_sample / RATE_HZ, interval.end_sample / RATE_HZ
        curve.axvspan(start, end, color=_COLOURS[interval.phase], alpha=0.1, linewidth=0)
    ends_s = [frame.end_sample / RATE_HZ for frame in result.replay.frames]
    curve.plot(ends_s, [frame.prob_exhale for frame in result.replay.frames], color=INK, linewidth=1.2)
    curve.axhline(0.5, color=FAINT, linewidth=1, linestyle="--")
    curve.set(xlabel="time, s", ylabel="P(exhale)", ylim=(-0.03, 1.03))
    curve.set_xlim(start_s, min(length_s, start_s + _SHOWN_S))
    curve.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
    facts = [result.stream.kind]
    if result.stream.snr_db is not None:
        facts.append(f"{result.stream.snr_db:.0f} dB over noise")
    facts.append(f"macro-F1 live {result.measures['macro_f1_live']:.2f}")
    name = _shortened(result.stream.name, _NAME_LETTERS)
    lanes.set_title(f"{word} stream: {name}\n{', '.join(facts)}")
    handles = [Patch(color=colour, label=str(phase)) for phase, colour in _COLOURS.items()]
    lanes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.1)
    return figure


def delays(evaluation: StreamEvaluation) -> Figure:
    """How long after a true onset its phase was shown, of all matched onsets."""
    delays_s = np.concatenate([result.delays_s for result in evaluation.streams])
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.subplots()
    edges = np.arange(round((EARLY_S + LATE_S) / _DELAY_BIN_S) + 1) * _DELAY_BIN_S - EARLY_S
    axes.hist(np.clip(delays_s, edges[0], edges[-1]), bins=edges.tolist(), color=INHALE_COLOUR, rwidth=0.9)
    axes.axvline(0, color=INK, linewidth=1)
    for name, style, word in (
        ("onset_delay_p50_s", "-", "median"),
        ("onset_delay_p90_s", "--", "nine of ten within"),
    ):
        value = evaluation.overall.measures[name]
        axes.axvline(
            value, color=EXHALE_COLOUR, linewidth=1.6, linestyle=style, label=f"{word} {value:.2f} s"
        )
    axes.set(xlabel="shown after the true onset, s", ylabel="onsets", xlim=(-EARLY_S, LATE_S))
    axes.set_title(f"Onset delay ({len(delays_s)} onsets)")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def scores_by_noise(evaluation: StreamEvaluation) -> Figure:
    """Macro-F1 live and onset F1 by level of noise, with intervals over days."""
    slices = evaluation.by_snr
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(slices))
    for shift, name, colour, word in (
        (-0.1, "macro_f1_live", _MACRO_COLOUR, "macro-F1 live"),
        (0.1, "onset_f1", _ONSET_COLOUR, "onset F1"),
    ):
        values = np.array([one.measures[name] for one in slices.values()])
        low, high = _limits(list(slices.values()), name, values)
        axes.vlines(rows + shift, low, high, color=colour, linewidth=2)
        axes.plot(rows + shift, values, "o", color=colour, markersize=6, label=word)
    words = [f"{name}\n({_streams(one.n_streams)})" for name, one in slices.items()]
    axes.set_xticks(rows, [word.replace(" and more", "\nand more") for word in words], fontsize=8)
    axes.set(ylim=(0, 1.02), xlim=(-0.6, len(slices) - 0.4), title="By level of breath over noise")
    axes.set_ylabel("F1")
    axes.grid(axis="y", color=FAINT, linewidth=0.4)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def scores_by_day(evaluation: StreamEvaluation) -> Figure:
    """Macro-F1 live and onset F1 of each day, from worst to best."""
    days = sorted(evaluation.by_day.items(), key=lambda item: (item[1].measures["macro_f1_live"], item[0]))
    rows = np.arange(len(days))
    figure = Figure(figsize=(5.6, 1.9 + 0.2 * len(days)), layout="constrained")
    axes = figure.subplots()
    for name, colour, word in (
        ("macro_f1_live", _MACRO_COLOUR, "macro-F1 live"),
        ("onset_f1", _ONSET_COLOUR, "onset F1"),
    ):
        values = [one.measures[name] for _, one in days]
        axes.scatter(values, rows, s=28, color=colour, label=word, zorder=3)
        axes.axvline(evaluation.overall.measures[name], color=colour, linewidth=1.2, linestyle="--")
    axes.set_yticks(rows, [f"{day}  ({one.n_streams})" for day, one in days], fontsize=8)
    axes.set(xlim=(0, 1.01), ylim=(-0.8, len(days) - 0.2))
    axes.set_title("By day (streams); dashed: all days")
    axes.set_xlabel("F1")
    axes.grid(axis="y", color=FAINT, linewidth=0.4)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def reliability(evaluation: StreamEvaluation) -> Figure:
    """How often the program is right where it says how sure it is; a calibrated one follows the diagonal."""
    breathing = ranked_streams(evaluation)
    figure = Figure(figsize=(5.6, 5.2), layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
    for bins, measure, colour, word in (
        (
            sum(one.tally.exhale_bins for one in breathing),
            "phase_calibration_error",
            INHALE_COLOUR,
            "phase by P(exhale)",
        ),
        (
            sum(one.tally.shown_bins for one in breathing),
            "shown_calibration_error",
            EXHALE_COLOUR,
            "what is shown",
        ),
    ):
        number, said, right = np.asarray(bins)
        used = number > 0
        error = evaluation.overall.measures[measure]
        share = number / max(1.0, number.sum())
        mean_said, share_right = said[used] / number[used], right[used] / number[used]
        axes.plot(mean_said, share_right, color=colour, linewidth=1, alpha=0.5)
        # A bin that hardly anything falls into should not catch the eye.
        axes.scatter(
            mean_said,
            share_right,
            s=4 + 150 * np.sqrt(share[used]),
            color=colour,
            alpha=0.8,
            label=f"{word}  ECE {error:.3f}",
        )
        counts.stairs(share, np.linspace(0, 1, len(number) + 1), color=colour, linewidth=1.4)
    axes.set(ylabel="share that is right", title="Reliability", ylim=(-0.02, 1.02))
    legend = axes.legend(loc="upper left")
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([36])
    counts.set(xlabel="confidence", ylabel="of all", xlim=(-0.02, 1.02), ylim=(0, 1))
    counts.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
    percent_ticks(axes, "y")
    percent_ticks(counts, "x")
    return figure


def _bars(axes: Axes, intervals: Sequence[PhaseInterval], row: int) -> None:
    for phase, colour in _COLOURS.items():
        spans = [
            (one.start_sample / RATE_HZ, (one.end_sample - one.start_sample) / RATE_HZ)
            for one in intervals
            if one.phase is phase
        ]
        axes.broken_barh(spans, (row - 0.36, 0.72), facecolors=colour, edgecolor="white", linewidth=0.6)


def _limits(
    slices: list[SliceScore], name: str, values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the intervals; the value itself where there is none."""
    ends = np.array([one.intervals[name] for one in slices])
    return np.where(np.isnan(ends[:, 0]), values, ends[:, 0]), np.where(
        np.isnan(ends[:, 1]), values, ends[:, 1]
    )


def _shortened(name: str, n_letters: int) -> str:
    """The name, with an ellipsis for its middle where it is longer than that."""
    half = (n_letters - 1) // 2
    return name if len(name) <= n_letters else f"{name[:half]}…{name[-half:]}"


def _streams(number: int) -> str:
    return "1 stream" if number == 1 else f"{number} streams"
