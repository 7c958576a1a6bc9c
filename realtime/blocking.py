"""Pieces of sound of any length in, pieces of the wanted length out."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


class Shelf:
    """Gives what its pieces hold, joined, in lengths chosen at each turn.

    Args:
        pieces: (n, channels) float32 arrays of one channel count, any n.
    """

    def __init__(self, pieces: Iterator[NDArray[np.float32]]) -> None:
        self._pieces = pieces
        self._rest: NDArray[np.float32] | None = None

    def take(self, n_samples: int) -> NDArray[np.float32]:
        """The next `n_samples` >= 1, (n_samples, channels); fewer, then (0, 1), at the end.

        May be a view of a piece.
        """
        taken: list[NDArray[np.float32]] = []
        missing = n_samples
        while missing > 0:
            piece = self._rest if self._rest is not None else next(self._pieces, None)
            if piece is None:
                break
            taken.append(piece[:missing])
            self._rest = piece[missing:] if len(piece) > missing else None
            missing -= len(taken[-1])
        if not taken:
            return np.zeros((0, 1), np.float32)
        return taken[0] if len(taken) == 1 else np.concatenate(taken)
