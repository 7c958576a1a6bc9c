"""What the parity gate holds an engine to: torch in float32, or else a pack's graphs as they are."""

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engines.backend import Engine
from engines.errors import PackError
from engines.installing import install_extra
from engines.pack import Pack

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Reference:
    """An open engine, whether it is torch in float32, and what it is, for people."""

    engine: Engine
    is_torch: bool
    words: str


def open_reference(pack: Pack) -> Reference:
    """Torch in float32 on the CPU, for a pack without weights with those that its graphs hold.

    Where that cannot be had, its graphs in ONNX Runtime, which were held to torch when they were made.

    Raises:
        EngineError: neither runs here.
        PackError: the pack's weights are damaged.
    """
    networks, why_not = _torch_networks(pack)
    if not networks:
        return open_graphs(pack, why_not)
    from engines.torch_backend import TorchEngine
    from realtime.features.stack import FeatureStack

    words = "torch float32" if pack.has_weights else f"torch float32, with the weights of the {_graphs(pack)}"
    return Reference(TorchEngine(networks, FeatureStack(pack.manifest.feature_spec)), True, words)


def open_graphs(pack: Pack, why: str) -> Reference:
    """A pack's graphs as they are, in ONNX Runtime; `why` they are what an engine is held to.

    Raises:
        EngineError: they do not run here.
    """
    from engines.onnx_backend import OnnxEngine

    return Reference(OnnxEngine(pack), False, f"ONNX Runtime with the {_graphs(pack)} ({why})")


def _graphs(pack: Pack) -> str:
    return f"{'INT8' if pack.manifest.graph_precision == 'int8' else 'float'} graphs"


def _torch_networks(pack: Pack) -> "tuple[dict[str, nn.Module], str]":
    """A pack's networks in torch; if there are none, why."""
    needed = ["torch", "torchaudio", *(["safetensors"] if pack.has_weights else [])]
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    if absent:
        return {}, f"{', '.join(absent)} not installed; {install_extra('train')}"
    from offline.graphs.weights import networks_to_go_on_with

    try:
        return networks_to_go_on_with(pack), ""
    except PackError:
        if pack.has_weights:
            raise
        return {}, "the pack holds no weights for torch"
