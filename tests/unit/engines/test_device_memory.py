"""Both owners of the GPU's memory, run for real: over a fake of torch.cuda, and over one of pycuda.driver.

The fakes know the names and signatures of torch 2.13 and pycuda 2026.1, and no others. What is enqueued
happens when its stream is waited for, and not before.
"""

import contextlib
import gc
import inspect
import itertools
import logging
import sys
import threading
import weakref
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from tensorrt_fakes import ALIGNMENT, FACTORS, FEATURES, STREAM, FakeGpu, FakeTensorRt

import realtime.gpu_engine
from engines.contract import WINDOW_SAMPLES
from engines.device_memory import PycudaMemory, TorchMemory
from engines.engine_cache import BatchProfile
from engines.errors import BackendUnavailableError, EngineError
from engines.front_end import FrontEnd
from engines.installing import install_extra
from engines.tensorrt_api import TensorRtApi
from engines.tensorrt_backend import TensorRtEngine

UP, DOWN = "host to device", "device to host"
DEFAULT_STREAM = 0
SHAPE = (3, 4)
ROW_BYTES = 16
REAL_GRAPH = torch.cuda.graph


class DriverError(Exception):
    """`pycuda.driver.Error`: an Exception, and no RuntimeError."""


class Card:
    """The GPU behind a fake: what was called, in order, and what of it is still held.

    `fail(call, nth)` makes a call fail the nth time and from then on.
    """

    def __init__(self, owner, failure):
        self.owner = owner
        self.failure = failure
        self.log = []
        self.copies = []
        self.waited_for = []
        self.queues = defaultdict(list)
        self.recorded = None
        self.capturing = None
        self.memory = weakref.WeakValueDictionary()
        self.page_locked = {}
        self.locked_for_ever = []
        self.streams = set()
        self._handles = itertools.count(STREAM)
        self._contexts = defaultdict(list)
        self.is_initialised = False
        self._failing, self._successes, self._failed_with = None, 0, failure

    def fail(self, call, nth=1, error=None):
        self._failing, self._successes, self._failed_with = call, nth - 1, error or self.failure

    def call(self, name):
        self.log.append(name)
        if name == self._failing:
            if self._successes == 0:
                raise self._failed_with(f"{name}: out of luck")
            self._successes -= 1

    def new_array(self, shape):
        """Not filled, and aligned as the GPU's memory is."""
        n_bytes = 4 * int(np.prod(shape))
        raw = np.empty(n_bytes + ALIGNMENT, np.uint8)
        first = -raw.ctypes.data % ALIGNMENT
        array = raw[first : first + n_bytes].view(np.float32).reshape(shape)
        array.fill(np.nan)
        self.memory[array.ctypes.data] = array
        return array

    def new_page_locked(self, shape):
        array = np.zeros(shape, np.float32)
        address = array.ctypes.data
        self.page_locked[address] = array.nbytes
        weakref.finalize(array, self.page_locked.pop, address)
        return array

    def new_stream(self, stream):
        handle = next(self._handles)
        self.streams.add(handle)
        weakref.finalize(stream, self.streams.remove, handle)
        return handle

    def enqueue(self, handle, work):
        if self.recorded is None:
            self.queues[handle].append(work)
        elif handle == self.capturing:
            self.recorded.append(work)
        else:
            raise self.failure("operation not permitted when a stream is capturing")

    @property
    def contexts(self):
        """Those that are current on this thread, the newest last."""
        return self._contexts[threading.get_ident()]

    def copy(self, direction, address, target, source, handle):
        self.call("upload" if direction == UP else "download")
        host = (source if direction == UP else target).ctypes.data
        assert any(first <= host < first + n for first, n in self.page_locked.items()), "ordinary memory"
        self.copies.append((direction, address, source.nbytes, handle))
        self.enqueue(handle, lambda: np.copyto(target, source))

    def wait_for(self, handle):
        self.call("wait")
        self.waited_for.append(handle)
        works, self.queues[handle] = self.queues[handle], []
        for work in works:
            work()

    def floats(self, device):
        return self.memory[device.address].reshape(device.shape)

    def double(self, memory, device):
        """Enqueue on the memory's stream what TensorRT would: a kernel that works on the array in place."""
        floats = self.floats(device)
        self.enqueue(memory.stream_handle, lambda: np.multiply(floats, 2, out=floats))


