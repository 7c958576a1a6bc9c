"""Where calls are made that one thread makes for another."""

import gc
import os
import sys
import threading
import time
import weakref

import pytest

from engines import threads
from engines.errors import EngineError
from engines.threads import keep_off_this_core, run_on
from engines.worker import SameThreadWorker, ThreadWorker

ON_SEVERAL_CORES_OF_LINUX = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs Linux, and two cores"
)


@pytest.fixture
def worker():
    with_cores = ThreadWorker("elsewhere", is_elsewhere=True)
    yield with_cores
    with_cores.end()


@pytest.fixture
def bind():
    """Bind this thread to cores, until the test is over."""
    allowed = os.sched_getaffinity(0)
    yield lambda cores: os.sched_setaffinity(0, cores)
    os.sched_setaffinity(0, allowed)


@ON_SEVERAL_CORES_OF_LINUX
def test_a_sleeping_thread_is_kept_off_this_core(bind):
    one, other, *_ = sorted(os.sched_getaffinity(0))
    may_end = threading.Event()
    sleeper = threading.Thread(target=may_end.wait)
    sleeper.start()
    bind({one, other})
    for _ in range(20):
        before = threads._libc().sched_getcpu()
        assert keep_off_this_core(sleeper.native_id) == {one, other}
        if threads._libc().sched_getcpu() == before:
            assert os.sched_getaffinity(sleeper.native_id) == {one, other} - {before}
    bind({one})
    assert keep_off_this_core(sleeper.native_id) == {one}
    assert os.sched_getaffinity(sleeper.native_id) == {one}, "there is no other"
    may_end.set()
    sleeper.join()


@ON_SEVERAL_CORES_OF_LINUX
def test_a_call_may_go_on_wherever_its_caller_may(worker, bind):
    one, other, *_ = sorted(os.sched_getaffinity(0))
    for cores in ({one, other}, {one}, {other}):
        bind(cores)
        # Twice: the second finds it asleep for certain.
        for _ in range(2):
            assert worker.submit(lambda: os.sched_getaffinity(0)).result(timeout=10) == cores
            while not worker._is_idle:
                time.sleep(0.001)


def test_where_the_system_does_not_allow_it_nothing_happens(monkeypatch):
    def refuse(*_):
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(os, "sched_setaffinity", refuse, raising=False)
        assert keep_off_this_core(threading.get_native_id()) == frozenset()
        run_on(frozenset({0}))
    with monkeypatch.context() as patched:
        patched.setattr(threads, "_libc", object)
        assert keep_off_this_core(threading.get_native_id()) == frozenset()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert keep_off_this_core(threading.get_native_id()) == frozenset()
    run_on(frozenset({0}))


def test_where_no_thread_can_be_started_each_call_says_so(worker, monkeypatch):
    def refuse(_self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(2):
            with pytest.raises(EngineError, match="can't start new thread"):
                worker.submit(lambda: 1).result(timeout=10)
    assert worker.submit(lambda: 1).result(timeout=10) == 1


def test_after_the_end_a_call_says_so():
    worker = ThreadWorker("test")
    worker.end()
    with pytest.raises(EngineError, match="ended"):
        worker.submit(lambda: 1).result(timeout=10)


def test_an_interruption_of_this_thread_is_no_result():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SameThreadWorker().submit(interrupt)


def test_a_call_that_failed_is_not_kept_alive(worker):
    class Big:
        def call(self):
            raise ValueError

    big = Big()
    is_there = weakref.ref(big)
    gc.disable()
    try:
        failed = worker.submit(big.call)
        assert failed.exception(timeout=10) is not None
        worker.submit(lambda: None).result(timeout=10)
        del failed, big
        assert is_there() is None
    finally:
        gc.enable()


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
