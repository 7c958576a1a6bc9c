"""The benchmark: engines side by side through the real live path, cost of a session, number of streams."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from engines.backend import GPU_ENGINES, Choice
from engines.pack import Pack
from offline.benchmark.idle import measure_idle_apart
from offline.benchmark.lanes import Lane, Sound, interleave
from offline.benchmark.machine import (
    Machine,
    Reading,
    conditions_from_readings,
    read_system,
    this_machine,
)
from offline.benchmark.result import BenchmarkResult, BenchmarkSettings, EngineResult
from offline.benchmark.statistics import Distribution, distribution_from_durations
from offline.benchmark.streams import search_streams
from offline.benchmark.warnings import (
    TRUSTED_WINDOWS,
    warnings_from_conditions,
    warnings_from_hops,
    warnings_from_idle,
    warnings_from_stages,
)
from offline.predict import Progress
from offline.versions import software_versions
from realtime.engine import open_engine
from realtime.pipeline import PipelineSettings
from realtime.sound.demo import DemoSource

REFERENCE = "reference"
_PACKAGES = (
    "breath",
    "numpy",
    "onnxruntime",
    "openvino",
    "torch",
    "torchaudio",
    "librosa",
    "tensorrt-cu13",
    "tensorrt-rtx-cu13",
)
_SOUND_S = 60.0
# Of the windows of an engine: enough for a median, and soon over at a tenth of an engine's speed.
_SLOW_SHARE = 1 / 8
# Of an engine before it is another one's turn; so few that whatever the machine does meanwhile meets all.
_TURN_WINDOWS = 16
# After another engine an engine finds the caches full of that one's weights, which no live session does.
_SETTLING_WINDOWS = 1
# The threads of torch go on spinning for about 5 ms when their work is done, on the cores of whoever is next.
_PAUSE_S = 0.01

ShowProgress = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class _Contestant:
    """An engine in the run; `staged` is the same one timed stage by stage, where that slows it down."""

    choice: Choice
    lane: Lane
    staged: Lane | None = None


def run_benchmark(
    pack: Pack, settings: BenchmarkSettings, progress: ShowProgress, machine: Machine | None = None
) -> BenchmarkResult:
    """Measure.

    Args:
        pack: the model pack that runs.
        settings: what to measure.
        progress: opens a bar for a part of the work.
        machine: that this is, None: asked for.

    Raises:
        ConfigError: an engine or a number that does not exist.
        EngineError: an engine that was asked for cannot run here, or failed.
        OutputError: no temporary files can be written.
    """
    machine = machine or this_machine()
    sound = demo_sound(_SOUND_S)
    with _opened(pack, settings, sound) as (contestants, reference):
        lanes = [contestant.lane for contestant in contestants]
        lanes += [contestant.staged for contestant in contestants if contestant.staged is not None]
        lanes += [reference] if reference is not None else []
        readings = _measure(lanes, settings, progress)
        results = [_result(contestant) for contestant in contestants]
        if settings.streams is not None:
            results = [
                _with_streams(result, contestant.lane, pack, settings, sound, progress)
                for result, contestant in zip(results, contestants, strict=True)
            ]
    if settings.idle_s > 0:
        results = [_with_idle(result, pack, settings, progress) for result in results]
    against = None if reference is None else _reference_result(reference)
    if against is not None:
        results = [replace(result, speedup=against.hop.p50 / result.hop.p50) for result in results]
    conditions = conditions_from_readings(readings)
    return BenchmarkResult(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        conditions=conditions,
        versions=software_versions(_PACKAGES),
        pack={
            "name": pack.manifest.name,
            "sha256": pack.sha256,
            "graph_precision": pack.manifest.graph_precision,
        },
        settings=settings,
        engines={result.name: result for result in results},
        reference=against,
        warnings=warnings_from_conditions(conditions, machine, settings.n_threads),
    )


def demo_sound(seconds: float) -> Sound:
    """The demo breather, (n,) float32 at 16 kHz, always the same."""
    blocks = DemoSource(seed=0, seconds=seconds, pace=None).blocks()
    return np.concatenate([block.samples[:, 0] for block in blocks])


@contextmanager
def _opened(
    pack: Pack, settings: BenchmarkSettings, sound: Sound
) -> Iterator[tuple[list[_Contestant], Lane | None]]:
    live = PipelineSettings(hop_s=settings.hop_s)
    manifest = pack.manifest
    with ExitStack() as open_things:
        contestants: list[_Contestant] = []
        for requested in settings.engines:
            engine, choice = open_engine(pack, requested, settings.n_threads)
            open_things.enter_context(engine)
            # `auto` may have chosen one that is also asked for by its name.
            if choice.name in [contestant.choice.name for contestant in contestants]:
                continue
            staged = None
            if choice.name in GPU_ENGINES:
                from realtime.gpu_engine import open_tensorrt

                slowed = open_things.enter_context(open_tensorrt(pack, choice.name, has_stage_times=True))
                staged = Lane(f"{choice.name}, staged", slowed, manifest, live, sound, share=_SLOW_SHARE)
            contestants.append(_Contestant(choice, Lane(choice.name, engine, manifest, live, sound), staged))
        reference = None
        if settings.is_against_reference:
            from offline.benchmark.reference_pipeline import open_reference

            slow = open_things.enter_context(open_reference(pack, settings.n_threads))
            reference = Lane(REFERENCE, slow, manifest, live, sound, share=_SLOW_SHARE)
        yield contestants, reference


def _measure(lanes: list[Lane], settings: BenchmarkSettings, progress: ShowProgress) -> list[Reading]:
    with progress("warm-up") as tell:
        for number, lane in enumerate(lanes):
            lane.warm_up(settings.n_warm_up)
            tell(number + 1, len(lanes))
    readings = [read_system()]
    with progress("windows") as tell:
        interleave(
            lanes,
            n_windows=settings.n_windows,
            seconds=settings.seconds,
            seed=settings.seed,
            n_in_turn=_TURN_WINDOWS,
            n_settling=_SETTLING_WINDOWS,
            pause_s=_PAUSE_S,
            progress=tell,
            every_percent=lambda: readings.append(read_system()),
        )
    readings.append(read_system())
    return readings


def _result(contestant: _Contestant) -> EngineResult:
    lane, staged = contestant.lane, contestant.staged
    hop = distribution_from_durations(lane.hops_s)
    stages, staged_hop = _stages(lane), hop
    if staged is not None:
        staged_hop = distribution_from_durations(staged.hops_s)
        stages = _stages(staged) | {name: stage for name, stage in stages.items() if name == "gpu"}
    warnings = warnings_from_hops(lane.hops_s, hop, TRUSTED_WINDOWS)
    warnings += warnings_from_stages(stages, staged_hop)
    warnings += _notices(lane, contestant.choice.name)
    if staged is not None:
        warnings.append(
            f"its stages were timed one by one, with waiting after each, over {staged_hop.n} windows; "
            "together, as one CUDA graph, they take less: see gpu and whole hop"
        )
    choice = contestant.choice
    return EngineResult(choice.name, choice.reason, hop, stages, lane.hops_s, warnings=warnings)


def _notices(lane: Lane, name: str) -> list[str]:
    """What the engine told meanwhile, such as that another one went on in its place."""
    both = ": these numbers are of both" if lane.engine.name != name else ""
    return [notice + both for notice in lane.take_notices()]


def _reference_result(lane: Lane) -> EngineResult:
    hop = distribution_from_durations(lane.hops_s)
    return EngineResult(
        lane.name,
        "librosa features on the CPU and eager torch, as published",
        hop,
        _stages(lane),
        lane.hops_s,
        warnings=warnings_from_hops(lane.hops_s, hop, TRUSTED_WINDOWS),
    )


def _stages(lane: Lane) -> dict[str, Distribution]:
    return {name: distribution_from_durations(stage_s) for name, stage_s in lane.stages_s.items()}


def _with_streams(
    result: EngineResult,
    lane: Lane,
    pack: Pack,
    settings: BenchmarkSettings,
    sound: Sound,
    progress: ShowProgress,
) -> EngineResult:
    wanted = settings.streams if isinstance(settings.streams, int) else None
    with progress(f"streams on {result.name}"):
        trials = search_streams(
            wanted,
            lane.engine,
            pack.manifest,
            PipelineSettings(hop_s=settings.hop_s),
            sound,
            settings.stream_s,
        )
    return replace(result, streams=trials, warnings=[*result.warnings, *_notices(lane, result.name)])


def _with_idle(
    result: EngineResult, pack: Pack, settings: BenchmarkSettings, progress: ShowProgress
) -> EngineResult:
    with progress(f"a live session on {result.name}"):
        idle = measure_idle_apart(
            pack.path,
            result.name,
            hop_s=settings.hop_s,
            seconds=settings.idle_s,
            n_threads=settings.n_threads,
        )
    return replace(result, idle=idle, warnings=[*result.warnings, *warnings_from_idle(idle)])
