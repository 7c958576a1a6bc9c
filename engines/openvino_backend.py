"""OpenVINO on the CPU: features and networks from the pack's graphs, without torch and ONNX Runtime."""

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.backend import Inference, inference_from_outputs
from engines.closing import Closing
from engines.contract import WINDOW_SAMPLES
from engines.errors import BackendUnavailableError, EngineError, EngineMissingError
from engines.installing import install_extra
from engines.manifest import FEATURES
from engines.openvino_cache import CompiledGraphs, default_root
from engines.pack import Pack, check_tensors
from engines.threads import default_n_threads

INSTALL = install_extra("openvino")
_DEVICE = "CPU"
_SETTINGS: dict[str, Any] = {
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
    # A program in the background runs where the system has room, not always on the first cores.
    "ENABLE_CPU_PINNING": False,
    # Otherwise bfloat16 where the processor has it: other answers on other machines.
    "INFERENCE_PRECISION_HINT": "f32",
}
# What a graph is compiled for differs between processors, and a home may be shared by several machines.
_PROPERTIES_OF_A_PROCESSOR = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
_LOGGER = logging.getLogger(__name__)


class OpenVinoEngine(Closing):
    """Runs the pack's three graphs one after another; see `engines.backend.Engine`.

    The graphs are compiled for one window, and several windows run one by one: graphs for any number of
    windows are slower with one window, and no faster with several.

    Args:
        pack: a pack that has its graphs.
        n_threads: threads of one inference; None: as many as there are cores, two at most, because one
            window does not gain from more.
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
        import sys

        try:
            # OpenVINO reports its import to its maker unless this package is absent; a program that listens
            # to a microphone must not talk to anybody unasked.
            modules: dict[str, Any] = sys.modules
            modules.setdefault("openvino_telemetry", None)
            import openvino
        except ImportError as error:
            raise BackendUnavailableError(f"OpenVINO cannot be loaded ({error}); {INSTALL}") from error
        try:
            core = openvino.Core()
            processor = [core.get_property(_DEVICE, name) for name in _PROPERTIES_OF_A_PROCESSOR]
        except RuntimeError as error:
            raise BackendUnavailableError(f"OpenVINO cannot use this CPU: {error}") from error
        self.kept = CompiledGraphs.of(
            cache_root or default_root(),
            openvino.__version__,
            pack=pack.sha256,
            processor=processor,
            settings=_SETTINGS,
        )
        settings = _SETTINGS | {"INFERENCE_NUM_THREADS": n_threads or default_n_threads()}
        self._requests: dict[str, Any] = {
            stage: _compiled(core, stage, path, settings, self.kept).create_infer_request()
            for stage, path in pack.graph_paths.items()
        }

    def warm_up(self) -> None:
        """Run once on silence."""
        self.infer(np.zeros((1, WINDOW_SAMPLES), dtype=np.float32))

    def infer(self, windows: NDArray[np.float32]) -> Inference:
        """Run windows, (B, 16000) float32, through the features and every network."""
        if not self._requests:
            raise EngineError("the engine is closed; open a new one")
        stages_s = dict.fromkeys(self._requests, 0.0)
        given: dict[str, list[NDArray[np.float32]]] = {
            stage: [] for stage in self._requests if stage != FEATURES
        }
        for row in range(len(windows)):
            feed: dict[str, Any] = {"windows": windows[row : row + 1]}
            for stage, request in self._requests.items():
                started = time.perf_counter()
                try:
                    request.infer(feed, share_inputs=True)
                except Exception as error:  # by what is wrong with the feed, these have no common base
                    raise EngineError(f"OpenVINO failed in {stage}: {error}") from error
                stages_s[stage] += time.perf_counter() - started
                if stage == FEATURES:
                    # The tensors themselves: the networks read where the features were written.
                    feed = {name: request.get_tensor(name) for name in ("images", "scalars")}
                else:
                    given[stage].append(request.get_output_tensor(0).data.copy())
        return inference_from_outputs([np.concatenate(rows) for rows in given.values()], stages_s)

    def close(self) -> None:
        """Release the graphs."""
        self._requests = {}


def _compiled(core: Any, stage: str, path: Path, settings: dict[str, Any], kept: CompiledGraphs) -> Any:
    """The graph of a stage for one window, from the disk if it was compiled before."""
    import io

    if not path.is_file():
        raise EngineMissingError(
            f"{path} is missing; make it with: breath-offline export --pack {path.parent}"
        )
    blob = kept.read(stage)
    if blob is not None:
        try:
            return core.import_model(blob, _DEVICE, settings)
        except RuntimeError as error:
            _LOGGER.warning("OpenVINO does not take back what it compiled of %s: %s", stage, error)
    try:
        model = core.read_model(str(path))
        named = ([put.any_name for put in puts] for puts in (model.inputs, model.outputs))
        check_tensors(path, stage, *named)
        model.reshape(
            {put: [1, *(axis.get_length() for axis in list(put.partial_shape)[1:])] for put in model.inputs}
        )
        compiled = core.compile_model(model, _DEVICE, settings)
        exported = io.BytesIO()
        compiled.export_model(exported)
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot load {path}: {error}. Use --engine onnxruntime") from error
    kept.write(stage, exported.getvalue())
    return compiled
