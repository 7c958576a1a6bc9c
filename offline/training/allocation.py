"""Memory of a process that frees hundreds of megabytes at every step, and wants them again at once."""

import ctypes
import sys

# Of <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed, instead of giving it back to the system until it ends.

    Fetched anew, every page of it costs a fault and is filled with zeros: a tenth of the time of a training
    step on a CPU.

    Returns:
        Whether there is such a choice: the GNU C library has it.
    """
    if sys.platform != "linux":
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    return bool(set_option(_M_MMAP_MAX, 0) and set_option(_M_TRIM_THRESHOLD, _MOST))
