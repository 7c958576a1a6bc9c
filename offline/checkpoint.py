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
        optimizer.load_state_dict({"state": slots, "param_groups": json.loads(header["groups"])})
        values: dict[str, Any] = json.loads(header["values"])
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise LabelsError(
            f"the checkpoint {path} cannot be resumed ({error}). Delete it, or train without --resume"
        ) from error
    return values
