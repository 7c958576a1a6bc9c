"""OpenVINO on the CPU: features and networks from the pack's graphs, without torch and ONNX Runtime."""

import functools
import io
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.backend import INFERENCE, Inference, inference_from_outputs
from engines.closing import Closing
from engines.contract import WINDOW_SAMPLES
from engines.errors import BackendUnavailableError, EngineError, EngineMissingError
from engines.installing import install_extra
from engines.manifest import FEATURES
from engines.openvino_cache import CompiledGraphs, default_root
from engines.openvino_parts import Parts, cut_after, cut_before
from engines.pack import Pack, check_tensors, largest_first
from engines.processor import runs_in_tiles
from engines.threads import default_n_threads

INSTALL = install_extra("openvino")
_DEVICE = "CPU"
_SETTINGS: dict[str, Any] = {
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
    # A program in the background runs where the system has room, not always on the first cores.
    "ENABLE_CPU_PINNING": False,
}
_EXACT = {"INFERENCE_PRECISION_HINT": "f32"}
# Faster only where the processor has tiles. Beside layers in INT8 it moves P by less than 0.001 on average.
_ROUNDED = {"INFERENCE_PRECISION_HINT": "bf16"}
# Goes up whenever graphs are cut or compiled in another way, so that nothing of before is read.
_FORM = 1
# What a graph is compiled for differs between processors, and a home may be shared by several machines.
_PROPERTIES_OF_A_PROCESSOR = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
_LOGGER = logging.getLogger(__name__)


class OpenVinoEngine(Closing):
    """Runs the pack's graphs, what does not depend on one another side by side; see `engines.backend.Engine`.

    As soon as the images are there the largest network looks at them, while this thread goes on with the
    scalars and the other networks: two cores that work for themselves wait for one another less than two that
    share every layer. The graphs are compiled for one window, and several windows run one by one: graphs for
    any number of windows are slower with one window, and no faster with several.

    Args:
        pack: a pack that has its graphs.
        n_threads: of the images. Where there are several, all but one of them are the largest network's, and
            the rest runs beside it in one. None: as many as there are cores, two at most, because one window
            does not gain from more.
        cache_root: where compiled graphs are kept; None: the user's own cache folder.

    Attributes:
        kept: the compiled graphs on the disk.

    Raises:
        BackendUnavailableError: OpenVINO is not installed, or cannot be loaded.
        EngineMissingError: a graph is not there.
        EngineError: OpenVINO refuses a graph.
        PackError: a graph is not one of ours.
    """

    name = "openvino"

    def __init__(self, pack: Pack, n_threads: int | None = None, cache_root: Path | None = None) -> None:
        try:
            openvino = import_openvino()
            core = only_core()
            processor = [core.get_property(_DEVICE, name) for name in _PROPERTIES_OF_A_PROCESSOR]
        except (ImportError, AttributeError, OSError) as error:
            raise BackendUnavailableError(f"OpenVINO cannot be loaded ({error}); {INSTALL}") from error
        except RuntimeError as error:
            raise BackendUnavailableError(f"OpenVINO cannot use this CPU: {error}") from error
        n_threads = n_threads or default_n_threads()
        self._is_side_by_side = n_threads > 1
        self._largest, *self._others = largest_first(pack)
        is_rounded = runs_in_tiles(pack.manifest.graph_precision)
        of_networks = _SETTINGS | (_ROUNDED if is_rounded else _EXACT)
        of_features = _SETTINGS | _EXACT
        self.kept = CompiledGraphs.of(
            cache_root or default_root(),
            openvino.__version__,
            pack=pack.sha256,
            processor=processor,
            settings=[of_features, of_networks],
            form=_FORM,
        )
        n_threads_of = {FEATURES: n_threads, self._largest: max(1, n_threads - 1)}
        self._window = np.zeros((1, WINDOW_SAMPLES), np.float32)
        tensors = {"windows": openvino.Tensor(self._window, shared_memory=True)}
        self._stages: dict[str, Parts] = {}
        for stage, path in pack.graph_paths.items():
            settings = of_features if stage == FEATURES else of_networks
            compiled = _compiled(core, stage, path, settings, n_threads_of.get(stage, 1), self.kept)
            try:
                self._stages[stage], outputs = _linked(path, compiled, tensors)
            except RuntimeError as error:
                raise _refused(path, error) from error
            # The networks read where the features were written.
            tensors |= outputs if stage == FEATURES else {}

    def warm_up(self) -> None:
        """Run once on silence."""
        self.infer(np.zeros((1, WINDOW_SAMPLES), dtype=np.float32))

    def infer(self, windows: NDArray[np.float32]) -> Inference:
        """Run windows, (B, 16000) float32, through the features and every network."""
        if not self._stages:
            raise EngineError("the engine is closed; open a new one")
        if windows.shape[1:] != (WINDOW_SAMPLES,):
            raise EngineError(f"windows have the shape {windows.shape} instead of (B, {WINDOW_SAMPLES})")
        answers = {stage: parts.second.get_output_tensor(0).data for stage, parts in self._stages.items()}
        del answers[FEATURES]
        outputs = [np.empty((len(windows), *answer.shape[1:]), np.float32) for answer in answers.values()]
        stages_s = dict.fromkeys(self._stages, 0.0)
        whole_s = 0.0
        for row, window in enumerate(windows):
            self._window[0] = window
            started = time.perf_counter()
            self._infer_one()
            whole_s += time.perf_counter() - started
            for stage, parts in self._stages.items():
                stages_s[stage] += sum(part.latency for part in parts) / 1000
            for output, answer in zip(outputs, answers.values(), strict=True):
                output[row] = answer[0]
        if self._is_side_by_side:
            stages_s[INFERENCE] = whole_s
        return inference_from_outputs(outputs, stages_s)

    def _infer_one(self) -> None:
        features, largest = self._stages[FEATURES], self._stages[self._largest]
        _run(FEATURES, features.first)
        with self._beside(self._largest, largest.first):
            _run(FEATURES, features.second)
            for network in self._others:
                for part in self._stages[network]:
                    _run(network, part)
        _run(self._largest, largest.second)

    @contextmanager
    def _beside(self, stage: str, request: Any) -> Iterator[None]:
        """Run a graph while something else is being done, if there are threads for it, else before."""
        if not self._is_side_by_side:
            _run(stage, request)
            yield
            return
        try:
            with _named(stage):
                request.start_async()
            yield
        finally:
            # Ctrl-C too finds it at rest: the next window would be written while it reads.
            with _named(stage):
                request.wait()

    def close(self) -> None:
        """Release the graphs."""
        self._stages = {}