def fake_pycuda(card):
    """`pycuda.driver`; whatever needs a context refuses without one, as the real one does."""

    def in_context(name):
        card.call(name)
        if not card.contexts:
            raise DriverError(f"{name} failed: invalid device context")

    class Context:
        def push(self):
            card.call("push")
            card.contexts.append(self)

        @staticmethod
        def pop():
            card.call("pop")
            if not card.contexts:
                raise DriverError("cannot pop non-current context")
            card.contexts.pop()

    class Device:
        def __init__(self, ordinal):
            if not card.is_initialised:
                raise DriverError("cuDeviceGet failed: initialization error")
            card.call(f"device {ordinal}")

        def retain_primary_context(self):
            card.call("retain primary context")
            return Context()

    class Stream:
        def __init__(self, flags=0):
            in_context("stream")
            self.handle = card.new_stream(self)

        def synchronize(self):
            card.wait_for(self.handle)

    class Allocation:
        def __init__(self, n_bytes):
            assert type(n_bytes) is int
            self.array = card.new_array(n_bytes // 4)

        def __int__(self):
            return self.array.ctypes.data

        def free(self):
            in_context("free")
            self.array = None

    def mem_alloc(bytes):  # noqa: A002  # pycuda's name
        in_context("allocate")
        return Allocation(bytes)

    class HostAllocation:
        def __init__(self, shape):
            self.array = card.new_page_locked(shape)
            self.__array_interface__ = self.array.__array_interface__

        def __del__(self):
            if not card.contexts:
                card.locked_for_ever.append(self.array)

    def pagelocked_zeros(shape, dtype, order="C", mem_flags=0):
        in_context("page-lock")
        assert dtype is np.float32
        return np.asarray(HostAllocation(shape))

    def copy(direction, address, host, stream):
        if type(address) is not int or not isinstance(host, np.ndarray):
            raise TypeError("Python argument types did not match C++ signature")
        if not card.contexts:
            raise DriverError("copy failed: invalid device context")
        on_device = card.memory[address].reshape(-1)[: host.size].reshape(host.shape)
        target, source = (on_device, host) if direction == UP else (host, on_device)
        card.copy(direction, address, target, source, DEFAULT_STREAM if stream is None else stream.handle)

    def init(flags=0):
        card.call("init")
        card.is_initialised = True

    return SimpleNamespace(
        init=init,
        Device=Device,
        Stream=Stream,
        mem_alloc=mem_alloc,
        pagelocked_zeros=pagelocked_zeros,
        memcpy_htod_async=lambda dest, src, stream=None: copy(UP, dest, src, stream),
        memcpy_dtoh_async=lambda dest, src, stream=None: copy(DOWN, src, dest, stream),
    )


def patch_torch(card, monkeypatch):
    """Tensors on the GPU are tensors of a kind of their own, whose copies go through the card."""
    current = [DEFAULT_STREAM]

    class OnDevice(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            if function is not torch.Tensor.copy_:
                return super().__torch_function__(function, types, args, kwargs or {})
            target, source = args
            assert kwargs == {"non_blocking": True}, "a copy that the host waits for"
            direction = UP if isinstance(target, cls) else DOWN
            address = (target if direction == UP else source).data_ptr()
            arrays = [one.as_subclass(torch.Tensor).numpy() for one in args]
            card.copy(direction, address, *arrays, current[-1])
            return target

    class Stream:
        def __init__(self):
            card.call("stream")
            self.cuda_stream = card.new_stream(self)

        def synchronize(self):
            card.wait_for(self.cuda_stream)

    @contextlib.contextmanager
    def on_stream(stream):
        # With None, the real one leaves the stream as it is.
        before = list(current)
        current.append(current[-1] if stream is None else stream.cuda_stream)
        try:
            yield
        finally:
            current[:] = before

    class Graph:
        def replay(self):
            card.call("launch")
            for work in self.recorded:
                card.enqueue(current[-1], work)

    @contextlib.contextmanager
    def capturing(cuda_graph, pool=None, stream=None, capture_error_mode="global"):
        card.call("capture begins")
        current.append((Stream() if stream is None else stream).cuda_stream)
        card.recorded, card.capturing = [], current[-1]
        try:
            yield
        finally:
            cuda_graph.recorded, card.recorded = card.recorded, None
            # Where this fails, the real one leaves its stream the current one.
            card.call("capture ends")
            current.pop()

    def empty(shape, *, dtype, device):
        card.call("allocate")
        assert (dtype, device) == (torch.float32, "cuda")
        return torch.from_numpy(card.new_array(shape)).as_subclass(OnDevice)

    def zeros(shape, *, dtype, pin_memory):
        card.call("page-lock")
        assert (dtype, pin_memory) == (torch.float32, True)
        return torch.from_numpy(card.new_page_locked(shape))

    card.current_streams = current
    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(torch, "zeros", zeros)
    for name, fake in (("Stream", Stream), ("stream", on_stream), ("CUDAGraph", Graph), ("graph", capturing)):
        monkeypatch.setattr(torch.cuda, name, fake)


@pytest.fixture
def torch_card(monkeypatch):
    card = Card(TorchMemory, RuntimeError)
    patch_torch(card, monkeypatch)
    return card


@pytest.fixture
def pycuda_card(monkeypatch):
    card = Card(PycudaMemory, DriverError)
    package = ModuleType("pycuda")
    package.driver = fake_pycuda(card)
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", package.driver)
    return card


@pytest.fixture(params=["torch_card", "pycuda_card"])
def card(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def memory(card):
    with contextlib.closing(card.owner()) as opened:
        yield opened


def page_locked(memory, fill):
    host = memory.page_locked(SHAPE)
    host[:] = np.arange(host.size).reshape(SHAPE) + fill
    return host


def test_names_that_the_fakes_have_are_those_of_torch():
    assert {"cuda_graph", "pool", "stream", "capture_error_mode"} <= set(
        inspect.signature(REAL_GRAPH).parameters
    )
    assert callable(torch.cuda.CUDAGraph.replay)
    assert callable(torch.cuda.Stream.synchronize)
    assert not torch.cuda.is_available() or torch.cuda.Stream().cuda_stream != DEFAULT_STREAM


def test_what_is_uploaded_is_on_the_device_once_waited_for_and_comes_back(card, memory):
    up, down = page_locked(memory, 1), page_locked(memory, 100)
    device = memory.allocate(SHAPE)
    sent, before = up.copy(), down.copy()
    memory.upload(up, device)
    card.double(memory, device)
    memory.download(device, down)
    assert np.isnan(card.floats(device)).all()
    np.testing.assert_array_equal(down, before)
    memory.synchronise()
    np.testing.assert_array_equal(up, sent)
    np.testing.assert_array_equal(card.floats(device), 2 * sent)
    np.testing.assert_array_equal(down, 2 * sent)


def test_only_the_first_rows_are_copied_where_the_host_has_fewer(card, memory):
    up, down = page_locked(memory, 1), page_locked(memory, 100)
    device = memory.allocate(SHAPE)
    sent, rest = up.copy(), down[1:].copy()
    memory.upload(up[:2], device)
    memory.download(device, down[:1])
    memory.synchronise()
    np.testing.assert_array_equal(card.floats(device)[:2], sent[:2])
    assert np.isnan(card.floats(device)[2]).all()
    np.testing.assert_array_equal(down[:1], sent[:1])
    np.testing.assert_array_equal(down[1:], rest)
    assert [entry[2] for entry in card.copies] == [2 * ROW_BYTES, ROW_BYTES]


def test_copies_go_their_way_at_the_address_of_their_array_on_a_stream_of_their_own(card, memory):
    host = page_locked(memory, 1)
    first, second = memory.allocate(SHAPE), memory.allocate(SHAPE)
    memory.upload(host, second)
    memory.download(first, host)
    memory.synchronise()
    handle = memory.stream_handle
    assert type(handle) is int
    assert handle in card.streams
    assert handle != DEFAULT_STREAM
    assert card.copies == [
        (UP, second.address, 3 * ROW_BYTES, handle),
        (DOWN, first.address, 3 * ROW_BYTES, handle),
    ]
    assert card.waited_for == [handle]
    assert set(card.queues) == {handle}


def test_arrays_of_the_device_are_as_large_as_they_say(card, memory):
    arrays = [memory.allocate(shape) for shape in ((2,), SHAPE, (2, 3, 4))]
    assert [type(array.address) for array in arrays] == [int] * 3
    assert [array.shape for array in arrays] == [(2,), SHAPE, (2, 3, 4)]
    assert [card.memory[array.address].nbytes for array in arrays] == [8, 48, 96]


def test_page_locked_arrays_are_zeros_and_stay_so_locked_while_a_part_is_used(card, memory):
    host = memory.page_locked(SHAPE)
    assert (host.shape, host.dtype, host.any()) == (SHAPE, np.float32, False)
    part = host[1:]
    del host
    memory.upload(part, memory.allocate(SHAPE))
    assert len(card.page_locked) == 1


def test_a_graph_of_torch_is_launched_on_the_stream_with_what_the_host_has_then(torch_card):
    card = torch_card
    with contextlib.closing(TorchMemory()) as memory:
        up, down = page_locked(memory, 1), page_locked(memory, 100)
        device = memory.allocate(SHAPE)

        def enqueue():
            memory.upload(up, device)
            card.double(memory, device)
            memory.download(device, down)

        launch = memory.capture(enqueue)
        memory.synchronise()
        assert np.isnan(card.floats(device)).all()
        n_copies = len(card.copies)
        for fill in (5, 7):
            up[:] = fill
            launch()
            assert not (down == 2 * fill).any()
            memory.synchronise()
            np.testing.assert_array_equal(down, np.full(SHAPE, 2 * fill))
        assert len(card.copies) == n_copies
        assert set(card.queues) == {memory.stream_handle}
        assert card.log.count("launch") == 2


def test_pycuda_knows_no_graphs_and_enqueues_nothing(pycuda_card):
    with contextlib.closing(PycudaMemory()) as memory:
        assert memory.capture(lambda: pytest.fail("enqueued")) is None


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ("page-lock", r"page-locked allocation of \(3, 4\)"),
        ("allocate", r"allocation of \(3, 4\)"),
        ("upload", "upload"),
        ("download", "download"),
        ("wait", "work"),
    ],
)
def test_whatever_cuda_reports_is_an_engine_error_that_says_where(card, memory, call, what):
    card.fail(call)

    def use():
        host, device = memory.page_locked(SHAPE), memory.allocate(SHAPE)
        memory.upload(host, device)
        memory.download(device, host)
        memory.synchronise()

    with pytest.raises(EngineError, match=f"^the GPU failed in {what}: {call}: out of luck$") as caught:
        use()
    assert type(caught.value.__cause__) is card.failure


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ("capture begins", "capture"),
        ("capture ends", "capture"),
        ("launch", "launch of the graph"),
        ("upload", "upload"),
    ],
)
def test_whatever_fails_of_a_graph_is_an_engine_error_said_once(torch_card, call, what):
    with contextlib.closing(TorchMemory()) as memory:
        host, device = memory.page_locked(SHAPE), memory.allocate(SHAPE)
        torch_card.fail(call)
        with pytest.raises(EngineError, match=f"^the GPU failed in {what}: {call}: out of luck$"):
            memory.capture(lambda: memory.upload(host, device))()
        torch_card.fail(None)
        assert torch_card.current_streams == [DEFAULT_STREAM]
        memory.upload(host, device)
        assert torch_card.copies[-1][-1] == memory.stream_handle


