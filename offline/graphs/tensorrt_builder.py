"""One graph to one serialised engine, by TensorRT or TensorRT-RTX."""

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from engines.engine_cache import BatchProfile
from engines.errors import EngineError
from engines.tensorrt_api import TensorRtApi

Progress = Callable[[str, int, int], None]
_LOOK_AGAIN_S = 0.2
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A serialised engine.

    Attributes:
        content: what the library's runtime deserialises.
        layers: see `layers_from_network`, as the network defines them; what the builder fuses them to can
            only be asked on a GPU.
        timings: what the builder measured, for the next build; empty where it measures nothing.
    """

    content: bytes
    layers: dict[str, dict[str, int]]
    timings: bytes


def build_plan(
    api: TensorRtApi, stage: str, graph: bytes, batch: BatchProfile, timings: bytes, progress: Progress
) -> Plan:
    """Build an engine for a graph whose first axis is the batch.

    Args:
        api: the flavour.
        stage: name of the graph, for messages.
        graph: ONNX; its types become those of the engine.
        batch: numbers of windows that the engine will accept.
        timings: of an earlier build with this library on this GPU; may be empty.
        progress: told (phase, steps done, steps in all), on another thread.

    Raises:
        EngineError: the library does not take the graph, or builds nothing.
    """
    trt = api.module
    try:
        builder = trt.Builder(api.logger)
    except (TypeError, RuntimeError) as error:  # a null factory is a TypeError of the bindings
        raise EngineError(f"{api.flavour} cannot start: {api.take_errors() or error}") from error
    network = builder.create_network(api.network_flags)
    parser = trt.OnnxParser(network, api.logger)
    if not parser.parse(graph):
        said = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        api.take_errors()
        raise EngineError(f"{api.flavour} {api.version} does not take the graph of {stage}: {said}")
    config = builder.create_builder_config()
    # Its matrix products keep ten bits of the mantissa: that is not what fp32 promises.
    config.clear_flag(trt.BuilderFlag.TF32)
    config.add_optimization_profile(_profile(builder, network, batch))
    if not api.is_rtx:
        cache = config.create_timing_cache(timings)
        if not config.set_timing_cache(cache, False):
            _LOGGER.info("the timings of an earlier build are of another machine and are not used")
            config.set_timing_cache(config.create_timing_cache(b""), False)
    monitor = _monitor(trt, progress)
    config.progress_monitor = monitor
    layers = layers_from_network(network)
    # On a thread of its own: a signal that is raised within a callback would be lost in the C++ above it.
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(builder.build_serialized_network, network, config)
        try:
            content = _waited_for(building)
        except BaseException as error:  # Ctrl-C: the builder ends at its next step
            monitor.failure = monitor.failure or error
    if monitor.failure is not None:
        raise monitor.failure
    if content is None:
        raise EngineError(
            f"{api.flavour} {api.version} built nothing from {stage}: "
            f"{api.take_errors() or 'no reason given'}"
        )
    measured = b"" if api.is_rtx else bytes(config.get_timing_cache().serialize())
    return Plan(bytes(content), layers, measured)


def _waited_for(building: "Future[Any]") -> Any:
    while True:
        # On Windows a signal would not end a wait without end.
        wait([building], timeout=_LOOK_AGAIN_S)
        if building.done():
            return building.result()


def layers_from_network(network: Any) -> dict[str, dict[str, int]]:
    """Number of layers by kind and type of their first output, such as {"CONVOLUTION": {"HALF": 8}}.

    A layer whose two factors come straight out of INT8 counts as INT8: that is how the builder is told to
    compute it so, although in the network it gives out float.
    """
    counts: dict[str, Counter[str]] = {}
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    out_of_int8 = {
        layer.get_output(0).name
        for layer in layers
        if layer.type.name == "DEQUANTIZE" and layer.get_input(0).dtype.name == "INT8"
    }
    for layer in layers:
        output = layer.get_output(0)
        name = output.dtype.name if output else "NONE"
        # An input that may be left out, such as the start of a slice, may be None.
        factors = [layer.get_input(index) for index in range(min(2, layer.num_inputs))]
        if len(factors) == 2 and all(factor and factor.name in out_of_int8 for factor in factors):
            name = "INT8"
        counts.setdefault(layer.type.name, Counter())[name] += 1
    return {kind: dict(sorted(types.items())) for kind, types in sorted(counts.items())}


def _profile(builder: Any, network: Any, batch: BatchProfile) -> Any:
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        rest = tuple(tensor.shape)[1:]
        sizes = (batch.smallest, batch.likeliest, batch.largest)
        profile.set_shape(tensor.name, *((size, *rest) for size in sizes))
    return profile


def _monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the base is known only now
        """Passes the outermost phases on. Whatever happens in a callback must not reach the C++ above it."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.failure: BaseException | None = None
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self._steps[phase_name] = num_steps
                self._tell(phase_name, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._steps:
                self._tell(phase_name, step + 1)
            return self.failure is None

        def phase_finish(self, phase_name: str) -> None:
            if phase_name in self._steps:
                self._tell(phase_name, self._steps.pop(phase_name), ended=True)

        def _tell(self, phase_name: str, n_done: int, *, ended: bool = False) -> None:
            n_steps = n_done if ended else self._steps[phase_name]
            try:
                progress(phase_name, n_done, n_steps)
            except BaseException as error:  # raised again when the builder has returned
                self.failure = self.failure or error

    return Monitor()
