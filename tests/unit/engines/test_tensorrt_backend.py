"""TensorRtEngine against a GPU and a TensorRT that are as strict as the real ones."""

import logging

import numpy as np
import pytest
from tensorrt_fakes import FACTORS, FEATURES, FakeEngine, FakeGpu, FakeMemory, FakeTensorRt

from engines.contract import N_CHANNELS, N_FRAMES, N_ROWS, N_SCALARS, WINDOW_SAMPLES
from engines.engine_cache import BatchProfile
from engines.errors import EngineError, EngineMismatchError
from engines.front_end import FrontEnd
from engines.tensorrt_api import TensorRtApi
from engines.tensorrt_backend import TensorRtEngine

STAGES = (FEATURES, *FACTORS)
PLANS = {name: name.encode() for name in STAGES}
BATCH = BatchProfile(1, 1, 4)
ONE_RUN = ["upload", "features", "cnn8", "vgg", "download", "download", "synchronise"]


def expected(windows):
    return np.stack([factor * windows[:, -1] + windows[:, 0] for factor in FACTORS.values()], axis=1)


def windows_of(n, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, WINDOW_SAMPLES)).astype(np.float32)


@pytest.fixture
def gpu():
    return FakeGpu()


@pytest.fixture
def module(gpu):
    return FakeTensorRt(gpu)


@pytest.fixture
def opened(gpu, module):
    def make(batch=BATCH, **settings):
        memory = FakeMemory(gpu)
        front_end = FrontEnd(memory, batch.largest)
        return TensorRtEngine(TensorRtApi("tensorrt", module), PLANS, memory, front_end, batch, **settings)

    return make


@pytest.mark.parametrize("n", [0, 1, 3, 4, 9])
def test_any_number_of_windows_is_answered(opened, n):
    windows = windows_of(n)
    with opened() as engine:
        result = engine.infer(windows)
    assert result.logits.dtype == np.float32
    np.testing.assert_allclose(result.logits, expected(windows), rtol=1e-6)


@pytest.mark.parametrize("n", [0, 1, 3, 9])
def test_networks_with_two_outputs_answer_both(opened, module, n):
    module.shapes_of_logit = dict.fromkeys(FACTORS, (2,))
    windows = windows_of(n)
    with opened() as engine:
        engine.warm_up()
        result = engine.infer(windows)
    assert result.presence_logits.dtype == np.float32
    np.testing.assert_allclose(result.logits, expected(windows), rtol=1e-6)
    np.testing.assert_allclose(result.presence_logits, -10 * expected(windows), rtol=1e-6)


def test_networks_with_one_output_say_nothing_of_presence(opened):
    with opened() as engine:
        assert engine.infer(windows_of(1)).presence_logits is None


def test_networks_that_differ_in_their_outputs_are_an_engine_error(opened, module):
    module.shapes_of_logit["vgg"] = (2,)
    with opened() as engine, pytest.raises(EngineError, match=r"gave out \(1,\), \(1, 2\)"):
        engine.infer(windows_of(1))


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 2)])
def test_an_output_of_another_shape_is_refused(opened, module, shape):
    module.shapes_of_logit["vgg"] = shape
    with pytest.raises(EngineMismatchError, match=r"the engine of vgg gives out \(-1, .*version of breath"):
        opened()


def test_answers_stay_right_while_graphs_come_and_go(opened):
    with opened() as engine:
        for seed, n in enumerate([1, 1, 1, 3, 3, 3, 1, 4, 1, 1, 1]):
            windows = windows_of(n, seed)
            np.testing.assert_allclose(engine.infer(windows).logits, expected(windows), rtol=1e-6)


def test_earlier_answers_are_not_overwritten(opened):
    with opened() as engine:
        first = engine.infer(windows_of(1, seed=1)).logits
        kept = first.copy()
        engine.infer(windows_of(1, seed=2))
    np.testing.assert_array_equal(first, kept)


def test_fewer_windows_than_the_profile_takes_are_filled_up(opened, gpu, module):
    module.batch = (2, 4)
    windows = windows_of(1)
    with opened(BatchProfile(2, 2, 4)) as engine:
        np.testing.assert_allclose(engine.infer(windows).logits, expected(windows), rtol=1e-6)


