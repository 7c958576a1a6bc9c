"""CutMix, MixUp and Freq-MixStyle on batches of features."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

MIXUP_ALPHA = 0.4
MIXSTYLE_ALPHA = 0.3


@dataclass(frozen=True)
class Batch:
    """What a training step sees.

    Attributes:
        images: (B, 9, 128, 63) float32.
        scalars: (B, 39) float32.
        targets: (B, n_outputs) float32, 1 = exhale, 1 = breath; between 0 and 1 after mixing.
        weights: (B, n_outputs) float32, how much each target counts.
    """

    images: Tensor
    scalars: Tensor
    targets: Tensor
    weights: Tensor


def mixed(batch: Batch, cutmix_share: float, mixup_share: float, generator: torch.Generator) -> Batch:
    """The batch after CutMix, MixUp or neither, drawn from `generator` with these probabilities."""
    drawn = float(torch.rand((), generator=generator))
    if drawn < cutmix_share:
        return cutmix(batch, float(torch.rand((), generator=generator)), generator)
    if drawn < cutmix_share + mixup_share:
        return mixup(batch, _beta(MIXUP_ALPHA, generator), generator)
    return batch


def cutmix(batch: Batch, kept: float, generator: torch.Generator) -> Batch:
    """Replace a rectangle of every image, all channels, by that of another clip (Yun et al., ICCV 2019).

    Targets and scalars are mixed by the rectangle's share of the area, since scalars have no place in it.

    Args:
        batch: what is mixed.
        kept: wanted share of the own image, 0-1.
        generator: source of the partners and the rectangle's place.
    """
    partner = _partner(batch, generator)
    height, width = batch.images.shape[2:]
    cut_height, cut_width = (round(side * math.sqrt(1 - kept)) for side in (height, width))
    top = int(torch.randint(height - cut_height + 1, (), generator=generator))
    left = int(torch.randint(width - cut_width + 1, (), generator=generator))
    rows, columns = slice(top, top + cut_height), slice(left, left + cut_width)
    images = batch.images.clone()
    images[:, :, rows, columns] = batch.images[partner, :, rows, columns]
    share = 1 - cut_height * cut_width / (height * width)
    return _blended(batch, partner, share, images)


def mixup(batch: Batch, share: float, generator: torch.Generator) -> Batch:
    """Blend every clip with another (Zhang et al., ICLR 2018).

    Args:
        batch: what is mixed.
        share: of the own clip, 0-1.
        generator: source of the partners.
    """
    partner = _partner(batch, generator)
    return _blended(batch, partner, share, torch.lerp(batch.images[partner], batch.images, share))


def mixstyle(batch: Batch, share: float, generator: torch.Generator) -> Batch:
    """Give every clip some of the colour of another: the mean and deviation of each row over time.

    What a row has on average tells of the room, the microphone and the chest; how it changes tells of the
    breath. Targets stay as they are. The statistics are those of the images' rows (Freq-MixStyle, as
    in Schmid et al., DCASE 2022; MixStyle, Zhou et al., ICLR 2021).

    Args:
        batch: what is mixed.
        share: of the own colour, 0-1.
        generator: source of the partners.
    """
    partner = _partner(batch, generator)
    mean = batch.images.mean(dim=3, keepdim=True)
    std = batch.images.std(dim=3, keepdim=True) + 1e-5
    its_mean, its_std = (torch.lerp(values[partner], values, share) for values in (mean, std))
    images = (batch.images - mean) / std * its_std + its_mean
    return replace(batch, images=images)


def styled(batch: Batch, mixstyle_share: float, generator: torch.Generator) -> Batch:
    """The batch after Freq-MixStyle, or as it is, drawn from `generator` with this probability."""
    if mixstyle_share == 0 or float(torch.rand((), generator=generator)) >= mixstyle_share:
        return batch
    return mixstyle(batch, _beta(MIXSTYLE_ALPHA, generator), generator)


def _blended(batch: Batch, partner: Tensor, share: float, images: Tensor) -> Batch:
    """The batch with these images; a target that counts for nothing leaves the other's as it is."""
    weights = torch.lerp(batch.weights[partner], batch.weights, share)
    counted = batch.weights * batch.targets
    targets = torch.lerp(counted[partner], counted, share) / weights.clamp_min(1e-6)
    scalars = torch.lerp(batch.scalars[partner], batch.scalars, share)
    return Batch(images, scalars, targets, weights)


def _partner(batch: Batch, generator: torch.Generator) -> Tensor:
    return torch.randperm(len(batch.targets), generator=generator).to(batch.images.device)


def _beta(alpha: float, generator: torch.Generator) -> float:
    """A draw of Beta(alpha, alpha), as the share of two gamma variables (torch's own takes no generator)."""
    first, second = torch._standard_gamma(torch.full((2,), alpha, dtype=torch.float64), generator=generator)
    total = float(first + second)
    return float(first) / total if total > 0 else 0.5
