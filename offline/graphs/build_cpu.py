"""For the CPU: OpenVINO compiles a pack's graphs, ONNX Runtime takes them as they are; both are gated."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.backend import Engine
from engines.errors import ConfigError, EngineError, OutputError
from engines.onnx_backend import OnnxEngine
from engines.openvino_backend import OpenVinoEngine
from engines.pack import Pack
from offline.graphs.gate_reference import open_graphs, open_reference
from offline.graphs.parity import Parity, compare
from offline.graphs.probes import Windows
from realtime.engine import openvino_root


@dataclass(frozen=True)
class CpuEngine:
    """What came of it.

    Attributes:
        path: folder of the compiled graphs; None: there was nothing to build.
        n_bytes: their length on the disk.
        parities: the gate's answers, never `failed`; the last one is the widest.
    """

    path: Path | None
    n_bytes: int
    parities: tuple[Parity, ...]


def build_on_cpu(
    pack: Pack,
    engine: str,
    windows: Windows,
    *,
    root: Path | None = None,
    progress: Callable[[int, int], None] = lambda _n_done, _n_all: None,
) -> CpuEngine:
    """Get a pack's graphs ready for an engine of the CPU, and hold them to what the pack offers.

    That is torch in float32, with the weights of the graphs where a pack has graphs only. OpenVINO with INT8
    graphs is held to ONNX Runtime with the same graphs too, from which it differs less than both do from
    torch. Where there is no torch, ONNX Runtime is held to nothing.

    Args:
        pack: a pack that has its graphs.
        engine: `onnxruntime` or `openvino`.
        windows: for the parity gate.
        root: OpenVINO compiles into a folder below it; None: see `realtime.engine.openvino_root`.
        progress: told (windows done, windows in all), once for each engine that is run.

    Raises:
        BackendUnavailableError: the package is not installed.
        EngineError: a graph is refused, or the engine is too far from the reference.
        OutputError: the cache cannot be written.
    """
    if engine == "onnxruntime":
        with OnnxEngine(pack) as opened:
            return CpuEngine(None, 0, _gated(opened, pack, windows, progress))
    with OpenVinoEngine(pack, cache_root=openvino_root(root)) as compiled:
        kept = compiled.kept
        if not kept.n_bytes:
            raise OutputError(f"nothing can be written in {kept.folder}; give another --out")
        try:
            parities = _gated(compiled, pack, windows, progress)
        except EngineError:
            kept.forget()
            raise
        return CpuEngine(kept.folder, kept.n_bytes, parities)


def check_precision(pack: Pack, engine: str, precision: str | None) -> None:
    """See that the graphs of a pack are what was asked for; these engines run them in nothing else.

    Raises:
        ConfigError: they are not; the message says which command makes such graphs.
    """
    is_int8 = pack.manifest.graph_precision == "int8"
    int8_graphs = shlex.join(
        ["breath-offline", "quantise", "--pack", str(pack.path), "--data", "DIR", "--out", "PACK"]
    )
    if precision == "fp16" and is_int8:
        raise ConfigError(
            f"{engine} runs on the CPU, where fp16 is no faster; leave --precision out: the graphs of "
            f"{pack.path} are INT8, which is"
        )
    if precision == "fp16":
        raise ConfigError(
            f"{engine} runs on the CPU, where fp16 is no faster; choose fp32, or for speed INT8 graphs: "
            f"{int8_graphs}"
        )
    if precision == "int8" and not is_int8:
        raise ConfigError(
            f"the graphs of {pack.path} are float; make INT8 ones, and build those: {int8_graphs}"
        )
    if precision == "fp32" and is_int8:
        raise ConfigError(
            f"{engine} runs a pack's graphs as they are, and those of {pack.path} are INT8; leave "
            f"--precision out, or make float graphs of them, and build those: {export_command(pack)}"
        )


def export_command(pack: Pack) -> str:
    """The command that makes float graphs of a pack of INT8 graphs."""
    return shlex.join(["breath-offline", "export", "--pack", str(pack.path), "--out", "FLOAT"])


def _gated(
    engine: Engine, pack: Pack, windows: Windows, progress: Callable[[int, int], None]
) -> tuple[Parity, ...]:
    references = [open_reference(pack)]
    is_int8 = pack.manifest.graph_precision == "int8"
    if engine.name == "onnxruntime" and not references[0].is_torch:
        words = references[0].words
        references[0].engine.close()
        reason = f"there is nothing to hold ONNX Runtime to but itself: {words}"
        return (Parity("not run here", reason, against=""),)
    if engine.name != "onnxruntime" and is_int8 and references[0].is_torch:
        references.insert(0, open_graphs(pack, "the same graphs"))
    parities = []
    for reference in references:
        parity = compare(engine, pack, "int8" if is_int8 else "fp32", windows, progress, reference)
        if parity.verdict == "failed":
            raise EngineError(
                f"{parity}. Use another --engine, or report it with your processor and versions"
            )
        parities.append(parity)
    return tuple(parities)
