"""A stream that the sound server moves to another microphone, as it does when that becomes the default."""

import logging
import os
import sys
import threading
from collections import deque
from typing import Any

# What PortAudio calls the devices behind which the sound server chooses.
SERVER_DEVICES = ("default", "pulse", "pipewire")
_EVERY_S = 0.4
_LOGGER = logging.getLogger(__name__)


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
            import pulsectl  # This asks the linker for libpulse, a tenth of a second in a thread of its own.
        except (ImportError, OSError):  # OSError: libpulse is not installed.
            return
        try:
            with pulsectl.Pulse("breath", connect=False) as server:
                # Without a limit, because this library waits one out; a server that is stuck holds up nobody.
                server.connect(autospawn=False)
                before: dict[int, tuple[int, str]] = {}
                while not self._is_over.wait(_EVERY_S):
                    before = self._compare(before, server)
        except Exception as error:
            # Whatever a server says that goes away, in the words of libpulse or in the library's own.
            _LOGGER.debug("the sound server is not watched any more: %s", error)

    def _compare(self, before: dict[int, tuple[int, str]], server: Any) -> dict[int, tuple[int, str]]:
        """Index and description of the source of each of our streams, by the stream's index."""
        heard: dict[int, tuple[int, str]] = {}
        for stream, source in _heard_sources(server).items():
            if stream in before and before[stream][0] == source:
                heard[stream] = before[stream]
                continue
            heard[stream] = source, _description(server, source)
            if stream in before:
                self._notices.append(
                    f"{heard[stream][1]!r} is heard now, and no longer {before[stream][1]!r}: the sound "
                    "server does so when another microphone becomes the default"
                )
        return heard


def _heard_sources(server: Any) -> dict[int, int]:
    """Index of the source by that of each stream of this process."""
    mine = str(os.getpid())
    streams = server.source_output_list()
    return {one.index: one.source for one in streams if one.proplist.get("application.process.id") == mine}


def _description(server: Any, source: int) -> str:
    """What people call a source."""
    return next((one.description for one in server.source_list() if one.index == source), f"source {source}")
