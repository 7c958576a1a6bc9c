"""What comes before the networks on the GPU: windows in, images and scalars in device memory."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.contract import N_CHANNELS, N_FRAMES, N_ROWS, N_SCALARS, WINDOW_SAMPLES
from engines.device_memory import DeviceArray, DeviceMemory
from engines.errors import EngineError

Floats = NDArray[np.float32]
Step = tuple[str, Callable[[], None]]


class FrontEnd(Protocol):
    """Fills the inputs of the networks; its arrays stay where they are for as long as the engine lives."""

    images: DeviceArray
    scalars: DeviceArray

    @property
    def host_stage(self) -> str:
        """Name of what `fill` does, for the timings."""

    def fill(self, windows: Floats) -> None:
        """On the host: put windows, (n, 16000), into page-locked memory."""

    def steps(self, n: int) -> list[Step]:
        """What has to be enqueued for `n` windows, by name, in order."""


class AudioFrontEnd:
    """Uploads nothing but the sound; torch computes the features on the same stream.

    Args:
        memory: of torch.
        features: module on the GPU from windows (B, 16000) to images and scalars.
        n_max: largest batch.
    """

    host_stage = "window"

    def __init__(self, memory: Any, features: Callable[[Any], tuple[Any, Any]], n_max: int) -> None:
        self._memory = memory
        self._features = features
        self._host = memory.page_locked((n_max, WINDOW_SAMPLES))
        self._windows = memory.allocate((n_max, WINDOW_SAMPLES))
        self.images, self.scalars = _network_inputs(memory, n_max)

    def fill(self, windows: Floats) -> None:
        """See `FrontEnd`."""
        self._host[: len(windows)] = windows

    def steps(self, n: int) -> list[Step]:
        """See `FrontEnd`."""
        return [
            ("upload", lambda: self._memory.upload(self._host[:n], self._windows)),
            ("features", lambda: self._compute(n)),
        ]

    def _compute(self, n: int) -> None:
        import torch

        try:
            # In TensorFloat-32, the low-pass and all that follows would be good to three digits only.
            with (
                torch.inference_mode(),
                torch.cuda.stream(self._memory.stream),
                torch.backends.cudnn.flags(allow_tf32=False),
            ):
                images, scalars = self._features(self._windows.owner[:n])
                self.images.owner[:n].copy_(images)
                self.scalars.owner[:n].copy_(scalars)
        except RuntimeError as error:
            raise EngineError(f"torch failed in the features on the GPU: {error}") from error


class ImagesFrontEnd:
    """Uploads images and scalars that the host computed: a process without torch.

    Args:
        memory: of any owner.
        features: windows (B, 16000) to images and scalars, all float32 on the host.
        n_max: largest batch.
    """

    host_stage = "features"

    def __init__(
        self, memory: DeviceMemory, features: Callable[[Floats], tuple[Floats, Floats]], n_max: int
    ) -> None:
        self._memory = memory
        self._features = features
        self._host_images = memory.page_locked((n_max, N_CHANNELS, N_ROWS, N_FRAMES))
        self._host_scalars = memory.page_locked((n_max, N_SCALARS))
        self.images, self.scalars = _network_inputs(memory, n_max)

    def fill(self, windows: Floats) -> None:
        """See `FrontEnd`."""
        images, scalars = self._features(windows)
        self._host_images[: len(windows)] = images
        self._host_scalars[: len(windows)] = scalars

    def steps(self, n: int) -> list[Step]:
        """See `FrontEnd`."""
        return [("upload", lambda: self._upload(n))]

    def _upload(self, n: int) -> None:
        self._memory.upload(self._host_images[:n], self.images)
        self._memory.upload(self._host_scalars[:n], self.scalars)


def _network_inputs(memory: DeviceMemory, n_max: int) -> tuple[DeviceArray, DeviceArray]:
    images = memory.allocate((n_max, N_CHANNELS, N_ROWS, N_FRAMES))
    return images, memory.allocate((n_max, N_SCALARS))
