"""The networks of a pack that holds graphs only, for what needs torch: to train on, to export, to compare.

A shipped pack has no weights of its own, to be small: what its INT8 graphs hold is taken back, to within half
a step of INT8. Its normalisations are gone too, folded into what is before them or turned into factors and
summands. As such they work; for a training they come back, from the statistics of sound that is heard.
"""

from collections.abc import Iterator

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import NodeProto
from torch import Tensor, nn

from engines.errors import EngineError, PackError
from engines.pack import Pack
from engines.torch_backend import architecture_of, load_networks
from offline.graphs.parts import affine_of_normalisation, model_from_bytes, stored_values, undo_half_storage
from offline.training.lessons import Examples

N_WINDOWS = 512
_BATCH = 64
_Normalisation = nn.BatchNorm1d | nn.BatchNorm2d
_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)
_LAYERS = (nn.Conv2d, nn.Linear)
_PASSED_THROUGH = {"Relu", "MaxPool", "QuantizeLinear", "DequantizeLinear"}


def networks_to_go_on_with(pack: Pack) -> dict[str, nn.Module]:
    """The networks of a pack, from its weights or else from its graphs, in evaluation mode.

    Before those from graphs are trained, `restore_statistics` has to be called.

    Raises:
        PackError: the pack has neither, or graphs that are not those of the networks its manifest names.
    """
    if pack.has_weights:
        return load_networks(pack)
    if not pack.has_graphs:
        raise PackError(f"{pack.path} has neither all weights nor all graphs; nothing can be made of it")
    networks: dict[str, nn.Module] = {}
    for info in pack.manifest.networks:
        path = pack.graph_paths[info.name]
        try:
            network = architecture_of(pack, info)(n_outputs=info.n_outputs).eval()
            _Graph(model_from_bytes(path.read_bytes())).fill(network)
        except (EngineError, LookupError, ValueError, RuntimeError) as error:
            raise PackError(
                f"{path} is no graph that weights can be taken back from ({error}); give a pack with weights"
            ) from error
        networks[info.name] = network
    return networks


class _Graph:
    """Where a graph holds what belongs to the layers of a network; they are called as those are."""

    def __init__(self, model: onnx.ModelProto) -> None:
        undo_half_storage(model.graph)
        self._values = stored_values(model.graph)
        self._users: dict[str, list[NodeProto]] = {}
        self._layers: dict[str, NodeProto] = {}
        for node in model.graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] in self._values:
                self._values[node.output[0]] = self._dequantised(node)
            for name in node.input:
                self._users.setdefault(name, []).append(node)
            if node.op_type in ("Conv", "Gemm"):
                self._layers[node.input[1].split(".weight")[0]] = node

    @torch.no_grad()
    def fill(self, network: nn.Module) -> None:
        """Copy everything into a network, in evaluation mode, which then computes what the graph computes."""
        modules = dict(network.named_modules())
        for name, module in modules.items():
            if not isinstance(module, _LAYERS):
                continue
            node = self._layers[name]
            module.weight.copy_(self._tensor(node.input[1]).reshape(module.weight.shape))
            bias = self._tensor(node.input[2])
            sequence, _, place = name.rpartition(".")
            following = [modules.get(f"{sequence}.{int(place) + further}") for further in (1, 2)]
            if isinstance(following[0], _NORMALISATIONS):
                # It was folded into this layer, with its bias.
                if module.bias is not None:
                    module.bias.zero_()
                _set_affine(following[0], torch.ones_like(bias), bias)
                continue
            assert module.bias is not None
            module.bias.copy_(bias)
            if isinstance(following[1], _NORMALISATIONS):
                _set_affine(following[1], *self._affine_after(node))
        for name in ("mean", "std"):
            buffer = network.get_buffer(f"standardise.{name}")
            buffer.copy_(self._tensor(f"standardise.{name}").reshape(buffer.shape))

    def _affine_after(self, layer: NodeProto) -> tuple[Tensor, Tensor]:
        """Factor and summand of the normalisation that follows a layer's activation."""
        for node in self._after(layer.output[0]):
            if node.op_type == "BatchNormalization":
                factor, summand = affine_of_normalisation(node, self._values)
                return torch.from_numpy(factor), torch.from_numpy(summand)
            if node.op_type == "Conv":
                return self._tensor(node.input[1]).flatten(), self._tensor(node.input[2])
        raise ValueError(f"nothing normalises what follows {layer.name}")

    def _after(self, name: str) -> Iterator[NodeProto]:
        while True:
            node = self._users[name][0]
            yield node
            if node.op_type not in _PASSED_THROUGH:
                return
            name = node.output[0]

    def _tensor(self, name: str) -> Tensor:
        return torch.from_numpy(np.array(self._values[name], np.float32))

    def _dequantised(self, node: NodeProto) -> NDArray[np.float32]:
        steps, size, zero = (self._values[name] for name in node.input)
        per_row = (-1,) + (1,) * (steps.ndim - 1)
        from_zero = steps.astype(np.float32) - zero.astype(np.float32).reshape(per_row)
        return (from_zero * size.astype(np.float32).reshape(per_row)).astype(np.float32)


def _set_affine(module: _Normalisation, factor: Tensor, summand: Tensor) -> None:
    """Let a normalisation multiply and add just that, as if it had heard standard normal values."""
    assert module.running_mean is not None
    assert module.running_var is not None
    module.running_mean.zero_()
    module.running_var.fill_(1 - module.eps)
    module.weight.copy_(factor)
    module.bias.copy_(summand)


class _Heard:
    """Sums over all values of each channel that a normalisation hears."""

    def __init__(self, module: _Normalisation) -> None:
        self._count = 0
        self._total = self._squares = torch.zeros(module.num_features, dtype=torch.float64)
        self.handle = module.register_forward_pre_hook(self._hear)

    def _hear(self, _module: nn.Module, heard: tuple[Tensor, ...]) -> None:
        by_channel = heard[0].double().transpose(0, 1).flatten(1)
        self._count += by_channel.shape[1]
        self._total = self._total + by_channel.sum(dim=1)
        self._squares = self._squares + by_channel.square().sum(dim=1)

    @property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and variance."""
        mean = self._total / self._count
        return mean, (self._squares / self._count - mean.square()).clamp_min(1e-6)


@torch.no_grad()
def restore_statistics(network: nn.Module, examples: Examples) -> None:
    """Give the normalisations the statistics of what they hear; what the network computes stays the same.

    Args:
        network: in evaluation mode.
        examples: of what it is going to be trained on; 512 of them are heard.
    """
    rows = examples.rows[np.linspace(0, len(examples) - 1, min(N_WINDOWS, len(examples))).astype(np.int64)]
    images = torch.from_numpy(examples.images[rows]).float()
    scalars = torch.from_numpy(examples.scalars[rows])
    heard = {module: _Heard(module) for module in network.modules() if isinstance(module, _NORMALISATIONS)}
    for first in range(0, len(images), _BATCH):
        network(images[first : first + _BATCH], scalars[first : first + _BATCH])
    for module, found in heard.items():
        found.handle.remove()
        assert module.running_mean is not None
        assert module.running_var is not None
        mean, variance = found.statistics
        factor = module.weight / (module.running_var + module.eps).sqrt()
        summand = module.bias - module.running_mean * factor
        module.running_mean.copy_(mean)
        module.running_var.copy_(variance)
        module.weight.copy_(factor * (variance + module.eps).sqrt())
        module.bias.copy_(summand + mean * factor)
