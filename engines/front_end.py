"""What comes before the networks on the GPU: sound in, images and scalars in device memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.contract import N_CHANNELS, N_FRAMES, N_ROWS, N_SCALARS, WINDOW_SAMPLES
from engines.device_memory import DeviceArray
from engines.errors import EngineError
from engines.manifest import FEATURES

Floats = NDArray[np.float32]
Step = tuple[str, Callable[[], None]]


class FrontEnd:
    """Uploads nothing but the sound; the features are computed on the same stream.

    The arrays stay where they are for as long as the engine lives.

    Args:
        memory: `DeviceMemory`; that of torch where torch computes the features.
        n_max: largest batch.
        features: module on the GPU from windows (B, 16000) to images and scalars; None: an engine of the
            features fills `tensors`.

    Attributes:
        tensors: by name, `windows` (n_max, 16000), `images` (n_max, 9, 128, 63), `scalars` (n_max, 39).
    """

    def __init__(
        self, memory: Any, n_max: int, features: Callable[[Any], tuple[Any, Any]] | None = None
    ) -> None:
        self._memory = memory
        self._features = features
        self.tensors: dict[str, DeviceArray] = {
            "windows": memory.allocate((n_max, WINDOW_SAMPLES)),
            "images": memory.allocate((n_max, N_CHANNELS, N_ROWS, N_FRAMES)),
            "scalars": memory.allocate((n_max, N_SCALARS)),
        }
        # Last: what fails after it would still refer to it when the memory is closed.
        self._host: Floats = memory.page_locked((n_max, WINDOW_SAMPLES))

    def close(self) -> None:
        """Let go of everything, before the memory that owns it is closed."""
        self.tensors = {}
        self._features = None
        self._host = np.empty((0, WINDOW_SAMPLES), np.float32)

    def fill(self, windows: Floats) -> None:
        """On the host: put windows, (n, 16000), into page-locked memory."""
        self._host[: len(windows)] = windows

    def steps(self, n: int) -> list[Step]:
        """What has to be enqueued for `n` windows, by name, in order."""
        steps: list[Step] = [("upload", lambda: self._memory.upload(self._host[:n], self.tensors["windows"]))]
        if self._features is not None:
            steps.append((FEATURES, lambda: self._compute(n)))
        return steps

    def _compute(self, n: int) -> None:
        import torch

        assert self._features is not None
        try:
            # In TensorFloat-32, the low-pass and all that follows would be good to three digits only.
            with (
                torch.inference_mode(),
                torch.cuda.stream(self._memory.stream),
                torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
            ):
                images, scalars = self._features(self.tensors["windows"].owner[:n])
                self.tensors["images"].owner[:n].copy_(images)
                self.tensors["scalars"].owner[:n].copy_(scalars)
        except RuntimeError as error:
            raise EngineError(f"torch failed in the features on the GPU: {error}") from error
