import gc
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

from engines.contract import WINDOW_SAMPLES
from engines.errors import EngineError
from engines.onnx_backend import OnnxEngine

WITH_TWO_THREADS = pytest.mark.parametrize("n_threads", [2, 3])


def threads_beside():
    return [thread for thread in threading.enumerate() if thread.name.startswith("inference")]


@pytest.fixture(scope="module")
def alone(exported_pack):
    with OnnxEngine(exported_pack, n_threads=1) as engine:
        yield engine


@WITH_TWO_THREADS
@pytest.mark.parametrize("n_windows", [1, 2, 5])
def test_networks_side_by_side_say_what_they_say_one_after_another(
    alone, exported_pack, probe_windows, n_threads, n_windows
):
    windows = probe_windows[3 : 3 + n_windows]
    expected = alone.infer(windows)
    assert np.abs(np.diff(expected.logits, axis=1)).min() > 1e-3, "the networks must differ"
    with OnnxEngine(exported_pack, n_threads) as engine:
        said = engine.infer(windows)
    np.testing.assert_allclose(said.logits, expected.logits, atol=1e-4)
    assert list(expected.stages_s) == ["features", "cnn8", "vgg"]
    assert list(said.stages_s) == ["features", "cnn8", "vgg", "inference"]
    longest_s = max(said.stages_s["cnn8"], said.stages_s["vgg"])
    assert 0 < said.stages_s["features"] + longest_s <= said.stages_s["inference"]


def test_one_thread_starts_no_other(alone, probe_windows):
    alone.infer(probe_windows)
    assert not threads_beside()


def test_the_threads_end_with_the_engine(exported_pack, probe_windows):
    engine = OnnxEngine(exported_pack, n_threads=2)
    engine.infer(probe_windows[:1])
    assert threads_beside()
    beside = threads_beside()
    engine.close()
    for thread in beside:
        thread.join(timeout=10)
    assert not threads_beside()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(probe_windows[:1])


class Failing:
    """A session that fails at its first call and works afterwards."""

    def __init__(self, session):
        self.session = session
        self.has_failed = False

    def run(self, *given):
        if not self.has_failed:
            self.has_failed = True
            raise RuntimeError("out of memory")
        return self.session.run(*given)


@pytest.mark.parametrize("network", ["cnn8", "vgg"])
def test_a_network_that_fails_is_named_and_the_engine_goes_on(
    exported_pack, probe_windows, network, monkeypatch
):
    with OnnxEngine(exported_pack, n_threads=2) as engine:
        monkeypatch.setitem(engine._sessions, network, Failing(engine._sessions[network]))
        with pytest.raises(EngineError, match=f"failed in {network}: out of memory"):
            engine.infer(probe_windows[:1])
        again = engine.infer(probe_windows[:1])
    assert np.isfinite(again.logits).all()


def test_a_wrong_shape_is_an_error_in_either_half(exported_pack):
    with (
        OnnxEngine(exported_pack, n_threads=2) as engine,
        pytest.raises(EngineError, match="failed in features"),
    ):
        engine.infer(np.zeros((2, WINDOW_SAMPLES - 1), np.float32))


def test_a_thread_that_outlives_the_main_one_goes_on_asking(exported_pack):
    script = """
import sys, threading, time
import numpy as np
from engines.onnx_backend import OnnxEngine
from engines.pack import load_pack

def ask(engine):
    threading.main_thread().join()
    print(len([engine.infer(np.zeros((2, 16000), np.float32)) for _ in range(2)]))
    engine.close()

engine = OnnxEngine(load_pack(sys.argv[1]), n_threads=2)
threading.Thread(target=ask, args=(engine,)).start()
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, exported_pack.path],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("2\n", "", 0)


def test_an_engine_that_nobody_closes_is_forgotten_with_its_threads(exported_pack, probe_windows):
    engine = OnnxEngine(exported_pack, n_threads=2)
    engine.infer(probe_windows[:1])
    beside, is_there = threads_beside(), weakref.ref(engine)
    del engine
    gc.collect()
    assert is_there() is None
    for thread in beside:
        thread.join(timeout=10)
    assert not threads_beside()
