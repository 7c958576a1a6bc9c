"""Each case is a process of its own: signals are the process's."""

import signal
import subprocess
import sys
import threading

import pytest

from realtime.endable import call_endable

POSIX = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no timer for it")
BEGIN = """
import os, signal, sys, time
from realtime.endable import call_endable
signal.signal(signal.SIGINT, signal.default_int_handler)
"""


def run(body, *, module="", folder, arguments=()):
    (folder / "greedy.py").write_text(module)
    return subprocess.run(
        [sys.executable, "-c", BEGIN + body, *arguments],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


ASK = "os.kill(os.getpid(), getattr(signal, sys.argv[1]))"
CALL = """
def work():
    import greedy
    time.sleep(30)
try:
    call_endable(work, sys.argv[1:])
except BaseException as error:
    print(repr(error))
"""
SWALLOW = f"""
import os, signal, sys, time
try:
    {ASK}
    time.sleep(0.1)
except BaseException:
    print("swallowed")
print("imported")
"""


@POSIX
@pytest.mark.parametrize(
    ("name", "error"), [("SIGINT", "KeyboardInterrupt()"), ("SIGTERM", f"SystemExit({128 + signal.SIGTERM})")]
)
def test_an_import_does_not_lose_the_signal(tmp_path, name, error):
    done = run(CALL, module=SWALLOW, folder=tmp_path, arguments=[name])
    assert done.stdout.splitlines() == ["imported", error]
    assert done.stderr == ""


@POSIX
def test_an_import_that_hangs_is_ended_by_the_second_signal(tmp_path):
    hanging = f"import os, signal, sys, time\n{ASK}\n{ASK}\ntime.sleep(30)\n"
    done = run(CALL, module=hanging, folder=tmp_path, arguments=["SIGINT"])
    assert done.stdout.splitlines() == ["KeyboardInterrupt()"]


@POSIX
def test_a_program_that_is_itself_being_imported_is_ended_at_once(tmp_path):
    nested = f"""
import os, signal, sys, time
from realtime.endable import call_endable
def work():
    {ASK}
    time.sleep(30)
call_endable(work, sys.argv[1:])
"""
    done = run(
        "try:\n    import greedy\nexcept BaseException as error:\n    print(repr(error))",
        module=nested, folder=tmp_path, arguments=["SIGINT"],
    )  # fmt: skip
    assert done.stdout.splitlines() == ["KeyboardInterrupt()"]


def test_what_is_ignored_stays_so(tmp_path):
    body = f"""
signal.signal(signal.SIGINT, signal.SIG_IGN)
print(call_endable(lambda: {ASK}, sys.argv[1:]))
"""
    done = run(body, folder=tmp_path, arguments=["SIGINT"])
    assert done.stdout.splitlines() == ["None"]


def test_everything_is_as_before_afterwards(tmp_path):
    body = """
def handlers():
    return [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)]
before = handlers()
within = call_endable(handlers, sys.argv[1:])
print(any(one is other for one, other in zip(before, within)))
print(handlers() == before)
"""
    done = run(body, folder=tmp_path, arguments=["SIGINT", "SIGTERM", "SIGNONE"])
    assert done.stdout.splitlines() == ["False", "True"]


def test_other_threads_change_nothing():
    before = signal.getsignal(signal.SIGTERM)
    seen = []
    work = threading.Thread(
        target=lambda: call_endable(lambda: seen.append(signal.getsignal(signal.SIGTERM)), ["SIGTERM"])
    )
    work.start()
    work.join()
    assert seen == [before]
