"""Divisions that leave silence at zero."""

import numpy as np
import torch
from torch import Tensor

TINY = float(np.finfo(np.float32).tiny)


def or_one(divisor: Tensor) -> Tensor:
    """Non-negative divisors that are practically zero become one."""
    return torch.where(divisor < TINY, torch.ones_like(divisor), divisor)


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Quotient, 0 where the non-negative denominator is practically zero."""
    return torch.where(denominator < TINY, torch.zeros_like(numerator), numerator / or_one(denominator))
