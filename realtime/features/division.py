"""Divisions that leave silence at zero."""

import numpy as np
import torch
from torch import Tensor

TINY = float(np.finfo(np.float32).tiny)


def or_one(divisor: Tensor) -> Tensor:
    """Non-negative divisors that are practically zero become one."""
    return torch.where(divisor < TINY, 1.0, divisor)


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Quotient, 0 where the non-negative denominator is practically zero."""
    return torch.where(denominator < TINY, 0.0, numerator / or_one(denominator))
