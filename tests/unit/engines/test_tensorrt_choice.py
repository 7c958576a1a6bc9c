"""Which engine `auto` takes with and without a GPU, and that a GPU engine can be replaced in mid-stream."""

import hashlib

import numpy as np
import pytest
from tensorrt_fakes import FACTORS, FEATURES, FakeGpu, FakeMemory, FakeTensorRt

import engines.device_memory
import realtime.gpu_engine
from engines.backend import choose
from engines.engine_cache import SCHEMA_VERSION, BatchProfile, EngineKey, EngineManifest, PlanFile, publish
from engines.errors import BackendUnavailableError, EngineMismatchError
from engines.gpu import Gpu
from engines.onnx_backend import OnnxEngine
from engines.pack import load_pack
from engines.tensorrt_api import TensorRtApi
from realtime.engine import open_engine
from realtime.gpu_engine import open_tensorrt, why_not_tensorrt

CARD = Gpu("NVIDIA L4", (8, 9))
WINDOWS = np.zeros((1, 16_000), np.float32)


@pytest.fixture
def pack(tiny_pack):
    return load_pack(tiny_pack)


@pytest.fixture
def no_gpu(monkeypatch):
    def absent():
        raise BackendUnavailableError("no usable GPU: no NVIDIA driver")

    monkeypatch.setattr(realtime.gpu_engine, "usable_gpu", absent)


@pytest.fixture
def card(monkeypatch, tmp_path):
    """A machine with a GPU and TensorRT, but without torch on the GPU; its cache is empty."""
    gpu = FakeGpu()
    module = FakeTensorRt(gpu)
    there = realtime.gpu_engine
    monkeypatch.setattr(there, "usable_gpu", lambda: CARD)
    monkeypatch.setattr(there, "is_installed", lambda flavour: flavour == "tensorrt")
    monkeypatch.setattr(there, "load_api", lambda flavour: TensorRtApi(flavour, module))
    monkeypatch.setattr(there, "has_torch_with_cuda", lambda: False)
    monkeypatch.setattr(there, "default_root", lambda: tmp_path)
    monkeypatch.setattr(engines.device_memory, "PycudaMemory", lambda: FakeMemory(gpu))
    return gpu


def built(pack, root, stages=(FEATURES, *FACTORS), **changes):
    fields = {
        "pack_sha256": pack.sha256,
        "flavour": "tensorrt",
        "version": FakeTensorRt.__version__,
        "gpu": CARD.label,
        "precision": "fp16",
        "batch": BatchProfile(1, 1, 4),
    }
    key = EngineKey(**(fields | changes))
    plans = {stage: stage.encode() for stage in stages}
    files = {name: PlanFile(hashlib.sha256(plan).hexdigest(), len(plan), {}) for name, plan in plans.items()}
    return publish(root, EngineManifest(SCHEMA_VERSION, key, "tiny", files, {}), plans)


def test_without_a_gpu_auto_says_why_tensorrt_was_passed_over(pack, no_gpu):
    engine, choice = open_engine(pack)
    with engine:
        assert engine.name == "onnxruntime"
    assert choice.reason == "tensorrt and tensorrt-rtx passed over: no usable GPU: no NVIDIA driver"


def test_without_a_gpu_tensorrt_is_not_even_imported(pack, no_gpu, monkeypatch):
    def never(flavour):
        raise AssertionError

    monkeypatch.setattr(realtime.gpu_engine, "load_api", never)
    assert "no NVIDIA driver" in why_not_tensorrt(pack, "tensorrt")
    with pytest.raises(BackendUnavailableError, match="no NVIDIA driver"):
        open_tensorrt(pack, "tensorrt")


def test_asked_for_without_a_gpu_is_an_error(pack, no_gpu):
    with pytest.raises(BackendUnavailableError, match="'tensorrt-rtx' cannot run: no usable GPU"):
        open_engine(pack, "tensorrt-rtx")


