"""Where calls are made that one thread makes for another."""

import os
import sys
import threading
import time

import pytest

from engines import threads
from engines.threads import keep_off_this_core
from engines.worker import SameThreadWorker, ThreadWorker

ON_SEVERAL_CORES_OF_LINUX = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs Linux, and two cores"
)


@pytest.fixture
def worker():
    with_cores = ThreadWorker("elsewhere", is_elsewhere=True)
    yield with_cores
    with_cores.end()


@ON_SEVERAL_CORES_OF_LINUX
def test_a_call_begins_on_another_core_while_this_one_is_busy(worker):
    for _ in range(20):
        done = worker.submit(threads._libc().sched_getcpu)
        here = threads._libc().sched_getcpu()
        allowed = worker.submit(lambda: os.sched_getaffinity(0)).result()
        assert done.result() in os.sched_getaffinity(0)
        assert len(allowed) == len(os.sched_getaffinity(0)) - 1
        # This thread may have been moved since.
        if threads._libc().sched_getcpu() == here:
            assert done.result() != here


@ON_SEVERAL_CORES_OF_LINUX
def test_a_caller_that_is_bound_to_cores_binds_its_thread_to_the_others(worker):
    allowed = os.sched_getaffinity(0)
    one, other = sorted(allowed)[:2]
    try:
        for here, elsewhere in (({one}, None), ({one, other}, {one, other})):
            os.sched_setaffinity(0, here)
            bound_to = worker.submit(lambda: os.sched_getaffinity(0)).result()
            if elsewhere is None:
                # Where there is no other core nothing is changed.
                assert bound_to
            else:
                assert bound_to < elsewhere
    finally:
        os.sched_setaffinity(0, allowed)
    assert os.sched_getaffinity(0) == allowed


def test_where_the_system_does_not_allow_it_nothing_happens(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse, raising=False)
    keep_off_this_core(threading.get_native_id())
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    keep_off_this_core(threading.get_native_id())


def fail():
    raise ValueError("no")


@pytest.mark.parametrize("kind", [SameThreadWorker, lambda: ThreadWorker("test")])
def test_a_call_gives_its_result_or_its_error(kind):
    worker = kind()
    assert worker.submit(lambda: 3).result(timeout=10) == 3
    with pytest.raises(ValueError, match="no"):
        worker.submit(fail).result(timeout=10)
    assert worker.submit(lambda: 4).result(timeout=10) == 4
    worker.end()


def test_the_same_thread_makes_a_call_at_once():
    calls = []
    SameThreadWorker().submit(lambda: calls.append(threading.get_ident()))
    assert calls == [threading.get_ident()]


def test_another_thread_makes_its_calls_in_turn():
    worker, calls = ThreadWorker("test"), []
    first = worker.submit(lambda: (time.sleep(0.05), calls.append(1)))
    second = worker.submit(lambda: calls.append(2))
    second.result(timeout=10)
    assert first.done()
    assert calls == [1, 2]
    worker.end()