def test_pycuda_is_called_in_its_order(pycuda_card):
    memory = PycudaMemory()
    host, device = memory.page_locked(SHAPE), memory.allocate(SHAPE)
    memory.allocate(SHAPE)
    memory.upload(host, device)
    memory.download(device, host)
    memory.synchronise()
    memory.close()
    used = ("page-lock", "allocate", "allocate", "upload", "download", "wait")
    assert pycuda_card.log == [
        *("init", "device 0", "retain primary context", "push", "stream", "pop"),
        *(step for call in used for step in ("push", call, "pop")),
        *("push", "free", "free", "pop"),
    ]


def test_torch_waits_for_its_stream_before_anything_is_given_back(torch_card):
    memory = TorchMemory()
    host, device = page_locked(memory, 1), memory.allocate(SHAPE)
    memory.upload(host, device)
    memory.close()
    assert torch_card.log[-1] == "wait"
    np.testing.assert_array_equal(torch_card.floats(device), host)


def test_closing_gives_everything_back_and_again_does_nothing(card):
    memory = card.owner()
    host, device = memory.page_locked(SHAPE), memory.allocate(SHAPE)
    del host
    memory.close()
    log = list(card.log)
    memory.close()
    assert card.log == log
    del device
    gc.collect()
    assert (len(card.memory), card.page_locked, card.streams, card.contexts) == (0, {}, set(), [])


