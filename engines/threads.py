"""How many threads an inference gets, and on which cores they run."""

import functools
import os
import sys
from contextlib import suppress
from typing import Any


def n_cores() -> int:
    """Cores that this process may use: fewer than the machine has, where it is bound to some."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_n_threads() -> int:
    """As many as there are cores, two at most, because one window does not gain from more."""
    return min(2, n_cores())


def keep_off_this_core(thread_id: int) -> frozenset[int]:
    """Let another thread, which sleeps and is about to be woken, begin on another core than this one.

    Linux may wake a thread on the core of whoever woke it, where it waits for its turn while another core
    sleeps on; in virtual machines of two cores it often does. Elsewhere, and where it is not allowed, nothing
    happens.

    Args:
        thread_id: as `threading.Thread.native_id` has it.

    Returns:
        The cores that the calling thread may use; the other one should take them with `run_on` as soon as it
        is awake, lest it wait for one core when others have become free.
    """
    if sys.platform != "linux":
        return frozenset()
    try:
        cores = os.sched_getaffinity(0)
        others = cores - {_libc().sched_getcpu()}
        os.sched_setaffinity(thread_id, others or cores)
    except (OSError, AttributeError, ImportError):
        return frozenset()
    return frozenset(cores)


def run_on(cores: frozenset[int]) -> None:
    """Let the calling thread run on these cores, if there are any."""
    if sys.platform == "linux" and cores:
        with suppress(OSError):
            os.sched_setaffinity(0, cores)


@functools.cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None)
