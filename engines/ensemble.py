"""Weights of the networks, and the fusion of their logits into probabilities. Pure functions."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.errors import ConfigError

WeightMethod = Literal["softmax", "normalised"]


def weights_from_scores(scores: Sequence[float], method: WeightMethod = "softmax") -> tuple[float, ...]:
    """Turn one validation score per network into weights that sum to one.

    Args:
        scores: larger is better; at least one, all finite, and positive for `normalised`.
        method: `softmax`: exp(score) / sum(exp); `normalised`: score / sum(scores).

    Raises:
        ConfigError: no score, or scores that the method cannot use.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ConfigError(f"ensemble weights need finite validation scores, got {list(scores)}")
    if method == "normalised":
        if (values <= 0).any():
            raise ConfigError(f"normalised ensemble weights need positive scores, got {list(scores)}")
        values = values / values.max()
        return tuple(float(share) for share in values / values.sum())
    powers = np.exp(values - values.max())
    return tuple(float(share) for share in powers / powers.sum())


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logistic function without overflow; same shape as `logits`."""
    prob: NDArray[np.float32] = (0.5 * (1.0 + np.tanh(0.5 * logits))).astype(np.float32)
    return prob


def network_probs(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """P(exhale) of each network, sigmoid(logit / temperature), (B, n_networks) float32; see `fuse`."""
    return sigmoid(logits / np.float32(temperature))


def fuse(
    logits: NDArray[np.float32], weights: Sequence[float], temperature: float = 1.0
) -> NDArray[np.float32]:
    """P(exhale) = sum_i weight_i * sigmoid(logit_i / temperature).

    Args:
        logits: (B, n_networks) float32.
        weights: n_networks values that sum to one.
        temperature: > 0; above 1 makes probabilities less extreme (Guo et al., ICML 2017).

    Returns:
        (B,) float32 in [0, 1].
    """
    prob = network_probs(logits, temperature) @ np.asarray(weights, dtype=np.float32)
    # In float32, weights that sum to one may sum to a little more.
    return np.clip(prob, 0.0, 1.0).astype(np.float32)


def fuse_presence(presence_logits: NDArray[np.float32], weights: Sequence[float]) -> NDArray[np.float32]:
    """P(breath) = sum_i weight_i * sigmoid(presence_logit_i); a pack's temperature is of the phase alone.

    Args:
        presence_logits: (B, n_networks) float32.
        weights: those of the phase, n_networks values that sum to one.

    Returns:
        (B,) float32 in [0, 1].
    """
    return fuse(presence_logits, weights)
