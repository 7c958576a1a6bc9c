"""breath-live serve as a process, for the end-to-end tests."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

LIVE = [sys.executable, "-X", "faulthandler", "-m", "realtime.cli"]
TIMEOUT_S = 240


@dataclass
class ServeProcess:
    """A running server.

    Attributes:
        process: the process.
        url: what it printed, with the token if there is one.
        base: the same without path and token.
    """

    process: subprocess.Popen
    url: str
    base: str

    def end(self) -> int:
        """Press Ctrl-C, and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            # Where it hangs: see `faulthandler`.
            self.process.send_signal(signal.SIGABRT)
            raise AssertionError(f"Ctrl-C does not end it: {self.process.communicate()[1]}") from None


def environment() -> dict[str, str]:
    """Of a process without settings of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("BREATH_")}
    return env | {"XDG_CONFIG_HOME": os.devnull}


def _listen_to_ctrl_c() -> None:
    # Where the tests run in the background of a shell, they ignore it, and so would their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def serve_process(*arguments: object) -> Iterator[ServeProcess]:
    """Start `breath-live serve` at a free port, and end it."""
    command = [*LIVE, "serve", "--port", "0", *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command,
            env=environment(),
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_listen_to_ctrl_c,
        )
        try:
            said = ""
            while "http://" not in said:
                line = process.stderr.readline()
                if not line:
                    raise AssertionError(f"the server did not start: {said}")
                said += line
            url = next(word for word in said.split() if word.startswith("http://"))
            yield ServeProcess(process, url, url.partition("/?")[0].rstrip("/"))
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()
