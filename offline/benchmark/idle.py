"""A live session at the pace of a microphone: how fast it answers, CPU time between hops as well, memory."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engines.errors import EngineError
from engines.pack import load_pack
from offline.benchmark.machine import resident_mb
from offline.benchmark.statistics import Distribution, distribution_from_durations
from offline.workers import start_worker
from realtime.engine import open_engine
from realtime.pipeline import Pipeline, PipelineSettings
from realtime.sound.demo import DemoSource


@dataclass(frozen=True)
class IdleCost:
    """Cost of one stream in real time, in a process that does nothing else.

    Attributes:
        seconds: of sound that it was measured over, after a first second that is not counted.
        hop: of the windows answered in that time, from being complete to the answer. Slower than window after
            window, because the processor sleeps in between.
        skipped_windows: that were not, because the ones before took too long.
        cpu_s_per_s: CPU seconds of all threads for a second of sound: the share of one core.
        cpu_s_per_s_between_hops: the part of it that was spent while no window was due: on taking sound in,
            and on threads that spin.
        resident_mb: resident memory at the end, MiB; None where the system does not say.
        notices: what the engine told, such as that another one went on in its place.
    """

    seconds: float
    hop: Distribution
    skipped_windows: int
    cpu_s_per_s: float
    cpu_s_per_s_between_hops: float
    resident_mb: float | None
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The same by name."""
        content = asdict(self) | {"hop_ms": self.hop.to_json()}
        # Among the warnings of the engine.
        del content["hop"], content["notices"]
        return content


def measure_idle(pack: Path, engine: str, hop_s: float, seconds: float, n_threads: int | None) -> IdleCost:
    """Hear the demo breather at its own pace in this process; see `measure_idle_apart`."""
    loaded = load_pack(pack)
    opened, _ = open_engine(loaded, engine, n_threads)
    with opened, DemoSource(seed=0, pace=1.0) as source:
        opened.warm_up()
        pipeline = Pipeline(source, opened, loaded.manifest, PipelineSettings(hop_s=hop_s))
        hops_s: list[float] = []
        hops_cpu_s = 0.0
        began_cpu_s = began_s = 0.0
        n_skipped_before = 0
        for block in source.blocks():
            cpu_s = time.process_time()
            steps = list(pipeline.push(block))
            if not began_s:
                if steps:
                    began_cpu_s, began_s = time.process_time(), time.perf_counter()
                    n_skipped_before = pipeline.skipped_windows
                continue
            if steps:
                hops_s += [step.latency_s for step in steps]
                hops_cpu_s += time.process_time() - cpu_s
            if hops_s and time.perf_counter() - began_s >= seconds:
                break
        heard_s = time.perf_counter() - began_s
        used_cpu_s = time.process_time() - began_cpu_s
        return IdleCost(
            seconds=heard_s,
            hop=distribution_from_durations(hops_s),
            skipped_windows=pipeline.skipped_windows - n_skipped_before,
            cpu_s_per_s=used_cpu_s / heard_s,
            cpu_s_per_s_between_hops=max(0.0, used_cpu_s - hops_cpu_s) / heard_s,
            resident_mb=resident_mb(),
            notices=tuple(pipeline.take_notices()),
        )


def measure_idle_apart(
    pack: Path, engine: str, *, hop_s: float, seconds: float, n_threads: int | None
) -> IdleCost:
    """Measure it in a fresh process, into which nothing has been loaded that a live session would not load.

    Args:
        pack: folder of a model pack.
        engine: as for `open_engine`.
        hop_s: seconds between windows.
        seconds: of sound to measure over, real time.
        n_threads: as for `open_engine`.

    Raises:
        EngineError: the engine cannot run, or the process died.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=start_worker) as pool:
        try:
            return pool.submit(measure_idle, pack, engine, hop_s, seconds, n_threads).result()
        except BrokenProcessPool as error:
            raise EngineError(
                f"the process that should measure the cost of a live session on {engine} died; see whether "
                f"breath-live demo --engine {engine} runs"
            ) from error