def test_the_first_run_is_plain_the_second_recorded_the_third_launched(opened, gpu):
    with opened() as engine:
        gpu.log.clear()
        engine.infer(windows_of(1))
        shapes = [f"shape {name} {stage}" for stage in FACTORS for name in ("images", "scalars")]
        assert gpu.log == ["shape windows features", *shapes, *ONE_RUN]
        gpu.log.clear()
        engine.infer(windows_of(1))
        assert gpu.log == ["capture", *ONE_RUN[:-1], "launch", "synchronise"]
        gpu.log.clear()
        engine.infer(windows_of(1))
        assert gpu.log == ["launch", "synchronise"]


def test_another_batch_size_is_run_plainly_first(opened, gpu):
    with opened() as engine:
        engine.warm_up()
        gpu.log.clear()
        engine.infer(windows_of(2))
        assert gpu.log[-len(ONE_RUN) :] == ONE_RUN
        assert "launch" not in gpu.log


def test_after_warm_up_everything_is_in_place(opened, gpu):
    with opened() as engine:
        engine.warm_up()
        gpu.log.clear()
        engine.infer(windows_of(1))
    assert gpu.log[:2] == ["launch", "synchronise"]


def test_memory_without_graphs_enqueues_every_time(opened, gpu):
    gpu.has_graphs = False
    with opened() as engine:
        engine.warm_up()
        gpu.log.clear()
        engine.infer(windows_of(1))
        assert gpu.log == ONE_RUN


def test_a_recording_that_fails_is_told_and_not_tried_again(opened, gpu, caplog):
    gpu.fail_on = "capture"
    windows = windows_of(1)
    with opened() as engine, caplog.at_level(logging.WARNING):
        for _ in range(3):
            np.testing.assert_allclose(engine.infer(windows).logits, expected(windows), rtol=1e-6)
    assert gpu.log.count("capture") == 1
    assert "no CUDA graph" in caplog.text


def test_addresses_are_set_once_and_buffers_stay(opened, gpu):
    with opened() as engine:
        addresses = [line for line in gpu.log if line.startswith("address")]
        n_arrays = len(gpu.arrays)
        for n in (1, 1, 4, 2):
            engine.infer(windows_of(n))
        assert [line for line in gpu.log if line.startswith("address")] == addresses
        assert len(addresses) == 3 * len(STAGES)
        assert len(gpu.arrays) == n_arrays


def test_only_the_sound_is_uploaded(opened, gpu):
    windows = windows_of(3)
    with opened() as engine:
        engine.infer(windows)
    assert gpu.n_uploaded_bytes == windows.nbytes


def test_the_features_can_be_those_of_torch(gpu, module, monkeypatch):
    torch = pytest.importorskip("torch")

    class TorchLikeMemory(FakeMemory):
        """Work happens at once, as torch's own on the CPU does; owners are tensors over the arrays."""

        stream = None

        def allocate(self, shape):
            array = super().allocate(shape)
            return type(array)(shape, array.address, torch.from_numpy(self.gpu.arrays[array.address]))

    monkeypatch.setattr(gpu, "enqueue", lambda work: work())
    gpu.has_graphs = False
    memory = TorchLikeMemory(gpu)

    def features(windows):
        images = windows[:, :1, None, None].expand(-1, N_CHANNELS, N_ROWS, N_FRAMES)
        return images, windows[:, -1:].expand(-1, N_SCALARS)

    front_end = FrontEnd(memory, 4, features)
    windows = windows_of(3)
    networks = {name: PLANS[name] for name in FACTORS}
    with TensorRtEngine(TensorRtApi("tensorrt", module), networks, memory, front_end, BATCH) as engine:
        result = engine.infer(windows)
    np.testing.assert_allclose(result.logits, expected(windows), rtol=1e-6)
    assert gpu.n_uploaded_bytes == windows.nbytes


def test_features_that_fail_on_the_gpu_are_an_engine_error(gpu):
    pytest.importorskip("torch")
    memory = FakeMemory(gpu)
    memory.stream = None

    def features(windows):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(EngineError, match="torch failed in the features on the GPU: CUDA error"):
        dict(FrontEnd(memory, 1, features).steps(1))["features"]()


