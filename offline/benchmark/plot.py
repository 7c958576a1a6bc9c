"""The figure of a benchmark: how long hops take, and where the time goes."""

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from offline.benchmark.result import BenchmarkResult, EngineResult
from offline.benchmark.stages import successive
from offline.figures import FAINT, INK, SERIES_COLOURS, percent_ticks, pngs_from_figures

_LABELLED_SHARE = 0.06
_QUOTED = (0.5, 0.99)


def png_from_result(result: BenchmarkResult) -> bytes:
    """Both panels as one PNG."""
    return pngs_from_figures({"benchmark": partial(draw, result)})["benchmark"]


def draw(result: BenchmarkResult) -> Figure:
    """Above, for every engine, the share of hops that took at most so long; below, that of the stages."""
    shown = [*result.engines.values(), *([result.reference] if result.reference else [])]
    figure = Figure(figsize=(8.0, 4.4 + 0.5 * len(shown)), layout="constrained")
    curves, bars = figure.subplots(2, 1, height_ratios=(4.0, 0.9 * len(shown) + 0.6))
    _draw_curves(curves, shown)
    _draw_bars(bars, shown)
    machine = result.machine
    figure.suptitle(
        f"{machine.cpu}, {machine.usable_cores} cores, hop {result.settings.hop_s:g} s", fontsize=9
    )
    return figure


def _draw_curves(axes: Axes, shown: list[EngineResult]) -> None:
    for number, engine in enumerate(shown):
        colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
        ms = 1e3 * np.sort(np.asarray(engine.hops_s))
        share = np.arange(1, len(ms) + 1) / len(ms)
        label = f"{engine.name}  median {engine.hop.p50:.1f} ms, p99 {engine.hop.p99:.1f} ms"
        axes.step(ms, share, where="post", color=colour, linewidth=1.8, label=label)
    for quoted in _QUOTED:
        axes.axhline(quoted, color=FAINT, linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xscale("log")
    axes.set(xlabel="whole hop, ms", ylabel="hops that took at most so long", ylim=(0, 1.02))
    axes.set_title("Whole hop")
    axes.xaxis.set_major_formatter(lambda value, _position: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _position: f"{value:g}" if f"{value:g}"[0] in "25" else "")
    percent_ticks(axes, "y")
    axes.legend(loc="lower right", fontsize=8)


def _draw_bars(axes: Axes, shown: list[EngineResult]) -> None:
    names = list(dict.fromkeys(name for engine in shown for name in engine.stages))
    for row, engine in enumerate(shown):
        stages = {name: stage.p50 for name, stage in successive(engine.stages).items()}
        whole_ms = sum(stages.values())
        left = 0.0
        for name, stage_ms in stages.items():
            share = stage_ms / whole_ms if whole_ms > 0 else 0.0
            colour = SERIES_COLOURS[names.index(name) % len(SERIES_COLOURS)]
            axes.barh(row, share, left=left, color=colour, height=0.6)
            if share > _LABELLED_SHARE:
                text = f"{name}\n{stage_ms:.2g} ms" if stage_ms < 10 else f"{name}\n{stage_ms:.0f} ms"
                axes.text(left + share / 2, row, text, ha="center", va="center", fontsize=7, color=INK)
            left += share
    axes.set_yticks(range(len(shown)), [engine.name for engine in shown])
    axes.invert_yaxis()
    axes.set(xlabel="share of the stages' medians", xlim=(0, 1))
    percent_ticks(axes, "x")
    axes.set_title("Where the time goes")
