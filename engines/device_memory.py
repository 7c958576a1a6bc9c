"""Memory and stream of the GPU: one seam, two owners.

Torch owns them where torch is on the GPU; pycuda owns them in a process without it. Never both:
each would bring its own idea of the current context. pycuda uses the device's primary context, the one that
every other CUDA library of the process shares.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.errors import BackendUnavailableError, EngineError
from engines.installing import install_extra

Floats = NDArray[np.float32]
_CLOSED = "the memory of the GPU was given back; open the engine again"
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class DeviceArray:
    """float32 on the GPU, contiguous; valid until its memory is closed.

    Attributes:
        shape: of the whole array; the first axis is the window.
        address: of the first number, for TensorRT.
        owner: what torch or pycuda gave out: the tensor, or the allocation.
    """

    shape: tuple[int, ...]
    address: int
    owner: Any


class DeviceMemory(Protocol):
    """Allocations and one stream, not the default one.

    For any thread, one at a time. Calls raise EngineError where CUDA reports an error, and after `close`.
    CUDA reports late: an error in what was enqueued comes with the next call, `synchronise` at the latest.
    """

    @property
    def stream_handle(self) -> int:
        """The stream as TensorRT takes it."""

    def allocate(self, shape: tuple[int, ...]) -> DeviceArray:
        """An array on the device, not filled."""

    def page_locked(self, shape: tuple[int, ...]) -> Floats:
        """An array of the host that the device reads and writes without the processor; zeros.

        Let go of it before `close`, or it stays locked.
        """

    def upload(self, host: Floats, device: DeviceArray) -> None:
        """Enqueue a copy of the page-locked `host` to the first rows of `device`."""

    def download(self, device: DeviceArray, host: Floats) -> None:
        """Enqueue a copy of the first rows of `device` to the page-locked `host`."""

    def synchronise(self) -> None:
        """Wait until all that was enqueued is done."""

    def capture(self, enqueue: Callable[[], None]) -> Callable[[], None] | None:
        """Record what `enqueue` enqueues instead of running it.

        Returns:
            A function that enqueues all of it at once; None where the owner knows no graphs.
        """

    def close(self) -> None:
        """Free everything; closing twice is fine."""


class TorchMemory:
    """Memory and stream of torch, on its current CUDA device; see `DeviceMemory`."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        with _checked("torch cannot use the GPU"):
            self.stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    @property
    def stream_handle(self) -> int:
        """See `DeviceMemory`."""
        return int(self._open().cuda_stream)

    def allocate(self, shape: tuple[int, ...]) -> DeviceArray:
        """See `DeviceMemory`."""
        self._open()
        with _checked(f"allocation of {shape}"):
            tensor = self._torch.empty(shape, dtype=self._torch.float32, device="cuda")
        return DeviceArray(shape, tensor.data_ptr(), tensor)

    def page_locked(self, shape: tuple[int, ...]) -> Floats:
        """See `DeviceMemory`."""
        self._open()
        with _checked(f"page-locked allocation of {shape}"):
            tensor = self._torch.zeros(shape, dtype=self._torch.float32, pin_memory=True)
        host: Floats = tensor.numpy()
        return host

    def upload(self, host: Floats, device: DeviceArray) -> None:
        """See `DeviceMemory`."""
        stream = self._open()
        with _checked("upload"), self._torch.cuda.stream(stream):
            device.owner[: len(host)].copy_(self._torch.from_numpy(host), non_blocking=True)

    def download(self, device: DeviceArray, host: Floats) -> None:
        """See `DeviceMemory`."""
        stream = self._open()
        with _checked("download"), self._torch.cuda.stream(stream):
            self._torch.from_numpy(host).copy_(device.owner[: len(host)], non_blocking=True)

    def synchronise(self) -> None:
        """See `DeviceMemory`."""
        stream = self._open()
        with _checked("work"):
            stream.synchronize()

    def capture(self, enqueue: Callable[[], None]) -> Callable[[], None] | None:
        """See `DeviceMemory`."""
        stream = self._open()
        with _checked("capture"):
            graph = self._torch.cuda.CUDAGraph()
            # A capture that fails leaves its stream the current one of this thread: the outer one mends it.
            with self._torch.cuda.stream(stream), self._torch.cuda.graph(graph, stream=stream):
                enqueue()

        def launch() -> None:
            stream = self._open()
            with _checked("launch of the graph"), self._torch.cuda.stream(stream):
                graph.replay()

        return launch

    def close(self) -> None:
        """See `DeviceMemory`."""
        if self.stream is None:
            return
        with _told("torch"):
            self.stream.synchronize()
        self.stream = None

    def _open(self) -> Any:
        if self.stream is None:
            raise EngineError(_CLOSED)
        return self.stream