def test_stages_are_timed_on_request_and_waited_for_one_by_one(opened, gpu):
    with opened(has_stage_times=True) as engine:
        for _ in range(3):
            gpu.log.clear()
            result = engine.infer(windows_of(1))
    assert list(result.stages_s) == ["window", "upload", "features", "cnn8", "vgg", "download"]
    assert gpu.log[: -len(["synchronise", "close memory"])] == [
        *("upload", "synchronise"),
        *("features", "synchronise"),
        *("cnn8", "synchronise"),
        *("vgg", "synchronise"),
        *("download", "download", "synchronise"),
    ]


def test_without_that_the_gpu_is_one_stage(opened):
    with opened() as engine:
        assert list(engine.infer(windows_of(6)).stages_s) == ["window", "gpu"]


@pytest.mark.parametrize(
    "call",
    [
        *("upload", "features", "cnn8", "vgg", "download", "synchronise"),
        *("shape windows features", "shape images cnn8", "shape scalars vgg"),
    ],
)
def test_whatever_fails_in_a_run_is_an_engine_error_and_closing_still_works(opened, gpu, call):
    with opened() as engine:
        gpu.fail_on = call
        with pytest.raises(EngineError):
            engine.infer(windows_of(1))
    assert gpu.log[-1] == "close memory"


@pytest.mark.parametrize("call", ["launch", "synchronise"])
def test_a_gpu_that_fails_in_mid_stream(opened, gpu, call):
    with opened() as engine:
        engine.warm_up()
        gpu.fail_on = call
        with pytest.raises(EngineError, match="out of luck"):
            engine.infer(windows_of(1))


def test_a_run_that_failed_leaves_no_half_set_shapes(opened, gpu):
    windows = windows_of(2)
    with opened() as engine:
        engine.warm_up()
        gpu.fail_on = "shape scalars vgg"
        with pytest.raises(EngineError, match="set the shape of scalars of vgg to 2 windows"):
            engine.infer(windows)
        gpu.fail_on = None
        np.testing.assert_allclose(engine.infer(windows).logits, expected(windows), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        ("deserialise vgg", EngineMismatchError, r"refuses the engine of vgg: the plan has another version"),
        ("deserialise features", EngineMismatchError, "refuses the engine of features"),
        ("address images features", EngineError, "set the address of images of features"),
        ("context cnn8", EngineError, "no execution context for cnn8"),
        ("address logit vgg", EngineError, "set the address of logit of vgg"),
        ("allocate", EngineError, "out of luck"),
    ],
)
def test_an_engine_that_cannot_be_loaded_gives_the_memory_back(gpu, module, call, kind, words):
    memory = FakeMemory(gpu)
    front_end = FrontEnd(memory, 4)
    gpu.fail_on = call
    with pytest.raises(kind, match=words):
        TensorRtEngine(TensorRtApi("tensorrt", module), PLANS, memory, front_end, BATCH)
    assert memory.is_closed


def test_a_runtime_that_cannot_start(opened, module):
    module.has_factory = False
    with pytest.raises(EngineError, match=r"tensorrt cannot start: .*nullptr"):
        opened()


def test_tensors_of_another_type_or_name_are_refused(opened, module):
    module.tensor_dtype = module.DataType.HALF
    with pytest.raises(EngineMismatchError, match="not windows, images, scalars in float32"):
        opened()

    class OtherEngine(FakeEngine):
        def __init__(self, module, stage):
            super().__init__(module, stage)
            self.tensors["extra"] = ()

    module.tensor_dtype = module.DataType.FLOAT
    module.engine_type = OtherEngine
    with pytest.raises(EngineMismatchError, match="extra"):
        opened()


def test_windows_of_another_length_are_refused(opened):
    with opened() as engine, pytest.raises(EngineError, match=r"must be \(B, 16000\), not \(1, 8000\)"):
        engine.infer(np.zeros((1, 8000), np.float32))


def test_use_after_close_is_an_error_and_closing_twice_is_not(opened, gpu):
    engine = opened()
    engine.close()
    engine.close()
    assert gpu.log.count("close memory") == 1
    with pytest.raises(EngineError, match="closed"):
        engine.infer(windows_of(1))
    with pytest.raises(EngineError, match="closed"):
        engine.warm_up()
