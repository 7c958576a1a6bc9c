"""How weights move: the optimiser, its learning rate, the running average, the arithmetic."""

import math

import torch
from torch import nn

from offline.training.settings import Precision, TrainSettings


def optimizer_of(network: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW that decays matrices and kernels, but neither biases nor normalisation."""
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def learning_rate_at(step: int, n_steps_per_epoch: int, settings: TrainSettings) -> float:
    """Linear warm-up to the peak, then half a cosine down, which would reach zero a step after the last."""
    n_warmup = round(settings.warmup_epochs * n_steps_per_epoch)
    n_all = settings.epochs * n_steps_per_epoch
    if step < n_warmup:
        return settings.learning_rate * (step + 1) / n_warmup
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - n_warmup) / (n_all - n_warmup)))


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move the running average of weights and statistics towards the network; quicker in the first steps."""
    share = 1.0 - min(decay, (1 + step) / (10 + step))
    current = network.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point() and not name.startswith("standardise."):
            value.lerp_(current[name], share)
        else:
            value.copy_(current[name])


def resolved_precision(wanted: Precision, device: torch.device) -> Precision:
    """`auto` is bf16 where the device computes in it natively, else fp32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"