def import_openvino() -> Any:
    """The module `openvino`; whoever needs it, or a part of it, calls this before.

    It reports its import to its maker unless another package is absent; a program that listens to a
    microphone must not talk to anybody unasked.
    """
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)
    import openvino

    return openvino


@functools.cache
def only_core() -> Any:
    """OpenVINO's core, the same for the whole process, which never ends.

    Where there is AMX, each one gives the thread that uses it first another stack for signals, and takes it
    back when it ends. Of several that end in another order than the opposite one the thread is left with a
    stack that is gone, and the next Ctrl-C is a segmentation fault (seen with 2026.4.1).
    """
    return import_openvino().Core()


def _run(stage: str, request: Any) -> None:
    with _named(stage):
        # Outputs that are not shared would be copied.
        request.infer(share_outputs=True)


@contextmanager
def _named(stage: str) -> Iterator[None]:
    """Say in what it failed, if it does."""
    try:
        yield
    except RuntimeError as error:
        raise EngineError(f"OpenVINO failed in {stage}: {error}") from error


def _linked(path: Path, compiled: Parts, tensors: dict[str, Any]) -> tuple[Parts, dict[str, Any]]:
    """Inference requests that read where what they need is written, and all that they write, by name.

    Args:
        path: of the graph.
        compiled: both of its parts.
        tensors: what the graph is given, by name.
    """
    given, requests = dict(tensors), []
    outputs: dict[str, Any] = {}
    for part in compiled:
        request = part.create_infer_request()
        for put in part.inputs:
            if put.any_name not in given:
                raise EngineError(
                    f"{path} needs {put.any_name!r}, which nothing gives; use --engine onnxruntime"
                )
            request.set_tensor(put.any_name, given[put.any_name])
        outputs |= {name: request.get_tensor(name) for put in part.outputs for name in put.names}
        given |= outputs
        requests.append(request)
    return Parts(*requests), outputs


def _compiled(
    core: Any, stage: str, path: Path, settings: dict[str, Any], n_threads: int, kept: CompiledGraphs
) -> Parts:
    """The graph of a stage for one window, in parts, from the disk if they were compiled before."""
    if not path.is_file():
        raise EngineMissingError(
            f"{path} is missing; make it with: breath-offline export --pack {path.parent}"
        )
    # What follows the images, and the few layers behind the scalars, are not worth a second thread.
    of_parts = [settings | {"INFERENCE_NUM_THREADS": n} for n in (n_threads, 1)]
    names = [f"{stage}-{number}" for number in (1, 2)]
    blobs = [kept.read(name) for name in names]
    if None not in blobs:
        try:
            return Parts(*map(core.import_model, blobs, repeat(_DEVICE), of_parts))
        except RuntimeError as error:
            _LOGGER.warning("OpenVINO does not take back what it compiled of %s: %s", stage, error)
    try:
        model = core.read_model(str(path))
        named = ([put.any_name for put in puts] for puts in (model.inputs, model.outputs))
        check_tensors(path, stage, *named)
        model.reshape(
            {put: [1, *(axis.get_length() for axis in list(put.partial_shape)[1:])] for put in model.inputs}
        )
        parts = cut_after(model, "images") if stage == FEATURES else cut_before(model, "scalars")
        compiled = Parts(*map(core.compile_model, parts, repeat(_DEVICE), of_parts))
        exported = [io.BytesIO() for _ in compiled]
        for part, blob in zip(compiled, exported, strict=True):
            part.export_model(blob)
    except (RuntimeError, ValueError) as error:
        raise _refused(path, error) from error
    for name, blob in zip(names, exported, strict=True):
        kept.write(name, blob.getvalue())
    return compiled


def _refused(path: Path, error: Exception) -> EngineError:
    return EngineError(f"OpenVINO cannot load {path}: {error}. Use --engine onnxruntime")
