"""What a network learns from: examples with one target for each of its outputs, epoch by epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from offline.store import FeatureStore


@dataclass(frozen=True)
class Examples:
    """N examples with a target for each output of a network.

    Attributes:
        images: (>= N, 9, 128, 63) float16, memory-mapped.
        scalars: (>= N, 39) float32.
        rows: (N,) int64, which rows of the two are meant; the targets are in the order of `rows`.
        targets: (N, n_outputs) float32 in 0-1: 1 = exhale; and, of networks that tell it, 1 = breath.
        weights: (N, n_outputs) float32, 0 where nothing is known: there is no phase where there is no breath.
    """

    images: NDArray[np.float16]
    scalars: NDArray[np.float32]
    rows: NDArray[np.int64]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]

    @classmethod
    def of_clips(
        cls, store: FeatureStore, rows: NDArray[np.int64], targets: NDArray[np.float32] | None = None
    ) -> "Examples":
        """Clips of a feature store, whose one target is their phase, if it is not given, (N, 1)."""
        if targets is None:
            targets = store.labels[rows, None].astype(np.float32)
        return cls(store.images, store.scalars, rows, targets, np.ones_like(targets))

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Lessons:
    """What a training needs.

    Attributes:
        of_epoch: the examples of an epoch, counted from 0; always equally many.
        validation: what decides which epoch is the best, and when to stop.
        n_outputs: of the networks: 1, the phase; 2, the phase and whether there is breath.
    """

    of_epoch: Callable[[int], Examples]
    validation: Examples
    n_outputs: Literal[1, 2]