def test_with_a_gpu_and_nothing_built_auto_says_what_to_run(pack, card):
    engine, choice = open_engine(pack)
    engine.close()
    assert choice.name == "onnxruntime"
    assert f"breath-offline build --pack {pack.path} --engine tensorrt" in choice.reason
    assert "tensorrt-rtx passed over: tensorrt_rtx is not installed" in choice.reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pack_sha256": "0" * 64}, "for another pack"),
        ({"version": "10.13.0"}, "by version 10.13.0"),
        ({"gpu": "NVIDIA T4 (sm_75)"}, "for another GPU"),
    ],
)
def test_an_engine_that_does_not_fit_is_passed_over_with_the_reason(pack, card, tmp_path, changes, words):
    built(pack, tmp_path, **changes)
    engine, choice = open_engine(pack)
    engine.close()
    assert choice.name == "onnxruntime"
    assert words in choice.reason
    with pytest.raises(EngineMismatchError, match=words):
        open_tensorrt(pack, "tensorrt")


def test_with_a_gpu_and_a_valid_engine_auto_takes_tensorrt(pack, card, tmp_path):
    built(pack, tmp_path)
    engine, choice = open_engine(pack)
    with engine:
        engine.warm_up()
        assert engine.name == choice.name == "tensorrt"
        loud = np.full((1, 16_000), 0.5, np.float32)
        logits = engine.infer(loud).logits
    np.testing.assert_allclose(logits[0], [factor * 0.5 + 0.5 for factor in FACTORS.values()], rtol=1e-5)
    assert choice.reason == "the fastest that runs on this machine"


def test_an_engine_that_the_library_refuses_is_passed_over_but_not_where_it_was_asked_for(
    pack, card, tmp_path
):
    """An engine of RTX fits every GPU by its key, and not every GPU is on its list."""
    built(pack, tmp_path)
    card.fail_on = "deserialise cnn8"
    engine, choice = open_engine(pack)
    with engine:
        assert engine.name == choice.name == "onnxruntime"
    assert "tensorrt passed over: tensorrt 11.4.0.106 refuses the engine of cnn8" in choice.reason
    # Whole as it is, a plain build would leave it in its place.
    with pytest.raises(EngineMismatchError, match=r"refuses the engine of cnn8.* --batch \S+ --rebuild$"):
        open_engine(pack, "tensorrt")


def test_when_the_gpu_fails_onnx_runtime_answers_the_same_window(pack, card, tmp_path):
    built(pack, tmp_path)
    engine, _ = open_engine(pack)
    with engine, OnnxEngine(pack) as expected:
        engine.warm_up()
        card.fail_on = "synchronise"
        np.testing.assert_array_equal(engine.infer(WINDOWS).logits, expected.infer(WINDOWS).logits)
        assert engine.name == "onnxruntime"
        (notice,) = engine.take_notices()
    assert notice.startswith("tensorrt failed")
    assert card.log.count("close memory") == 1


@pytest.mark.parametrize(
    ("stages", "words"), [((FEATURES, "cnn8"), "lacks vgg"), (("cnn8", "vgg"), "lacks features")]
)
def test_an_engine_that_lacks_a_part_is_refused_with_the_mend(pack, card, tmp_path, stages, words):
    built(pack, tmp_path, stages=stages)
    why = why_not_tensorrt(pack, "tensorrt")
    assert words in why
    assert why.endswith("--rebuild")


def test_both_flavours_are_asked_in_their_order():
    asked = []

    def why_not(flavour):
        asked.append(flavour)
        return "" if flavour == "tensorrt-rtx" else "no engine"

    choice = choose("auto", has_onnx_graphs=True, has_weights=False, why_not_on_gpu=why_not)
    assert (choice.name, choice.reason) == ("tensorrt-rtx", "tensorrt passed over: no engine")
    assert asked == ["tensorrt", "tensorrt-rtx"]