class PycudaMemory:
    """Memory and stream of pycuda in the primary context of GPU 0; see `DeviceMemory`. Knows no graphs.

    A context is current on one thread, and engines are used on several: it is made so for each call alone.

    Raises:
        BackendUnavailableError: pycuda is not installed.
        EngineError: CUDA reports an error.
    """

    def __init__(self) -> None:
        try:
            import pycuda.driver as cuda
        except ImportError as error:
            raise BackendUnavailableError(
                f"neither torch with CUDA nor pycuda is there ({error}); {install_extra('gpu')}"
            ) from error
        self._cuda = cuda
        self._allocations: list[Any] = []
        self._page_locked: list[Any] = []
        with _checked("pycuda cannot use the GPU"):
            cuda.init()
            self._context: Any = cuda.Device(0).retain_primary_context()
            with _current(self._context):
                self._stream: Any = cuda.Stream()

    @property
    def stream_handle(self) -> int:
        """See `DeviceMemory`."""
        if self._context is None:
            raise EngineError(_CLOSED)
        return int(self._stream.handle)

    def allocate(self, shape: tuple[int, ...]) -> DeviceArray:
        """See `DeviceMemory`."""
        with self._at_work(f"allocation of {shape}"):
            allocation = self._cuda.mem_alloc(4 * int(np.prod(shape)))
        self._allocations.append(allocation)
        return DeviceArray(shape, int(allocation), allocation)

    def page_locked(self, shape: tuple[int, ...]) -> Floats:
        """See `DeviceMemory`."""
        with self._at_work(f"page-locked allocation of {shape}"):
            host: Floats = self._cuda.pagelocked_zeros(shape, np.float32)
        # Let go of where no context is current, it would stay locked for ever: `close` lets go of it.
        self._page_locked.append(host.base)
        return host

    def upload(self, host: Floats, device: DeviceArray) -> None:
        """See `DeviceMemory`."""
        with self._at_work("upload"):
            self._cuda.memcpy_htod_async(device.address, host, self._stream)

    def download(self, device: DeviceArray, host: Floats) -> None:
        """See `DeviceMemory`."""
        with self._at_work("download"):
            self._cuda.memcpy_dtoh_async(host, device.address, self._stream)

    def synchronise(self) -> None:
        """See `DeviceMemory`."""
        with self._at_work("work"):
            self._stream.synchronize()

    def capture(self, enqueue: Callable[[], None]) -> Callable[[], None] | None:
        """See `DeviceMemory`."""
        return None

    def close(self) -> None:
        """See `DeviceMemory`."""
        if self._context is None:
            return
        context, self._context = self._context, None
        with _told("pycuda"), _current(context):
            for allocation in self._allocations:
                with _told("pycuda"):
                    allocation.free()
            self._allocations.clear()
            self._page_locked.clear()
            self._stream = None

    @contextlib.contextmanager
    def _at_work(self, what: str) -> Iterator[None]:
        if self._context is None:
            raise EngineError(_CLOSED)
        with _checked(what), _current(self._context):
            yield


@contextlib.contextmanager
def _current(context: Any) -> Iterator[None]:
    """A context of pycuda is the current one of this thread."""
    context.push()
    try:
        yield
    finally:
        context.pop()


@contextlib.contextmanager
def _checked(what: str) -> Iterator[None]:
    """Torch raises RuntimeError, pycuda a class of its own below Exception; neither leaves this module."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"the GPU failed in {what}: {error}") from error


@contextlib.contextmanager
def _told(owner: str) -> Iterator[None]:
    """Freeing after a failure fails too, which must not hide the failure."""
    try:
        yield
    except Exception as error:
        _LOGGER.debug("%s could not free what it held: %s", owner, error)