def test_pycuda_frees_what_others_still_hold_and_leaves_other_contexts_alone(pycuda_card):
    others = object()
    pycuda_card.contexts.append(others)
    memory = PycudaMemory()
    arrays = [memory.allocate(SHAPE) for _ in range(3)]
    memory.close()
    assert len(arrays) == 3
    assert len(pycuda_card.memory) == 0
    assert pycuda_card.contexts == [others]


def test_freeing_after_a_failure_frees_the_rest_and_hides_nothing(pycuda_card, caplog):
    memory = PycudaMemory()
    for _ in range(3):
        memory.allocate(SHAPE)
    pycuda_card.fail("free")
    with caplog.at_level(logging.DEBUG, "engines.device_memory"):
        memory.close()
    assert pycuda_card.log[-4:] == ["free", "free", "free", "pop"]
    assert pycuda_card.contexts == []
    assert caplog.text.count("pycuda could not free what it held: free: out of luck") == 3


@pytest.mark.parametrize(("fixture", "call"), [("torch_card", "wait"), ("pycuda_card", "pop")])
def test_a_gpu_that_fails_can_still_be_closed(request, caplog, fixture, call):
    card = request.getfixturevalue(fixture)
    memory = card.owner()
    card.fail(call)
    n_before = card.log.count(call)
    with caplog.at_level(logging.DEBUG, "engines.device_memory"):
        memory.close()
    assert f"could not free what it held: {call}: out of luck" in caplog.text
    memory.close()
    assert card.log.count(call) == n_before + 1


