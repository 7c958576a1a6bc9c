"""How many threads an inference gets."""

import os


def n_cores() -> int:
    """Cores that this process may use: fewer than the machine has, where it is bound to some."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_n_threads() -> int:
    """As many as there are cores, two at most, because one window does not gain from more."""
    return min(2, n_cores())
