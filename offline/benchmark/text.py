"""A benchmark's result for people: tables, sentences, and what each number means."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from offline.benchmark.result import BenchmarkResult, EngineResult
from offline.benchmark.statistics import Distribution

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WHOLE = "whole hop"
_COLUMNS = ("min", "mean", "p50", "p90", "p95", "p99", "max")

EXPLANATION = f"""\
What is timed
  {WHOLE}   from the block of sound that completes a window to the decision, through the same code as
              breath-live, without microphone and display. Not the sum of the medians above it, but the
              median of the whole.
  window      taking the block in, which has 16 kHz here: the window of one second; for a GPU also the copy
              into page-locked memory. A microphone of another rate adds its resampling
  upload      sound (or features) to the GPU;  download: the networks' answers from there
  features    nine spectrograms and 39 numbers from a window
  cnn8, vgg   the networks
  inference   features and networks, where some of them run side by side and their times overlap
  gpu         all that a GPU does for a window as one CUDA graph, upload to download
  fusion      the networks' answers to one probability
  decision    is that breath? which phase, breathing rate

What the columns are (milliseconds, one window)
  median      half of the windows took less; p90, p95, p99: 90, 95, 99 % did
  cv          coefficient of variation: standard deviation over mean. A steady machine stays below 10 %
  per s       throughput: windows a second, one after another

How
  Every engine hears the same sound, 16 windows in turn, in an order that is drawn anew for every round: what
  the machine does meanwhile, it does to all. Warm-up is not counted, nor is the first window after another
  engine, which finds that one's weights in the caches. At least 1,024 windows and 10 s of measured time; the
  reference gets an eighth of the windows.
  ratio       median of the reference over median of the engine: librosa and eager torch, as published
  live session  a process of its own hears in real time, and sleeps between hops, from which a processor
              needs time to wake: its answers take longer than window after window. CPU: seconds of all
              its threads for a second of sound; between hops: what is spent while no window is due;
              memory: resident, at the end
  streams     all their windows are due at the same moment, every hop, and are inferred as one batch. Carried:
              not one was still being worked on when the next were due
"""


def print_result(result: BenchmarkResult, console: "Console") -> None:
    """Print everything but the explanation."""
    machine, settings = result.machine, result.settings
    gpu = f", {machine.gpu}" if machine.gpu else ""
    console.print(
        f"{machine.cpu}, {machine.usable_cores} of {machine.cores} cores{gpu}; "
        f"pack {result.pack['name']} ({result.pack['sha256'][:12]}, {result.pack['graph_precision']}); "
        f"hop {settings.hop_s:g} s",
        markup=False,
        highlight=False,
    )
    shown = [*result.engines.values(), *([result.reference] if result.reference else [])]
    for engine in shown:
        console.print(table_from_result(engine))
        for sentence in sentences_from_result(engine, settings.hop_s):
            console.print(sentence, markup=False, highlight=False)
    for warning in warnings_from_result(result):
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False)


def warnings_from_result(result: BenchmarkResult) -> list[str]:
    """Every warning, those of one engine with its name."""
    shown = [*result.engines.values(), *([result.reference] if result.reference else [])]
    return result.warnings + [f"{engine.name}: {text}" for engine in shown for text in engine.warnings]


def table_from_result(engine: EngineResult) -> "Table":
    """A row per stage, and one for the whole hop."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=escape(f"{engine.name}: {engine.reason}"),
        title_justify="left",
        caption=f"milliseconds; {engine.hop.n} windows",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("stage", no_wrap=True)
    for column in (*_COLUMNS, "cv", "per s"):
        table.add_column("median" if column == "p50" else column, justify="right", no_wrap=True)
    for name, stage in engine.stages.items():
        table.add_row(escape(name), *_cells(stage))
    table.add_section()
    table.add_row(WHOLE, *_cells(engine.hop), style="bold")
    return table


def sentences_from_result(engine: EngineResult, hop_s: float) -> Iterator[str]:
    """What no table holds: speed against the sound and the reference, cost of a session, streams."""
    yield f"{engine.name} replays sound {engine.hop.per_s * hop_s:.2g} times as fast as it was made"
    if engine.speedup is not None:
        yield f"{engine.name} is {engine.speedup:.1f} times as fast as the reference (ratio of medians)"
    idle = engine.idle
    if idle is not None:
        memory = "" if idle.resident_mb is None else f", {idle.resident_mb:.0f} MB of resident memory"
        skipped = f"; {idle.skipped_windows} windows were skipped" if idle.skipped_windows else ""
        yield (
            f"a live session answers in {idle.hop.p50:.1f} ms in the median, {idle.hop.p90:.1f} ms at p90, "
            f"and takes {idle.cpu_s_per_s:.1%} of one core at a hop of {hop_s:g} s "
            f"({idle.cpu_s_per_s_between_hops:.1%} between hops){memory}{skipped}"
        )
    if engine.streams:
        last = engine.streams[-1]
        dropped = "no window dropped" if last.is_carried else f"{last.n_dropped} windows dropped, too many"
        yield (
            f"{last.n_streams} live streams at a hop of {hop_s:g} s: {dropped}; a batch takes "
            f"{last.batch.p50:.1f} ms in the median, {last.batch.p99:.1f} ms at p99, of {1e3 * hop_s:g} ms"
        )


def _cells(distribution: Distribution) -> list[str]:
    cells = [_text_from_ms(getattr(distribution, column)) for column in _COLUMNS]
    return [*cells, f"{distribution.cv:.0%}", f"{distribution.per_s:,.0f}"]


def _text_from_ms(ms: float) -> str:
    """Three digits that say something, however small."""
    return (
        f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}" if ms >= 0.1 else f"{ms:.3f}"
    )
