"""A stream that the sound server moves to another microphone, as it does when that becomes the default."""

import os
import sys
import threading
from collections import deque
from typing import Any

# What PortAudio calls the devices behind which the sound server chooses.
SERVER_DEVICES = ("default", "pulse", "pipewire")
_EVERY_S = 0.4


def can_be_moved(device_name: str) -> bool:
    """Whether PulseAudio, or PipeWire in its place, decides which microphone is heard through this device."""
    return sys.platform == "linux" and device_name in SERVER_DEVICES


class MovedStream:
    """Asks the sound server every 0.4 s which microphone this process hears, until it is closed.

    Without a sound server, or without its library, there is nothing to tell. A server that goes away ends it:
    the stream ends too, and whoever opens another watches anew.
    """

    def __init__(self) -> None:
        self._notices: deque[str] = deque()
        self._is_over = threading.Event()
        threading.Thread(target=self._watch, name="moved stream", daemon=True).start()

    def take_notices(self) -> list[str]:
        """In words, what has changed since the last call."""
        return [self._notices.popleft() for _ in range(len(self._notices))]

    def close(self) -> None:
        """Ask no more; the thread ends by itself."""
        self._is_over.set()

    def _watch(self) -> None:
        try:
            import pulsectl
        except (ImportError, OSError):  # OSError: libpulse is not installed.
            return
        try:
            with pulsectl.Pulse("breath", connect=False) as server:
                # Without a limit, because this library waits one out; a server that is stuck holds up nobody.
                server.connect(autospawn=False)
                before, its_words = None, ""
                while not self._is_over.wait(_EVERY_S):
                    heard = _heard_source(server)
                    # None: between two streams, or not known.
                    if heard is None or heard == before:
                        continue
                    words = _description(server, heard)
                    if before is not None:
                        self._notices.append(
                            f"{words!r} is heard now, and no longer {its_words!r}: the sound server does so "
                            "when another microphone becomes the default"
                        )
                    before, its_words = heard, words
        except pulsectl.PulseError:
            return


def _heard_source(server: Any) -> int | None:
    """Index of the source that the newest stream of this process records from; None without one."""
    mine = str(os.getpid())
    heard: int | None = None
    for stream in server.source_output_list():
        if stream.proplist.get("application.process.id") == mine:
            heard = stream.source
    return heard


def _description(server: Any, source: int) -> str:
    """What people call a source."""
    return next((one.description for one in server.source_list() if one.index == source), f"source {source}")
