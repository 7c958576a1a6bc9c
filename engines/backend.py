"""The Engine protocol, and the choice of a back end with its reason."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from engines.errors import BackendUnavailableError, ConfigError, EngineError
from engines.installing import install_extra

INFERENCE = "inference"
GPU_ENGINES: tuple[str, ...] = ("tensorrt", "tensorrt-rtx")
ENGINES: tuple[str, ...] = (*GPU_ENGINES, "onnxruntime", "openvino", "torch")
_AUTO_ENGINES = tuple(name for name in ENGINES if name != "openvino")
# Where OpenVINO wins by far. Elsewhere it is about as fast as ONNX Runtime, and costs more of a core.
_AUTO_ENGINES_WITH_TILES = (*GPU_ENGINES, "openvino", "onnxruntime", "torch")


@dataclass(frozen=True)
class Inference:
    """What the networks said about a batch of windows.

    Attributes:
        logits: (B, n_networks) float32, one logit per window and network, networks in the pack's order;
            sigmoid(logit) = P(exhale).
        stages_s: wall-clock seconds of each stage, in order of execution: `features`, then one per network.
            Where some run side by side their times overlap, and `INFERENCE` after them is that of all.
        presence_logits: (B, n_networks) float32, alike; sigmoid(logit) = P(breath). None for a pack whose
            networks know the phase only.
    """

    logits: NDArray[np.float32]
    stages_s: dict[str, float]
    presence_logits: NDArray[np.float32] | None = None


def inference_from_outputs(outputs: Sequence[NDArray[np.float32]], stages_s: dict[str, float]) -> Inference:
    """Tell apart what the networks gave out.

    Args:
        outputs: of each network (B,) float32, the logit of the phase, or (B, 2), the same and that of
            presence.
        stages_s: as in `Inference`.

    Raises:
        EngineError: the networks differ in this, or gave out something else, or what is no number.
    """
    if not all(np.isfinite(output).all() for output in outputs):
        raise EngineError(
            "the networks gave out logits that are no numbers; use another --engine, or build or export with "
            "another --precision"
        )
    shapes = [output.shape for output in outputs]
    if len(set(shapes)) != 1 or shapes[0][1:] not in ((), (2,)):
        raise EngineError(
            f"the networks gave out {', '.join(map(str, shapes))}, which must all be (B,) or all (B, 2). "
            "Fetch or export the pack again"
        )
    logits = np.stack(outputs, axis=1)
    if logits.ndim == 2:
        return Inference(logits, stages_s)
    return Inference(logits[..., 0].copy(), stages_s, logits[..., 1].copy())


class Engine(Protocol):
    """Waveform windows in, every network's logits out. Created loaded; a context manager; not thread-safe."""

    @property
    def name(self) -> str:
        """Name of the back end, as in `--engine`."""

    def warm_up(self) -> None:
        """Run once on silence, so that the first real window is as fast as the others."""

    def infer(self, windows: NDArray[np.float32]) -> Inference:
        """Run `windows`, (B, 16000) float32 in [-1, 1], through the features and every network.

        Raises:
            EngineError: the engine is closed, or the back end failed.
        """

    def close(self) -> None:
        """Give everything back; any later call of `infer` is an error."""

    def __enter__(self) -> Self:
        """Return the engine itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""


@dataclass(frozen=True)
class Choice:
    """Which back end runs, and why, in words for the user."""

    name: str
    reason: str


def choose(
    requested: str,
    *,
    has_onnx_graphs: bool,
    has_weights: bool,
    why_not_on_gpu: Callable[[str], str] | None = None,
    runs_in_tiles: bool = False,
    refused: Mapping[str, str] = MappingProxyType({}),
) -> Choice:
    """Choose the back end: TensorRT where it can run, else ONNX Runtime, else torch.

    OpenVINO comes before ONNX Runtime where the graphs are INT8 and the processor multiplies that in tiles:
    there it takes about half of the time. Elsewhere it runs only where it is asked for.

    Args:
        requested: `auto` or one of `ENGINES`.
        has_onnx_graphs: the pack holds the three ONNX graphs.
        has_weights: the pack holds weights that torch can load.
        why_not_on_gpu: what keeps one of `GPU_ENGINES` from running here, empty for nothing; None: they are
            not considered.
        runs_in_tiles: the graphs are INT8, and the processor has tiles for it (`engines.processor`).
        refused: engines that were tried and could not be opened, and why not.

    Raises:
        ConfigError: `requested` is not a name of an engine.
        BackendUnavailableError: what was asked for cannot run here; the message says what is missing.
    """
    if requested not in ("auto", *ENGINES):
        raise ConfigError(f"unknown engine {requested!r}; choose auto, {', '.join(ENGINES)}")
    asked = [name for name in GPU_ENGINES if requested in ("auto", name) and name not in refused]
    missing = {name: why_not_on_gpu(name) if why_not_on_gpu else "not considered here" for name in asked} | {
        "onnxruntime": _missing_for_graphs("onnxruntime", "pip install onnxruntime", has_onnx_graphs),
        "openvino": _missing_for_graphs("openvino", install_extra("openvino"), has_onnx_graphs),
        "torch": _missing_for_torch(has_weights),
    }
    missing |= refused
    if requested != "auto":
        if missing[requested]:
            raise BackendUnavailableError(f"engine {requested!r} cannot run: {missing[requested]}")
        return Choice(requested, "as asked for")
    order = _AUTO_ENGINES_WITH_TILES if runs_in_tiles else _AUTO_ENGINES
    for name in order:
        if not missing[name]:
            better = order[: order.index(name)]
            told = [other for other in better if why_not_on_gpu or other not in GPU_ENGINES]
            reasons = [_passed_over({other: missing[other] for other in told})]
            reasons += ["the processor has AMX"] if name == "openvino" else []
            return Choice(name, "; ".join(filter(None, reasons)) or "the fastest that runs on this machine")
    raise BackendUnavailableError(
        "no engine can run this pack: " + "; ".join(f"{name}: {missing[name]}" for name in order)
    )


def _passed_over(missing: dict[str, str]) -> str:
    """What is wrong with each, said once where it is the same."""
    names: dict[str, list[str]] = {}
    for name, reason in missing.items():
        names.setdefault(reason, []).append(name)
    return "; ".join(f"{' and '.join(group)} passed over: {reason}" for reason, group in names.items())


def _missing_for_graphs(package: str, install: str, has_onnx_graphs: bool) -> str:
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed; {install}"
    if not has_onnx_graphs:
        return "the pack holds no ONNX graphs; make them with: breath-offline export --pack PACK"
    return ""


def _missing_for_torch(has_weights: bool) -> str:
    absent = [
        name for name in ("torch", "torchaudio", "safetensors") if importlib.util.find_spec(name) is None
    ]
    if absent:
        return f"{', '.join(absent)} not installed; {install_extra('train')}"
    if not has_weights:
        return "the pack holds no weights for torch, only graphs; use --engine onnxruntime"
    return ""
