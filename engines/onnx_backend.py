"""ONNX Runtime on the CPU: features and networks from the pack's graphs, without torch."""

import os
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engines.backend import INFERENCE, Inference, inference_from_outputs
from engines.closing import Closing
from engines.contract import WINDOW_SAMPLES
from engines.errors import EngineError, EngineMissingError
from engines.manifest import FEATURES
from engines.pack import Pack, check_tensors, largest_first
from engines.threads import default_n_threads
from engines.worker import ThreadWorker, wait_for

_Result = TypeVar("_Result")


class OnnxEngine(Closing):
    """Runs the pack's features, and then its networks side by side; see `engines.backend.Engine`.

    A network alone lets a core sleep at the end of every layer. In a live session, where nothing else runs,
    waking it takes long; another network keeps it awake and uses the time.

    Args:
        pack: a pack that has its graphs.
        n_threads: of the largest network, while the others run beside it in one each; 1: everything runs one
            after another in one. None: as many as there are cores, two at most, because one window does not
            gain from more.

    Raises:
        EngineMissingError: a graph is not there.
        EngineError: ONNX Runtime refuses a graph.
        PackError: a graph is not one of ours.
    """

    name = "onnxruntime"

    def __init__(self, pack: Pack, n_threads: int | None = None) -> None:
        n_threads = n_threads or default_n_threads()
        self._largest_first = largest_first(pack)
        self._sessions: dict[str, Any] = {
            # Of the features' many small nodes a second thread makes none faster; it only uses more power.
            stage: open_session(path, n_threads if stage == self._largest_first[0] else 1)
            for stage, path in pack.graph_paths.items()
        }
        for stage, session in self._sessions.items():
            named = ([put.name for put in puts] for puts in (session.get_inputs(), session.get_outputs()))
            check_tensors(pack.graph_paths[stage], stage, *named)
        n_beside = max(1, len(self._largest_first) - 1) if n_threads > 1 else 0
        self._beside = [ThreadWorker("inference", is_elsewhere=True) for _ in range(n_beside)]
        # Who forgets to close an engine should not keep its threads.
        weakref.finalize(self, _end_all, self._beside).atexit = False

    def warm_up(self) -> None:
        """Run once on silence."""
        self.infer(np.zeros((1, WINDOW_SAMPLES), dtype=np.float32))

    def infer(self, windows: NDArray[np.float32]) -> Inference:
        """Run windows, (B, 16000) float32, through the features and every network."""
        if not self._sessions:
            raise EngineError("the engine is closed; open a new one")
        started = time.perf_counter()
        # Several windows are shared between two threads.
        halves = np.array_split(windows, 2) if self._beside and len(windows) > 1 else [windows]
        features = self._together([partial(self._run, FEATURES, {"windows": half}) for half in halves])
        images, scalars = (
            parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*features, strict=True)
        )
        stages_s = {FEATURES: time.perf_counter() - started}
        feed = {"images": images, "scalars": scalars}
        ran = self._together([partial(self._timed, network, feed) for network in self._largest_first])
        by_network = dict(zip(self._largest_first, ran, strict=True))
        in_order = {stage: by_network[stage] for stage in self._sessions if stage != FEATURES}
        stages_s |= {network: network_s for network, (_, network_s) in in_order.items()}
        if self._beside:
            stages_s[INFERENCE] = time.perf_counter() - started
        return inference_from_outputs([output for output, _ in in_order.values()], stages_s)

    def _together(self, calls: Sequence[Callable[[], _Result]]) -> list[_Result]:
        """What the calls return; the first runs in this thread, the others beside it where they may."""
        if not self._beside:
            return [call() for call in calls]
        first, *others = calls
        running = [
            worker.submit(call) for worker, call in zip(self._beside[: len(others)], others, strict=True)
        ]
        try:
            result = first()
        finally:
            wait_for(running)
        return [result, *(other.result() for other in running)]

    def _timed(self, network: str, feed: dict[str, NDArray[np.float32]]) -> tuple[NDArray[np.float32], float]:
        """Output of a network, and how many seconds it took."""
        started = time.perf_counter()
        (output,) = self._run(network, feed)
        return output, time.perf_counter() - started

    def _run(self, stage: str, feed: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        try:
            outputs: list[NDArray[np.float32]] = self._sessions[stage].run(None, feed)
        except Exception as error:  # onnxruntime raises classes of its own, without a common base
            raise EngineError(f"ONNX Runtime failed in {stage}: {error}") from error
        return outputs

    def close(self) -> None:
        """Release the sessions."""
        _end_all(self._beside)
        self._beside = []
        self._sessions = {}


def _end_all(workers: Sequence[ThreadWorker]) -> None:
    for worker in workers:
        worker.end()


def import_onnxruntime() -> Any:
    """The module `onnxruntime`; whoever needs it, or a part of it, calls this before.

    Its builds report their use to Microsoft and keep an identifier of the user unless this variable is set
    before they are loaded; a program that listens to a microphone must not talk to anybody unasked. Who sets
    the variable themselves is obeyed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def open_session(graph: Path | bytes, n_threads: int | None = None) -> Any:
    """An ONNX Runtime session on the CPU, chosen for a program that waits most of the time.

    Args:
        graph: the file, or its content.
        n_threads: None: as many as there are cores, two at most.

    Raises:
        EngineMissingError: there is no such file.
        EngineError: ONNX Runtime refuses the graph.
    """
    onnxruntime = import_onnxruntime()
    name = graph if isinstance(graph, Path) else "the graph"
    if isinstance(graph, Path) and not graph.is_file():
        raise EngineMissingError(
            f"{graph} is missing; make it with: breath-offline export --pack {graph.parent}"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads or default_n_threads()
    options.inter_op_num_threads = 1
    # A live session waits most of the time: threads that spin between hops would burn a core for nothing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    source = str(graph) if isinstance(graph, Path) else graph
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own, without a common base
        raise EngineError(f"ONNX Runtime cannot load {name}: {error}") from error
