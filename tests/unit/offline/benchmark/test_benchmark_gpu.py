"""What the benchmark makes of an engine on a GPU, with one that is made up."""

from contextlib import nullcontext

import numpy as np
import pytest

import realtime.engine
import realtime.gpu_engine
from engines.backend import Inference
from engines.errors import EngineError
from engines.pack import load_pack
from offline.benchmark.measurement import run_benchmark
from offline.benchmark.result import BenchmarkSettings

TOGETHER = {"window": 1e-5, "gpu": 1e-3}
ONE_BY_ONE = {"window": 1e-5, "upload": 2e-4, "features": 5e-4, "cnn8": 1e-4, "vgg": 1e-4, "download": 1e-4}


class MadeUp:
    """Says that its stages took so and so long; fails after a number of windows."""

    def __init__(self, stages_s, fails_after):
        self.name, self.stages_s, self.left = "tensorrt", stages_s, fails_after

    def warm_up(self):
        pass

    def infer(self, windows):
        self.left -= 1
        if self.left < 0:
            raise EngineError("the GPU is gone")
        return Inference(np.zeros((len(windows), 2), np.float32), dict(self.stages_s))

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def measured(monkeypatch, tiny_pack):
    def run(fails_after=1000):
        def open_tensorrt(_pack, _flavour, _root=None, *, has_stage_times=False):
            return MadeUp(ONE_BY_ONE, 1000) if has_stage_times else MadeUp(TOGETHER, fails_after)

        monkeypatch.setattr(realtime.gpu_engine, "why_not_tensorrt", lambda _pack, flavour: "")
        monkeypatch.setattr(realtime.gpu_engine, "open_tensorrt", open_tensorrt)
        settings = BenchmarkSettings(("tensorrt",), n_windows=24, seconds=0.0, n_warm_up=1, idle_s=0.0)
        show = nullcontext(lambda _n_done, _n_all: None)
        return run_benchmark(load_pack(tiny_pack), settings, lambda _what: show).first

    return run


def test_its_stages_are_timed_beside_the_whole_of_it(measured):
    result = measured()
    assert list(result.stages) == [*ONE_BY_ONE, "fusion", "decision", "gpu"]
    assert (result.hop.n, result.stages["gpu"].n, result.stages["upload"].n) == (24, 24, 3)
    assert result.stages["gpu"].p50 == pytest.approx(1.0)
    assert result.stages["upload"].p50 == pytest.approx(0.2)
    assert any("one by one" in text for text in result.warnings)
    assert not any("both" in text for text in result.warnings)


def test_figures_that_are_partly_of_another_engine_say_so(measured):
    result = measured(fails_after=10)
    (warning,) = [text for text in result.warnings if "both" in text]
    assert "the GPU is gone" in warning
    assert "going on with onnxruntime" in warning
    assert result.hop.n == 24


def test_what_did_not_switch_is_not_said_to_be_of_both(measured, monkeypatch):
    def refuse(_pack, _n_threads):
        raise EngineError("no memory")

    monkeypatch.setattr(realtime.engine, "_open_on_cpu", refuse)
    warnings = measured().warnings
    assert any("nothing stands by in case tensorrt fails: no memory" in text for text in warnings)
    assert not any("both" in text for text in warnings)
