"""How processes that help behave: they leave interruptions to their parent, and never outlive it."""

import multiprocessing
import os
import signal
import threading
from multiprocessing import connection


def start_worker() -> None:
    """Call it first in a worker, as the `initializer` of its pool."""
    # Ctrl-C reaches the whole group: the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A killed parent cannot stop its workers, and they would wait for work for ever.
        threading.Thread(target=_leave_with, args=(parent.sentinel,), daemon=True).start()


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _leave_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
