"""Keys at a real terminal: a pseudo-terminal, with this program in front of it or behind."""

import os
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals here", allow_module_level=True)

import pty

PROJECT = Path(__file__).resolve().parents[3]

# Run in a session of its own, whose terminal is standard input. The child is not in front of it.
BEHIND = """
import os, sys, time
from realtime.keys import Keys

child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    keys = Keys(0, lambda key: None)
    os.write(1, b"ready")
    time.sleep(1.0)
    keys.close()
    os._exit(0)
_, status = os.waitpid(child, os.WUNTRACED)
if os.WIFSTOPPED(status):
    os.kill(child, 9)
    sys.exit(os.WSTOPSIG(status))
"""


def test_in_the_background_keys_are_left_to_whoever_is_in_front():
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(PROJECT)
        os.execv(sys.executable, [sys.executable, "-c", BEHIND])
    try:
        said = b""
        while b"ready" not in said:
            said += os.read(terminal, 1024)
        os.write(terminal, b"for another program\n")
        _, status = os.waitpid(process, 0)
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, "stopped by this signal"
