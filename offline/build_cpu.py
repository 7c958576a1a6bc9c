"""For the CPU: OpenVINO compiles a pack's graphs, ONNX Runtime takes them as they are; both are gated."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.backend import Engine
from engines.errors import ConfigError, EngineError, OutputError
from engines.onnx_backend import OnnxEngine
from engines.openvino_backend import OpenVinoEngine
from engines.pack import Pack
from offline.parity import Parity, Windows, compare


@dataclass(frozen=True)
class CpuEngine:
    """What came of it.

    Attributes:
        path: folder of the compiled graphs; None: there was nothing to build.
        n_bytes: their length on the disk.
        parity: the gate's answer, never `failed`.
    """

    path: Path | None
    n_bytes: int
    parity: Parity


def build_on_cpu(
    pack: Pack,
    engine: str,
    windows: Windows,
    *,
    root: Path | None = None,
    progress: Callable[[int, int], None] = lambda _n_done, _n_all: None,
) -> CpuEngine:
    """Get a pack's graphs ready for an engine of the CPU, and hold them to what the pack offers.

    That is torch in float32; where a pack has graphs only, OpenVINO is held to ONNX Runtime, and ONNX Runtime
    to nothing.

    Args:
        pack: a pack that has its graphs.
        engine: `onnxruntime` or `openvino`.
        windows: for the parity gate.
        root: folder for what OpenVINO compiles; None: the user's own cache.
        progress: told (windows done, windows in all).

    Raises:
        BackendUnavailableError: the package is not installed.
        EngineError: a graph is refused, or the engine is too far from the reference.
        OutputError: the cache cannot be written.
    """
    if engine == "onnxruntime":
        with OnnxEngine(pack) as opened:
            return CpuEngine(None, 0, _gated(opened, pack, windows, progress))
    with OpenVinoEngine(pack, cache_root=root) as compiled:
        kept = compiled.kept
        if not kept.n_bytes:
            raise OutputError(f"nothing can be written in {kept.folder}; give another --out")
        try:
            parity = _gated(compiled, pack, windows, progress)
        except EngineError:
            kept.forget()
            raise
        return CpuEngine(kept.folder, kept.n_bytes, parity)


def check_precision(pack: Pack, engine: str, precision: str | None) -> None:
    """See that the graphs of a pack are what was asked for; these engines run them in nothing else.

    Raises:
        ConfigError: they are not; the message says which command makes such graphs.
    """
    is_int8 = pack.manifest.graph_precision == "int8"
    if precision == "fp16":
        raise ConfigError(
            f"{engine} runs on the CPU, where fp16 is no faster; choose fp32, or for speed INT8 graphs: "
            f"breath-offline quantise --pack {pack.path} --data DIR --out PACK"
        )
    if precision == "int8" and not is_int8:
        raise ConfigError(
            f"the graphs of {pack.path} are float; make INT8 ones, and build those: "
            f"breath-offline quantise --pack {pack.path} --data DIR --out PACK"
        )
    if precision == "fp32" and is_int8:
        raise ConfigError(
            f"{engine} runs a pack's graphs as they are, and those of {pack.path} are INT8; leave "
            "--precision out, or give the pack that breath-offline train or export wrote"
        )


def _gated(engine: Engine, pack: Pack, windows: Windows, progress: Callable[[int, int], None]) -> Parity:
    if engine.name == "onnxruntime" and not pack.has_weights:
        reason = "the pack holds graphs only, and ONNX Runtime would be compared with itself"
        return Parity("not run here", reason, against="")
    is_int8 = pack.manifest.graph_precision == "int8"
    parity = compare(engine, pack, "int8" if is_int8 else "fp32", windows, progress)
    if parity.verdict == "failed":
        raise EngineError(f"{parity}. Use another --engine, or report it with your processor and versions")
    return parity
