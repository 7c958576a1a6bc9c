"""How many threads an inference gets, and on which cores they run."""

import ctypes
import functools
import os
import sys
from contextlib import suppress


def n_cores() -> int:
    """Cores that this process may use: fewer than the machine has, where it is bound to some."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_n_threads() -> int:
    """As many as there are cores, two at most, because one window does not gain from more."""
    return min(2, n_cores())


def keep_off_this_core(thread_id: int) -> None:
    """Let a thread run wherever the calling one may, but for the core that this one is on right now.

    Linux may wake a thread on the core of whoever woke it, where it waits for its turn while another core
    sleeps on; in virtual machines of two cores it often does. Elsewhere, and where it is not allowed, nothing
    happens.

    Args:
        thread_id: as `threading.Thread.native_id` has it; it is about to be woken.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        cores = os.sched_getaffinity(0)
        others = cores - {_libc().sched_getcpu()}
        if others:
            os.sched_setaffinity(thread_id, others)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
