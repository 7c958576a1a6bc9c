"""One process, or several under `torchrun`: the only place that knows the difference."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed
from torch import nn

# The others wait while the main process makes the feature store, which may take longer than the default.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class World:
    """The processes that train together.

    Attributes:
        rank: this process, counted from 0; 0 alone writes files and shows progress.
        size: how many there are.
        device: where this one computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes and shows."""
        return self.rank == 0

    def wrapped(self, network: nn.Module) -> nn.Module:
        """The network, with its gradients averaged over the processes."""
        if self.size == 1:
            return network
        device_ids = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=device_ids)

    def agreed(self, value: float) -> float:
        """The main process's value, on every process: decisions must not depend on rounding."""
        if self.size == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(tensor, src=0)
        return float(tensor[0])

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            torch.distributed.barrier()


@contextmanager
def joined_world() -> Iterator[World]:
    """Join the processes that `torchrun` started, if it did, and leave them at the end."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
    if size == 1:
        yield World(0, 1, device)
        return
    if device.type == "cuda":
        torch.distributed.init_process_group("nccl", timeout=PATIENCE, device_id=device)
    else:
        torch.distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield World(rank, size, device)
    finally:
        torch.distributed.destroy_process_group()
