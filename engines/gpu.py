"""Whether a usable NVIDIA GPU is there, asked of the driver itself: no torch, no TensorRT, no CUDA toolkit.

TensorRT does not answer that question: without a driver some of its calls return None, and some end the
process. So nobody touches it before this module has said yes.
"""

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

from engines.errors import BackendUnavailableError

_MAJOR_ATTRIBUTE, _MINOR_ATTRIBUTE = 75, 76
_NAME_LENGTH = 128


@dataclass(frozen=True)
class Gpu:
    """The GPU that engines run on, the first one of the process.

    Attributes:
        name: as the driver gives it, such as `NVIDIA GeForce RTX 4090`.
        compute_capability: generation, such as (8, 9).
    """

    name: str
    compute_capability: tuple[int, int]

    @property
    def label(self) -> str:
        """Name and generation: engines of TensorRT run where this is the same."""
        major, minor = self.compute_capability
        return f"{self.name} (sm_{major}{minor})"


def usable_gpu(driver: Any = None) -> Gpu:
    """The first GPU of this process; `CUDA_VISIBLE_DEVICES` is heeded, as the driver does that.

    Args:
        driver: the CUDA driver's library; None: the system's.

    Raises:
        BackendUnavailableError: there is no driver or no GPU, or the driver does not answer.
    """
    library = driver or _system_driver()
    _check(library, "cuInit", library.cuInit(0))
    count, device = ctypes.c_int(), ctypes.c_int()
    _check(library, "cuDeviceGetCount", library.cuDeviceGetCount(ctypes.byref(count)))
    if count.value < 1:
        raise BackendUnavailableError(
            "no usable GPU: the NVIDIA driver sees none; check CUDA_VISIBLE_DEVICES"
        )
    _check(library, "cuDeviceGet", library.cuDeviceGet(ctypes.byref(device), 0))
    name = ctypes.create_string_buffer(_NAME_LENGTH)
    _check(library, "cuDeviceGetName", library.cuDeviceGetName(name, _NAME_LENGTH, device))
    capability = tuple(_attribute(library, number, device) for number in (_MAJOR_ATTRIBUTE, _MINOR_ATTRIBUTE))
    return Gpu(name.value.decode(errors="replace"), (capability[0], capability[1]))


def _attribute(library: Any, number: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    status = library.cuDeviceGetAttribute(ctypes.byref(value), number, device)
    _check(library, "cuDeviceGetAttribute", status)
    return value.value


def _system_driver() -> Any:
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise BackendUnavailableError(f"no usable GPU: no NVIDIA driver ({name} is absent)") from error


def _check(library: Any, call: str, status: int) -> None:
    if status == 0:
        return
    text = ctypes.c_char_p()
    library.cuGetErrorString(status, ctypes.byref(text))
    said = (text.value or b"unknown error").decode(errors="replace")
    raise BackendUnavailableError(
        f"no usable GPU: the NVIDIA driver answers {call} with error {status}, {said}; "
        "see what nvidia-smi says"
    )
