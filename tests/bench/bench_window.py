"""Time one window, features and both networks, and the replay of a recording. Run it on an idle machine.

python tests/bench/bench_window.py [--pack PACK] [--engine NAME] [--windows N] [--json FILE]
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from engines.latency import LatencyMeter, LatencySummary
from engines.pack import load_pack
from realtime.demo import DemoSource
from realtime.engine import open_engine
from realtime.pipeline import Pipeline, PipelineSettings
from realtime.sources import ArraySource

REPLAY_S = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pack", default="default")
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--windows", type=int, default=300)
    parser.add_argument("--warm-up", type=int, default=30)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    pack = load_pack(arguments.pack)
    sound = np.concatenate(
        [block.samples[:, 0] for block in DemoSource(seed=0, seconds=REPLAY_S, pace=None).blocks()]
    )
    engine, choice = open_engine(pack, arguments.engine)
    with engine:
        stages = time_windows(engine, sound, arguments.windows, arguments.warm_up)
        replay_s = time_replay(engine, pack, sound)
    print(f"{choice.name} on {platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    for stage, summary in stages.items():
        print(
            f"{stage:>10}: p50 {summary.p50_ms:6.2f} ms, p90 {summary.p90_ms:6.2f}, p99 {summary.p99_ms:6.2f}"
        )
    print(f"    replay: {REPLAY_S / replay_s:.1f} times real time at a hop of 0.1 s")
    if arguments.json:
        content = {
            "engine": choice.name,
            "pack_sha256": pack.sha256,
            "windows": arguments.windows,
            "stages_ms": {stage: vars(summary) for stage, summary in stages.items()},
            "replay_times_real_time": REPLAY_S / replay_s,
        }
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def time_windows(engine, sound, n_windows: int, n_warm_up: int) -> dict[str, LatencySummary]:
    """Time of each stage and of the whole, over different windows of the same sound."""
    meters: dict[str, LatencyMeter] = {}
    starts = np.random.default_rng(0).integers(0, len(sound) - WINDOW_SAMPLES, n_warm_up + n_windows)
    for number, start in enumerate(starts):
        window = sound[None, start : start + WINDOW_SAMPLES]
        began = time.perf_counter()
        inference = engine.infer(window)
        whole_s = time.perf_counter() - began
        if number >= n_warm_up:
            for stage, stage_s in {**inference.stages_s, "whole": whole_s}.items():
                meters.setdefault(stage, LatencyMeter()).add(stage_s)
    return {stage: summary for stage, meter in meters.items() if (summary := meter.summary()) is not None}


def time_replay(engine, pack, sound) -> float:
    source = ArraySource(sound, RATE_HZ)
    pipeline = Pipeline(source, engine, pack.manifest, PipelineSettings())
    began = time.perf_counter()
    for block in source.blocks():
        for _ in pipeline.push(block):
            pass
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
