"""How processes that help behave: they leave interruptions to their parent, and never outlive it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import TypeVar

from engines.errors import OutputError

Item = TypeVar("Item")
Result = TypeVar("Result")


def start_worker() -> None:
    """Call it first in a worker, as the `initializer` of its pool."""
    # Ctrl-C reaches the whole group: the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A killed parent cannot stop its workers, and they would wait for work for ever.
        threading.Thread(target=_leave_with, args=(parent.sentinel,), daemon=True).start()


def run_in_processes(
    run: Callable[[Item], Result], items: Sequence[Item], workers: int, what: str
) -> Generator[Result, None, None]:
    """Run a function on every item, and give the results as they are finished; close it to stop early.

    Args:
        run: a function of a module, or a partial one, as it is pickled.
        items: what to run it on.
        workers: processes; 1 runs in this one.
        what: is being made, for the message if a worker dies.

    Raises:
        OutputError: a worker died.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(run, items)
        return
    # Spawned, not forked: a forked torch or OpenMP may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker)
    try:
        waiting: set[Future[Result]] = {pool.submit(run, item) for item in items}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool as error:
        raise OutputError(
            f"a worker died while making {what} (out of memory, or the disk is full); "
            "run the same command again to go on, with fewer --workers if memory is short"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
