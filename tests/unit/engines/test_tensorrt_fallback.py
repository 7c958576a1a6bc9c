"""A GPU that fails in mid-stream: the stream goes on, and says so once."""

from dataclasses import replace

import numpy as np
import pytest

from engines.backend import Inference
from engines.errors import EngineError
from engines.fallback import FallbackEngine, Notifying
from engines.onnx_backend import OnnxEngine
from engines.pack import load_pack
from realtime.pipeline import Pipeline, PipelineSettings
from realtime.session import Session
from realtime.sinks.base import Sink
from realtime.sound.demo import DemoSource


class Primary:
    """The same answers as another engine, until it fails."""

    name = "tensorrt"

    def __init__(self, inner, n_good):
        self.inner = inner
        self.n_left = n_good
        self.is_closed = False

    def warm_up(self):
        self.infer(np.zeros((1, 16000), np.float32))

    def infer(self, windows):
        if self.n_left == 0:
            raise EngineError("the GPU failed in work: an illegal address")
        self.n_left -= 1
        return self.inner.infer(windows)

    def close(self):
        self.is_closed = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Ears(Sink):
    """A sink that keeps what it is told."""

    def __init__(self):
        self.probs = []
        self.notices = []

    def show(self, step, status):
        self.probs.append(step.frame.prob_exhale)

    def report(self, event):
        pass

    def notice(self, text):
        self.notices.append(text)

    def close(self):
        pass


@pytest.fixture
def pack(tiny_pack):
    return load_pack(tiny_pack)


def heard(pack, engine):
    ears = Ears()
    source = DemoSource(4.0, pace=0)
    summary = Session(source, Pipeline(source, engine, pack.manifest, PipelineSettings()), [ears]).run()
    return summary, ears


def test_a_stream_goes_on_without_a_missing_window(pack):
    with OnnxEngine(pack) as alone:
        whole, undisturbed = heard(pack, alone)
    primary = Primary(OnnxEngine(pack), n_good=10)
    with FallbackEngine(primary, lambda: OnnxEngine(pack)) as engine:
        summary, ears = heard(pack, engine)
        assert engine.name == "onnxruntime"
    assert summary.n_windows == whole.n_windows > 10
    assert ears.probs == undisturbed.probs
    assert ears.notices == [
        "tensorrt failed (the GPU failed in work: an illegal address); going on with onnxruntime"
    ]
    assert primary.is_closed


def test_a_primary_that_works_is_kept_while_the_other_stands_by(pack):
    secondary = Primary(OnnxEngine(pack), n_good=1)
    with FallbackEngine(Primary(OnnxEngine(pack), n_good=-1), lambda: secondary) as engine:
        engine.warm_up()
        assert secondary.n_left == 0, "warm already"
        _, ears = heard(pack, engine)
        assert engine.name == "tensorrt"
        assert not secondary.is_closed
    assert secondary.is_closed
    assert ears.notices == []


def test_nothing_is_opened_any_more_when_the_primary_fails(pack):
    opened = []
    primary = Primary(OnnxEngine(pack), n_good=3)
    with FallbackEngine(primary, lambda: opened.append(1) or OnnxEngine(pack)) as engine:
        engine.warm_up()
        engine.warm_up()
        assert opened == [1]
        heard(pack, engine)
        assert engine.name == "onnxruntime"
    assert opened == [1]


def test_nothing_that_stands_by_is_told_and_the_stream_begins(pack):
    def broken():
        raise EngineError("cnn8.onnx is missing")

    with FallbackEngine(Primary(OnnxEngine(pack), n_good=2), broken) as engine:
        engine.warm_up()
        assert engine.take_notices() == ["nothing stands by in case tensorrt fails: cnn8.onnx is missing"]
        engine.infer(np.zeros((1, 16000), np.float32))
        with pytest.raises(EngineError, match=r"illegal address.*cnn8\.onnx is missing"):
            engine.infer(np.zeros((1, 16000), np.float32))


def test_a_failure_in_the_warm_up_switches_too(pack):
    with FallbackEngine(Primary(None, n_good=0), lambda: OnnxEngine(pack)) as engine:
        engine.warm_up()
        assert engine.name == "onnxruntime"
        assert len(engine.take_notices()) == 1
        assert engine.take_notices() == []


def test_a_secondary_that_cannot_be_opened_leaves_both_reasons():
    def broken():
        raise EngineError("cnn8.onnx is missing")

    engine = FallbackEngine(Primary(None, n_good=0), broken)
    with pytest.raises(EngineError, match=r"illegal address.*cnn8\.onnx is missing"):
        engine.infer(np.zeros((1, 16000), np.float32))


def test_what_cannot_be_warmed_up_to_stand_by_is_closed(pack):
    second = Primary(None, 0)
    with OnnxEngine(pack, 1) as inner, FallbackEngine(Primary(inner, 9), lambda: second) as engine:
        engine.warm_up()
        assert "nothing stands by" in engine.take_notices()[0]
        assert second.is_closed


def test_a_secondary_that_fails_ends_it():
    engine = FallbackEngine(Primary(Silent(), n_good=1), lambda: Primary(Silent(), n_good=1))
    engine.infer(np.zeros((1, 16000), np.float32))
    with pytest.raises(EngineError, match="illegal address"):
        engine.infer(np.zeros((1, 16000), np.float32))


def test_presence_comes_from_whichever_runs():
    class Sure(Silent):
        def infer(self, windows):
            return replace(super().infer(windows), presence_logits=np.ones((len(windows), 2), np.float32))

    engine = FallbackEngine(Primary(Sure(), n_good=1), lambda: Primary(Sure(), n_good=9))
    for _ in range(3):
        assert (engine.infer(np.zeros((1, 16000), np.float32)).presence_logits == 1).all()
    assert len(engine.take_notices()) == 1


class Silent:
    def infer(self, windows):
        return Inference(np.zeros((len(windows), 2), np.float32), {})


def test_use_after_close_is_an_error_and_opens_nothing(pack):
    def never():
        raise AssertionError

    engine = FallbackEngine(Primary(None, n_good=0), never)
    engine.close()
    with pytest.raises(EngineError):
        engine.infer(np.zeros((1, 16000), np.float32))


def test_only_engines_with_something_to_tell_are_asked(pack):
    with OnnxEngine(pack) as engine:
        assert not isinstance(engine, Notifying)
