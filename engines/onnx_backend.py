"""ONNX Runtime on the CPU: features and networks from the pack's graphs, without torch."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.backend import Inference, inference_from_outputs
from engines.closing import Closing
from engines.contract import WINDOW_SAMPLES
from engines.errors import EngineError, EngineMissingError
from engines.pack import FEATURES, Pack


class OnnxEngine(Closing):
    """Runs the pack's three graphs one after another; see `engines.backend.Engine`.

    Args:
        pack: a pack that has its graphs.
        n_threads: threads of one inference; None: as many as there are cores, two at most, because one
            window does not gain from more.

    Raises:
        EngineMissingError: a graph is not there.
        EngineError: ONNX Runtime refuses a graph.
    """

    name = "onnxruntime"

    def __init__(self, pack: Pack, n_threads: int | None = None) -> None:
        self._sessions: dict[str, Any] = {
            # Of the features' many small nodes a second thread makes none faster; it only uses more power.
            stage: open_session(path, n_threads or (1 if stage == FEATURES else None))
            for stage, path in pack.graph_paths.items()
        }

    def warm_up(self) -> None:
        """Run once on silence."""
        self.infer(np.zeros((1, WINDOW_SAMPLES), dtype=np.float32))

    def infer(self, windows: NDArray[np.float32]) -> Inference:
        """Run windows, (B, 16000) float32, through the features and every network."""
        if not self._sessions:
            raise EngineError("the engine is closed; open a new one")
        stages_s: dict[str, float] = {}
        given: list[NDArray[np.float32]] = []
        feed: dict[str, NDArray[np.float32]] = {"windows": windows}
        for stage, session in self._sessions.items():
            started = time.perf_counter()
            try:
                outputs = session.run(None, feed)
            except Exception as error:  # onnxruntime raises classes of its own, without a common base
                raise EngineError(f"ONNX Runtime failed in {stage}: {error}") from error
            stages_s[stage] = time.perf_counter() - started
            if stage == FEATURES:
                feed = {"images": outputs[0], "scalars": outputs[1]}
            else:
                given.append(outputs[0])
        return inference_from_outputs(given, stages_s)

    def close(self) -> None:
        """Release the sessions."""
        self._sessions = {}


def import_onnxruntime() -> Any:
    """The module `onnxruntime`; whoever needs it, or a part of it, calls this before.

    Its builds report their use to Microsoft and keep an identifier of the user unless this variable is set
    before they are loaded; a program that listens to a microphone must not talk to anybody unasked. Who sets
    the variable themselves is obeyed.
    """
    import os

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
    import os

    onnxruntime = import_onnxruntime()
    name = graph if isinstance(graph, Path) else "the graph"
    if isinstance(graph, Path) and not graph.is_file():
        raise EngineMissingError(
            f"{graph} is missing; make it with: breath-offline export --pack {graph.parent}"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads or min(2, os.cpu_count() or 1)
    options.inter_op_num_threads = 1
    # A live session waits most of the time: threads that spin between hops would burn a core for nothing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    source = str(graph) if isinstance(graph, Path) else graph
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own, without a common base
        raise EngineError(f"ONNX Runtime cannot load {name}: {error}") from error
