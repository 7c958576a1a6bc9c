"""OpenVINO on the CPU: features and networks from the pack's graphs, without torch and ONNX Runtime."""

import functools
import io
import logging
import sys
import time
import weakref
from concurrent.futures import Future
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
from engines.openvino_parts import (
    EARLY,
    FEATURE_PARTS,
    HEAD,
    IMAGES,
    LATE,
    NETWORK_PARTS,
    RANKED,
    SOUND,
    TRUNK,
    UNRANKED,
    feature_parts,
    linked,
    network_parts,
)
from engines.pack import Pack, check_tensors, largest_first
from engines.processor import runs_in_tiles
from engines.threads import default_n_threads
from engines.worker import SameThreadWorker, ThreadWorker, Worker, wait_for

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
_FORM = 2
# What a graph is compiled for differs between processors, and a home may be shared by several machines.
_PROPERTIES_OF_A_PROCESSOR = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
_LOGGER = logging.getLogger(__name__)


class OpenVinoEngine(Closing):
    """Runs the pack's graphs, what does not depend on one another side by side; see `engines.backend.Engine`.

    The calling thread makes the images and runs the largest network on them. Another one, woken on another
    core, computes the scalars meanwhile and runs the other networks: two cores that work for themselves wait
    for one another less than two that share every layer. The graphs are compiled for one window, and several
    windows run one by one: graphs for any number of windows are slower with one window, and no faster with
    several.

    Args:
        pack: a pack that has its graphs.
        n_threads: where there are several, all but one of them are those of the images and of the largest
            network; 1: everything runs one after another in one. None: as many as there are cores, two at
            most, because one window does not gain from more.
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
        self._window = np.zeros((1, WINDOW_SAMPLES), np.float32)
        self._tensors = {"windows": openvino.Tensor(self._window, shared_memory=True)}
        # Of each stage its parts, but for those that have nothing to do.
        self._requests: dict[str, dict[str, Any]] = {}
        for stage, path in pack.graph_paths.items():
            is_shared = stage in (FEATURES, self._largest)
            compiled = _compiled(
                core,
                stage,
                path,
                of_features if stage == FEATURES else of_networks,
                max(1, n_threads - 1) if is_shared else 1,
                self.kept,
            )
            try:
                self._requests[stage], outputs = linked(path, compiled, self._tensors)
            except RuntimeError as error:
                raise _refused(path, error) from error
            # The networks read where the features were written.
            self._tensors |= outputs if stage == FEATURES else {}
        self._is_side_by_side = n_threads > 1
        self._beside: Worker = (
            ThreadWorker("inference", is_elsewhere=True) if self._is_side_by_side else SameThreadWorker()
        )
        # Who forgets to close an engine should not keep its thread.
        weakref.finalize(self, self._beside.end).atexit = False

    def warm_up(self) -> None:
        """Run once on silence."""
        self.infer(np.zeros((1, WINDOW_SAMPLES), dtype=np.float32))

    def infer(self, windows: NDArray[np.float32]) -> Inference:
        """Run windows, (B, 16000) float32, through the features and every network."""
        if not self._requests:
            raise EngineError("the engine is closed; open a new one")
        if windows.shape[1:] != (WINDOW_SAMPLES,):
            raise EngineError(f"windows have the shape {windows.shape} instead of (B, {WINDOW_SAMPLES})")
        networks = [list(parts.values()) for stage, parts in self._requests.items() if stage != FEATURES]
        answers = [parts[-1].get_output_tensor(0).data for parts in networks]
        outputs = [np.empty((len(windows), *answer.shape[1:]), np.float32) for answer in answers]
        stages_s = dict.fromkeys(self._requests, 0.0)
        whole_s = 0.0
        for row, window in enumerate(windows):
            self._window[0] = window
            started = time.perf_counter()
            self._infer_one()
            whole_s += time.perf_counter() - started
            for stage, parts in self._requests.items():
                stages_s[stage] += sum(request.latency for request in parts.values()) / 1000
            for output, answer in zip(outputs, answers, strict=True):
                output[row] = answer[0]
        if self._is_side_by_side:
            stages_s[INFERENCE] = whole_s
        return inference_from_outputs(outputs, stages_s)

    def _infer_one(self) -> None:
        self._run(FEATURES, SOUND)
        beside: list[Future[None]] = []
        try:
            beside.append(self._beside.submit(self._rank_and_infer_early))
            self._run(FEATURES, IMAGES)
            beside.append(self._beside.submit(self._infer_late_and_others))
            self._run(self._largest, TRUNK)
        finally:
            # A program that ends while a library is at work is aborted.
            wait_for(beside)
        for done in beside:
            done.result()
        self._run(self._largest, HEAD)

    def _rank_and_infer_early(self) -> None:
        if RANKED in self._tensors:
            ranked, unranked = self._tensors[RANKED].data, self._tensors[UNRANKED].data
            n_ranked = ranked.shape[-1]
            ranked[:] = np.partition(unranked, -n_ranked)[..., -n_ranked:]
        self._run(FEATURES, EARLY)

    def _infer_late_and_others(self) -> None:
        self._run(FEATURES, LATE)
        for network in self._others:
            self._run(network, TRUNK)
            self._run(network, HEAD)

    def _run(self, stage: str, part: str) -> None:
        request = self._requests[stage].get(part)
        if request is None:
            return
        try:
            # Outputs that are not shared would be copied.
            request.infer(share_outputs=True)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed in {stage}: {error}") from error

    def close(self) -> None:
        """Release the graphs."""
        self._beside.end()
        self._requests = {}
        self._tensors = {}


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


def _compiled(
    core: Any, stage: str, path: Path, settings: dict[str, Any], n_threads: int, kept: CompiledGraphs
) -> dict[str, Any]:
    """The graph of a stage for one window, in parts, from the disk if they were compiled before."""
    if not path.is_file():
        raise EngineMissingError(
            f"{path} is missing; make it with: breath-offline export --pack {path.parent}"
        )
    names = FEATURE_PARTS if stage == FEATURES else NETWORK_PARTS
    # What stands around the images and around the trunk is not worth a second thread.
    settings_of = {
        name: settings | {"INFERENCE_NUM_THREADS": n_threads if name in (IMAGES, TRUNK) else 1}
        for name in names
    }
    blobs = {name: kept.read(f"{stage}-{name}") for name in names}
    if None not in blobs.values():
        try:
            return {
                name: core.import_model(blob, _DEVICE, settings_of[name])
                for name, blob in blobs.items()
                if blob
            }
        except RuntimeError as error:
            _LOGGER.warning("OpenVINO does not take back what it compiled of %s: %s", stage, error)
    try:
        model = core.read_model(str(path))
        named = ([put.any_name for put in puts] for puts in (model.inputs, model.outputs))
        check_tensors(path, stage, *named)
        model.reshape(
            {put: [1, *(axis.get_length() for axis in list(put.partial_shape)[1:])] for put in model.inputs}
        )
        parts = feature_parts(model) if stage == FEATURES else network_parts(model)
        compiled = {
            name: core.compile_model(part, _DEVICE, settings_of[name]) for name, part in parts.items()
        }
        # Of a part that has nothing to do, nothing.
        exported = {name: io.BytesIO() for name in names}
        for name, part in compiled.items():
            part.export_model(exported[name])
    except (RuntimeError, ValueError) as error:
        raise _refused(path, error) from error
    for name, blob in exported.items():
        kept.write(f"{stage}-{name}", blob.getvalue())
    return compiled


def _refused(path: Path, error: Exception) -> EngineError:
    return EngineError(f"OpenVINO cannot load {path}: {error}. Use --engine onnxruntime")
