"""Training state on disk, without pickle: one safetensors file, its plain values as JSON in the header."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from engines.errors import LabelsError, OutputError

# What a file that is damaged, or was written by something else, makes its readers raise.
_UNUSABLE = (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError)


def save_checkpoint(
    path: Path,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    values: dict[str, Any],
) -> None:
    """Write modules, optimiser and plain values; a reader sees the file before or after, never in between.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for prefix, module in modules.items():
        tensors.update({f"{prefix}/{name}": value for name, value in module.state_dict().items()})
    state = optimizer.state_dict()
    for index, slots in state["state"].items():
        tensors.update({f"optimizer/{index}/{slot}": value for slot, value in slots.items()})
    header = {"values": json.dumps(values), "groups": json.dumps(state["param_groups"])}
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, partial, header
        )
        os.replace(partial, path)  # noqa: PTH105  (the same call; here its atomicity is the point)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"the checkpoint {path} could not be written: {error}") from error


def read_values(path: Path) -> dict[str, Any]:
    """The plain values alone; only the file's header is read.

    Raises:
        LabelsError: the file is damaged, or no checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            values: dict[str, Any] = json.loads(file.metadata()["values"])
    except _UNUSABLE as error:
        raise _unusable(path, error) from error
    return values


def load_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Restore what `save_checkpoint` wrote, in place, and return the plain values.

    Raises:
        LabelsError: the file is damaged or belongs to another training.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        for prefix, module in modules.items():
            start = f"{prefix}/"
            module.load_state_dict(
                {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}
            )
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                _, index, slot = name.split("/")
                slots.setdefault(int(index), {})[slot] = value
        _lay_out_like_parameters(slots, optimizer)
        optimizer.load_state_dict({"state": slots, "param_groups": json.loads(header["groups"])})
        values: dict[str, Any] = json.loads(header["values"])
    except _UNUSABLE as error:
        raise _unusable(path, error) from error
    return values


def _lay_out_like_parameters(slots: dict[int, dict[str, Tensor]], optimizer: torch.optim.Optimizer) -> None:
    """Give moments the memory layout of their parameter, which the file does not keep.

    The values are the same in any layout, but kernels of another layout may round differently.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, its_slots in slots.items():
        for slot, value in its_slots.items():
            if value.shape == parameters[index].shape:
                its_slots[slot] = torch.empty_like(parameters[index]).copy_(value)


def _unusable(path: Path, error: Exception) -> LabelsError:
    return LabelsError(
        f"the checkpoint {path} cannot be resumed ({error!r}). Train with --restart instead of --resume"
    )
