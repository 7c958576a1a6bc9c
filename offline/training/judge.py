"""How good a network is on the validation examples, and what training and judging share."""

import math
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from offline.metrics import binary_metrics
from offline.training.augment import Batch
from offline.training.distributed import World
from offline.training.lessons import Examples
from offline.training.optimisation import resolved_precision
from offline.training.settings import Precision, TrainSettings


class Judge:
    """Says how good a network is.

    Args:
        validation: the examples it is judged by.
        settings: of the training; its precision is that of the judging.
        world: the processes that train together; all of them judge, and agree.
    """

    def __init__(self, validation: Examples, settings: TrainSettings, world: World) -> None:
        self._validation, self._precision, self._world = validation, settings.precision, world

    @torch.no_grad()
    def predictions(self, network: nn.Module) -> tuple[NDArray[np.float32], float]:
        """P(exhale) by a network in evaluation mode, in the order of the examples, and the mean loss."""
        examples, device = self._validation, self._world.device
        every: list[Tensor] = []
        losses: list[float] = []
        for first in range(0, len(examples), 128):
            batch = batch_of(examples, np.arange(first, min(first + 128, len(examples))), device)
            with autocast(self._precision, device):
                logits = network(batch.images, batch.scalars).float()
            losses.append(float(loss_of(logits, batch)) * len(logits))
            every.append(logits.reshape(len(logits), -1)[:, 0])
        return torch.cat(every).sigmoid().cpu().numpy(), sum(losses) / len(examples)

    def scores(self, prob: NDArray[np.float32]) -> tuple[float, float]:
        """Accuracy and AUC of `predictions`; all processes have the same AUC."""
        has_phase = self._validation.weights[:, 0] > 0
        labels = self._validation.targets[has_phase, 0].astype(np.int64)
        scores = binary_metrics(labels, prob[has_phase])
        return scores.accuracy, self._world.agreed(0.5 if math.isnan(scores.auc) else scores.auc)


def batch_of(examples: Examples, chosen: NDArray[np.int64], device: torch.device) -> Batch:
    """The examples at some places, on a device."""
    rows = examples.rows[chosen]
    images = torch.from_numpy(examples.images[rows]).to(device)
    return Batch(
        images.float().contiguous(memory_format=torch.channels_last),
        torch.from_numpy(examples.scalars[rows]).to(device),
        torch.from_numpy(examples.targets[chosen]).to(device),
        torch.from_numpy(examples.weights[chosen]).to(device),
    )


def autocast(wanted: Precision, device: torch.device) -> AbstractContextManager[object]:
    """In which a network computes, in the precision that is wanted."""
    if resolved_precision(wanted, device) == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def loss_of(logits: Tensor, batch: Batch) -> Tensor:
    """Binary cross-entropy of each output over what counts for it, added up.

    Args:
        logits: (B,) or (B, n_outputs) float32.
        batch: with the targets and their weights.
    """
    each = nn.functional.binary_cross_entropy_with_logits(
        logits.reshape(batch.targets.shape), batch.targets, batch.weights, reduction="none"
    )
    return (each.sum(dim=0) / batch.weights.sum(dim=0).clamp_min(1.0)).sum()
