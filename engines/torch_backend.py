"""The reference back end: torch, eager, on the CPU or on a CUDA device."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.backend import Inference, inference_from_outputs
from engines.closing import Closing
from engines.cnn8 import CNN8
from engines.contract import WINDOW_SAMPLES
from engines.errors import EngineError, EngineMissingError, PackError
from engines.installing import REINSTALL
from engines.manifest import FEATURES, NetworkInfo
from engines.pack import Pack
from engines.vgg import VGG

ARCHITECTURES: dict[str, type[CNN8] | type[VGG]] = {"cnn8": CNN8, "vgg": VGG}


class TorchEngine(Closing):
    """Runs networks in torch, float32; see `engines.backend.Engine`.

    Args:
        networks: by their names, in the pack's order, such as `load_networks` gives them.
        features: module from windows (B, 16000) to images and scalars, made for the pack's parameters.
        device: where to run, such as `cpu` or `cuda`.
    """

    name = "torch"

    def __init__(self, networks: Mapping[str, nn.Module], features: nn.Module, device: str = "cpu") -> None:
        self._device = torch.device(device)
        self._features: nn.Module | None = features.eval().to(self._device)
        self._networks = {name: network.eval().to(self._device) for name, network in networks.items()}

    def warm_up(self) -> None:
        """Run once on silence."""
        self.infer(np.zeros((1, WINDOW_SAMPLES), dtype=np.float32))

    # In TensorFloat-32, which a GPU would use otherwise, features and networks are good to three digits only.
    @torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    @torch.inference_mode()
    def infer(self, windows: NDArray[np.float32]) -> Inference:
        """Run windows, (B, 16000) float32, through the features and every network."""
        if self._features is None:
            raise EngineError("the engine is closed; open a new one")
        stages_s: dict[str, float] = {}
        stage = FEATURES
        try:
            started = time.perf_counter()
            # Copied: torch warns of arrays that must not be written to, which views of a stream are.
            images, scalars = self._features(torch.from_numpy(windows.copy()).to(self._device))
            stages_s[stage] = self._elapsed_s(started)
            outputs: list[Tensor] = []
            for stage, network in self._networks.items():
                started = time.perf_counter()
                outputs.append(network(images, scalars))
                stages_s[stage] = self._elapsed_s(started)
        except RuntimeError as error:  # what torch raises for wrong shapes and for a device without memory
            raise EngineError(f"torch failed in {stage}: {error}") from error
        return inference_from_outputs([output.float().cpu().numpy() for output in outputs], stages_s)

    def _elapsed_s(self, started: float) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter() - started

    def close(self) -> None:
        """Release the networks."""
        self._features = None
        self._networks = {}


def load_networks(pack: Pack) -> dict[str, nn.Module]:
    """The pack's networks with their weights, float32 on the CPU, in evaluation mode.

    Raises:
        EngineMissingError: the pack has no safetensors for a network.
        PackError: the weights do not fit the architecture that the manifest names.
    """
    networks: dict[str, nn.Module] = {}
    for info in pack.manifest.networks:
        network = architecture_of(pack, info)(n_outputs=info.n_outputs)
        network.load_state_dict(_state(pack.weight_paths[info.name], network))
        networks[info.name] = network.eval()
    return networks


def architecture_of(pack: Pack, info: NetworkInfo) -> type[CNN8] | type[VGG]:
    """The class of one of the pack's networks.

    Raises:
        PackError: this version has none of that name.
    """
    if info.architecture not in ARCHITECTURES:
        raise PackError(
            f"{pack.path}: unknown architecture {info.architecture!r}; newer source, then: {REINSTALL}"
        )
    return ARCHITECTURES[info.architecture]


def _state(path: Path, network: nn.Module) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise EngineMissingError(f"{path} is missing: this pack holds graphs only; use --engine onnxruntime")
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise PackError(f"{path} is not a safetensors file: {error}") from error
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    if expected != found:
        wrong = sorted(set(expected.items()) ^ set(found.items()))[:3]
        raise PackError(f"{path} holds weights of another network; the first differences: {wrong}")
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