@pytest.mark.parametrize("call", ["init", "device 0", "retain primary context", "push", "stream"])
@pytest.mark.parametrize("is_interrupted", [False, True])
def test_pycuda_that_cannot_be_opened_leaves_no_context_behind(pycuda_card, call, is_interrupted):
    pycuda_card.fail(call, error=KeyboardInterrupt if is_interrupted else None)
    kind, words = (
        (KeyboardInterrupt, "") if is_interrupted else (EngineError, "^the GPU failed in pycuda .*: ")
    )
    with pytest.raises(kind, match=f"{words}{call}: out of luck$"):
        PycudaMemory()
    assert pycuda_card.log.count("push") == pycuda_card.log.count("pop") + (call == "push")
    assert (pycuda_card.contexts, pycuda_card.streams) == ([], set())


def test_torch_that_cannot_be_opened_is_an_engine_error(torch_card):
    torch_card.fail("stream")
    with pytest.raises(EngineError, match="torch cannot use the GPU: stream: out of luck"):
        TorchMemory()


def test_without_pycuda_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(
        BackendUnavailableError, match="neither torch with CUDA nor pycuda is there"
    ) as caught:
        PycudaMemory()
    assert install_extra("gpu") in str(caught.value)


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_an_engine_that_gets_only_a_part_of_its_memory_gives_it_back(pycuda_card, monkeypatch, nth):
    monkeypatch.setattr(realtime.gpu_engine, "has_torch_with_cuda", lambda: False)
    pycuda_card.fail("allocate", nth)
    with pytest.raises(EngineError, match="allocate: out of luck"):
        realtime.gpu_engine.open_plans(None, None, {}, BatchProfile(1, 1, 1))
    gc.collect()
    assert pycuda_card.log.count("free") == nth - 1
    assert (len(pycuda_card.memory), pycuda_card.page_locked) == (0, {})
    assert (pycuda_card.streams, pycuda_card.contexts) == (set(), [])


