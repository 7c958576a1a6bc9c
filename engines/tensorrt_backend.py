"""TensorRT and TensorRT-RTX: everything on the GPU, and in place before the first window comes."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.backend import Inference, inference_from_outputs
from engines.closing import Closing
from engines.contract import WINDOW_SAMPLES
from engines.device_memory import DeviceArray, DeviceMemory
from engines.engine_cache import BatchProfile
from engines.errors import EngineError, EngineMismatchError
from engines.front_end import FrontEnd, Step
from engines.pack import NETWORK_OUTPUT, tensors_of
from engines.tensorrt_api import TensorRtApi

_LOGGER = logging.getLogger(__name__)
_HOST_STAGE = "window"
GPU_STAGE = "gpu"


class TensorRtEngine(Closing):
    """Runs built features and networks one after another on one stream; see `engines.backend.Engine`.

    The buffers stay where they are. A batch size that comes twice in a row is recorded as a CUDA graph the
    second time, upload to download, and from then on launched as a whole.

    Args:
        api: the flavour of TensorRT that built the plans.
        plans: serialised engine by network, in the order of the logits; before them that of the `features`,
            unless the front end computes them.
        memory: of the GPU; the engine closes it, also if it cannot be created.
        front_end: brings the sound into that memory, `batch.largest` windows at most.
        batch: numbers of windows that the plans accept; larger batches are run in pieces.
        has_stage_times: time every stage on the GPU, which takes waiting after each, and no graph.

    Raises:
        EngineMismatchError: a plan is refused, or is not one of ours.
        EngineError: the GPU or the library failed.
    """

    def __init__(
        self,
        api: TensorRtApi,
        plans: Mapping[str, bytes],
        memory: DeviceMemory,
        front_end: FrontEnd,
        batch: BatchProfile,
        *,
        has_stage_times: bool = False,
    ) -> None:
        self.name = api.flavour
        self._api = api
        self._memory = memory
        self._front_end = front_end
        self._batch = batch
        self._has_stage_times = has_stage_times
        self._can_capture = not has_stage_times
        self._contexts: dict[str, Any] = {}
        self._engines: dict[str, Any] = {}
        self._outputs: dict[str, tuple[DeviceArray, NDArray[np.float32]]] = {}
        self._n = 0
        self._n_runs = 0
        self._launch: Callable[[], None] | None = None
        self._is_closed = False
        try:
            for stage, plan in plans.items():
                self._load(stage, plan)
        except BaseException:
            self.close()
            raise

    def warm_up(self) -> None:
        """Run on silence, until the first real window finds everything as the later ones do."""
        silence = np.zeros((self._batch.smallest, WINDOW_SAMPLES), dtype=np.float32)
        for _ in range(3):  # plainly, recorded, launched
            self.infer(silence)

    def infer(self, windows: NDArray[np.float32]) -> Inference:
        """Run windows, (B, 16000) float32, through the features and every network."""
        if self._is_closed:
            raise EngineError("the engine is closed; open a new one")
        if windows.ndim != 2 or windows.shape[1] != WINDOW_SAMPLES:
            raise EngineError(f"windows must be (B, {WINDOW_SAMPLES}), not {windows.shape}")
        stages_s: dict[str, float] = {}
        outputs = [
            np.empty((len(windows), *host.shape[1:]), dtype=np.float32) for _, host in self._outputs.values()
        ]
        for first in range(0, len(windows), self._batch.largest):
            piece = windows[first : first + self._batch.largest]
            started = time.perf_counter()
            self._front_end.fill(piece)
            _add(stages_s, _HOST_STAGE, started)
            self._run(max(len(piece), self._batch.smallest), stages_s)
            for output, (_, host) in zip(outputs, self._outputs.values(), strict=True):
                output[first : first + len(piece)] = host[: len(piece)]
        return inference_from_outputs(outputs, stages_s)

    def close(self) -> None:
        """Give everything back: what runs on the memory first, then the memory."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._memory.synchronise()
        except EngineError as error:  # the one that was raised before, most likely
            _LOGGER.debug("closing a GPU that failed: %s", error)
        self._launch = None
        self._contexts.clear()
        self._engines.clear()
        self._outputs.clear()
        self._front_end.close()
        self._memory.close()

    def _load(self, stage: str, plan: bytes) -> None:
        engine = self._api.engine_from_plan(stage, plan)
        _require_our_tensors(stage, engine, self._api.module)
        context = self._api.context_from_engine(stage, engine)
        inputs, outputs = tensors_of(stage)
        tensors = {**self._front_end.tensors}
        if NETWORK_OUTPUT in outputs:
            # As the plan has it, whatever the pack says: the GPU would write past the end of a smaller one.
            shape = (self._batch.largest, *tuple(engine.get_tensor_shape(NETWORK_OUTPUT))[1:])
            tensors[NETWORK_OUTPUT] = self._memory.allocate(shape)
            self._outputs[stage] = (tensors[NETWORK_OUTPUT], self._memory.page_locked(shape))
        for name in (*inputs, *outputs):
            if not context.set_tensor_address(name, tensors[name].address):
                raise self._failure(f"set the address of {name} of {stage}")
        self._engines[stage], self._contexts[stage] = engine, context

    def _run(self, n: int, stages_s: dict[str, float]) -> None:
        if n != self._n:
            self._set_shapes(n)
        if self._has_stage_times:
            for name, enqueue in self._steps(n):
                started = time.perf_counter()
                enqueue()
                self._memory.synchronise()
                _add(stages_s, name, started)
            return
        started = time.perf_counter()
        # TensorRT does some of its work in the first run with a shape, which a graph must not contain.
        if self._launch is None and self._can_capture and self._n_runs:
            self._capture(n)
        if self._launch is not None:
            self._launch()
        else:
            self._enqueue(n)
        self._memory.synchronise()
        self._n_runs += 1
        _add(stages_s, GPU_STAGE, started)

    def _set_shapes(self, n: int) -> None:
        # A graph holds the addresses and shapes of its recording.
        self._n, self._n_runs, self._launch = 0, 0, None
        for stage, context in self._contexts.items():
            for name in tensors_of(stage)[0]:
                if not context.set_input_shape(name, (n, *self._front_end.tensors[name].shape[1:])):
                    raise self._failure(f"set the shape of {name} of {stage} to {n} windows")
        self._n = n

    def _capture(self, n: int) -> None:
        try:
            self._launch = self._memory.capture(lambda: self._enqueue(n))
        except EngineError as error:
            _LOGGER.warning("no CUDA graph, every step is enqueued by itself: %s", error)
        self._can_capture = self._launch is not None

    def _enqueue(self, n: int) -> None:
        for _, enqueue in self._steps(n):
            enqueue()

    def _steps(self, n: int) -> list[Step]:
        def run_of(stage: str) -> Step:
            return stage, lambda: self._execute(stage)

        return [
            *self._front_end.steps(n),
            *(run_of(stage) for stage in self._contexts),
            ("download", lambda: self._download(n)),
        ]

    def _execute(self, stage: str) -> None:
        if not self._contexts[stage].execute_async_v3(self._memory.stream_handle):
            raise self._failure(f"run {stage}")

    def _download(self, n: int) -> None:
        for device, host in self._outputs.values():
            self._memory.download(device, host[:n])

    def _failure(self, what: str) -> EngineError:
        return EngineError(f"{self.name} could not {what}: {self._api.take_errors() or 'no reason given'}")


def _require_our_tensors(stage: str, engine: Any, module: Any) -> None:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs, outputs = tensors_of(stage)
    modes = dict.fromkeys(inputs, module.TensorIOMode.INPUT) | dict.fromkeys(
        outputs, module.TensorIOMode.OUTPUT
    )
    are_floats = all(engine.get_tensor_dtype(name) == module.DataType.FLOAT for name in names)
    if {name: engine.get_tensor_mode(name) for name in names} != modes or not are_floats:
        raise EngineMismatchError(
            f"the engine of {stage} has the tensors {', '.join(names)}, not {', '.join(modes)} in float32: "
            "it was built by another version of breath"
        )
    if NETWORK_OUTPUT not in outputs:
        return
    shape = tuple(engine.get_tensor_shape(NETWORK_OUTPUT))
    if shape[1:] not in ((), (2,)):
        raise EngineMismatchError(
            f"the engine of {stage} gives out {shape}, not one logit per window or two: it was built by "
            "another version of breath"
        )


def _add(stages_s: dict[str, float], stage: str, started: float) -> None:
    stages_s[stage] = stages_s.get(stage, 0.0) + time.perf_counter() - started
