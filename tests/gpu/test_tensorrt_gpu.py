"""TensorRT for real: built on this GPU, run on it, held to the CPU. One command: pytest tests/gpu."""

import numpy as np
import pytest

from engines.engine_cache import BatchProfile
from engines.ensemble import fuse
from engines.errors import BackendUnavailableError, EngineError
from engines.gpu import usable_gpu
from engines.onnx_backend import OnnxEngine
from engines.pack import load_pack
from engines.tensorrt_api import MODULES, is_installed, load_api
from realtime.gpu_engine import has_torch_with_cuda, open_tensorrt

BATCH = BatchProfile(1, 1, 4)
FLAVOURS = tuple(MODULES)
PRECISIONS = ("int8", "fp32", "fp16")


def why_skipped():
    try:
        usable_gpu()
    except BackendUnavailableError as error:
        return str(error)
    return ""


pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(why_skipped()), reason=why_skipped() or "-")]


@pytest.fixture(scope="module")
def float_pack(tmp_path_factory):
    """Networks of random weights, because the graphs of the shipped pack are INT8."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from random_pack import random_pack

    from offline.graphs.export import export_pack

    folder = tmp_path_factory.mktemp("packs")
    return export_pack(random_pack(folder, windows_of(8, seed=3), 2), out=folder / "exported")


@pytest.fixture(
    scope="module", params=[(flavour, precision) for flavour in FLAVOURS for precision in PRECISIONS]
)
def case(request):
    flavour, precision = request.param
    if not is_installed(flavour):
        pytest.skip(f"{MODULES[flavour]} is not installed")
    pytest.importorskip("onnx")
    return flavour, precision


@pytest.fixture(scope="module")
def pack(case, request):
    return load_pack() if case[1] == "int8" else request.getfixturevalue("float_pack")


@pytest.fixture(scope="module")
def built(case, pack, tmp_path_factory):
    flavour, precision = case
    from offline.graphs.build import build_engine

    root = tmp_path_factory.mktemp("engines")
    engine = build_engine(pack, flavour, precision, BATCH, root=root).engine
    parity = engine.manifest.parity
    if parity["verdict"] == "not run here":
        pytest.skip(parity["reason"])
    return flavour, root, parity


@pytest.fixture
def opened(built, pack):
    flavour, root, _ = built
    with open_tensorrt(pack, flavour, root) as engine:
        engine.warm_up()
        yield engine


def windows_of(n, seed=0):
    time_s = np.arange(16_000) / 16_000
    noise = np.random.default_rng(seed).standard_normal((n, 16_000))
    return (0.1 * noise * np.sin(np.pi * time_s)).astype(np.float32)


def prob(pack, engine, windows):
    return fuse(engine.infer(windows).logits, pack.manifest.weights, pack.manifest.temperature)


def test_the_gate_was_run_and_passed(built):
    assert built[2]["verdict"] == "passed"
    assert built[2]["n_windows"] > 0


@pytest.mark.parametrize("n", [1, 3, 4, 9])
def test_it_says_what_the_cpu_says(opened, pack, n):
    windows = windows_of(n)
    with OnnxEngine(pack) as reference:
        expected = prob(pack, reference, windows)
    np.testing.assert_allclose(prob(pack, opened, windows), expected, atol=0.1)


def test_a_replayed_graph_says_what_a_plain_run_says(opened):
    windows = windows_of(2)
    plain, recorded, launched = (opened.infer(windows).logits for _ in range(3))
    np.testing.assert_allclose(recorded, plain, atol=1e-2)
    np.testing.assert_array_equal(launched, recorded)


def test_replays_hear_the_new_window_and_not_the_old_one(opened):
    opened.warm_up()
    first, second = windows_of(1, seed=1), windows_of(1, seed=2)
    answers = [opened.infer(windows).logits for windows in (first, second, first)]
    np.testing.assert_allclose(answers[0], answers[2], atol=1e-3)
    assert (answers[0] != answers[1]).any()


def test_a_graph_is_recorded_where_torch_owns_the_memory(opened):
    if not has_torch_with_cuda():
        pytest.skip("pycuda knows no graphs")
    assert opened.infer(windows_of(1)).stages_s.keys() == {"window", "gpu"}
    assert opened._launch is not None


def test_it_goes_on_for_a_thousand_windows_without_growing(opened):
    if not has_torch_with_cuda():
        pytest.skip("torch counts its memory")
    import torch

    window = windows_of(1)
    opened.infer(window)
    before = torch.cuda.memory_allocated()
    for _ in range(1000):
        opened.infer(window)
    assert torch.cuda.memory_allocated() == before


def test_use_after_close_is_an_error(built, pack):
    flavour, root, _ = built
    engine = open_tensorrt(pack, flavour, root)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(windows_of(1))


def test_pycuda_in_a_process_without_torch_on_the_gpu(built, pack, monkeypatch):
    pytest.importorskip("pycuda", reason="pycuda is not installed")
    import realtime.gpu_engine as gpu_engine

    monkeypatch.setattr(gpu_engine, "has_torch_with_cuda", lambda: False)
    flavour, root, _ = built
    windows = windows_of(3)
    with OnnxEngine(pack) as reference, open_tensorrt(pack, flavour, root) as engine:
        np.testing.assert_allclose(prob(pack, engine, windows), prob(pack, reference, windows), atol=0.1)


def test_a_plan_that_is_none_is_an_error_and_no_crash(built):
    with pytest.raises(EngineError, match="refuses the engine of cnn8"):
        load_api(built[0]).engine_from_plan("cnn8", b"no plan")