def test_what_is_closed_refuses_to_work(card):
    memory = card.owner()
    host, device = memory.page_locked(SHAPE), memory.allocate(SHAPE)
    memory.close()
    for call in (
        lambda: memory.page_locked(SHAPE),
        lambda: memory.allocate(SHAPE),
        lambda: memory.upload(host, device),
        lambda: memory.download(device, host),
        memory.synchronise,
        lambda: memory.stream_handle,
    ):
        with pytest.raises(EngineError, match="given back; open the engine again"):
            call()
    assert card.copies == []


def test_graphs_of_what_is_closed_refuse_to_work(torch_card):
    memory = TorchMemory()
    host, device = memory.page_locked(SHAPE), memory.allocate(SHAPE)
    launch = memory.capture(lambda: memory.upload(host, device))
    memory.close()
    for call in (launch, lambda: memory.capture(lambda: None)):
        with pytest.raises(EngineError, match="given back; open the engine again"):
            call()
    assert "launch" not in torch_card.log


def test_pycuda_works_on_whatever_thread_and_leaves_its_context_on_none(pycuda_card):
    memory = PycudaMemory()
    host = memory.page_locked(SHAPE)
    assert pycuda_card.contexts == []
    with ThreadPoolExecutor(1) as other:
        device = other.submit(memory.allocate, SHAPE).result()
        other.submit(memory.upload, host, device).result()
        other.submit(memory.close).result()
    assert pycuda_card.contexts == []
    assert len(pycuda_card.memory) == 0


def test_pycuda_lets_go_of_page_locked_memory_where_it_can_be_freed(pycuda_card):
    memory = PycudaMemory()
    host = memory.page_locked(SHAPE)
    del host
    memory.close()
    gc.collect()
    assert (pycuda_card.page_locked, pycuda_card.locked_for_ever) == ({}, [])


class GpuOfCard(FakeGpu):
    """The GPU of the fake TensorRT, on the memory and the stream of a card."""

    def __init__(self, card, memory):
        super().__init__()
        self.card = card
        allocate = memory.allocate

        def allocate_and_show(shape):
            device = allocate(shape)
            self.arrays[device.address] = card.floats(device)
            return device

        memory.allocate = allocate_and_show

    def enqueue(self, work):
        self.card.enqueue(STREAM, work)


def test_an_engine_answers_right_on_either_memory(card):
    memory = card.owner()
    module = FakeTensorRt(GpuOfCard(card, memory))
    plans = {name: name.encode() for name in (FEATURES, *FACTORS)}
    api, front_end = TensorRtApi("tensorrt", module), FrontEnd(memory, 4)
    with TensorRtEngine(api, plans, memory, front_end, BatchProfile(1, 1, 4)) as engine:
        for seed, n in enumerate([1, 1, 1, 3, 4, 4, 4, 9]):
            windows = np.random.default_rng(seed).uniform(-1, 1, (n, WINDOW_SAMPLES)).astype(np.float32)
            expected = [factor * windows[:, -1] + windows[:, 0] for factor in FACTORS.values()]
            np.testing.assert_allclose(engine.infer(windows).logits, np.stack(expected, axis=1), rtol=1e-6)
    # What a closed engine still holds, it holds for as long as somebody refers to it.
    assert engine.name == "tensorrt"
    del windows
    gc.collect()
    assert (card.page_locked, card.locked_for_ever) == ({}, [])
    assert card.log.count("launch") == (6 if card.owner is TorchMemory else 0)
    assert set(card.queues) == {STREAM}
    assert {entry[3] for entry in card.copies} == {STREAM}
