"""A stream that the sound server moves to another microphone: another is the default, or this one is gone."""

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable
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

    Args:
        expected: the server's own name of the source that is heard at first; None: not known.
        is_chosen: that one is to be heard and no other.
    """

    def __init__(self, expected: str | None = None, *, is_chosen: bool = False) -> None:
        self._expected = expected
        self._is_chosen = is_chosen
        self._notices: deque[str] = deque()
        self._is_over = threading.Event()
        self._has_left = threading.Event()
        threading.Thread(target=self._watch, name="moved stream", daemon=True).start()

    def take_notices(self) -> list[str]:
        """In words, what has changed since the last call."""
        return [self._notices.popleft() for _ in range(len(self._notices))]

    @property
    def has_left_chosen(self) -> bool:
        """Whether the stream was on the microphone that was chosen, and is on another now."""
        return self._has_left.is_set()

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
                is_to_check = self._expected is not None
                while not (self._has_left.is_set() or self._is_over.wait(_EVERY_S)):
                    is_to_check = is_to_check and not self._checked(server)
                    before = (
                        self._look_after(before, server) if self._is_chosen else self._compare(before, server)
                    )
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

    def _checked(self, server: Any) -> bool:
        """Tell, once something is heard, when it is not what was expected; whether something is heard."""
        heard, named = _heard_and_named(server)
        if heard and self._expected in named and self._expected not in {one.name for one in heard.values()}:
            self._notices.append(
                f"{_listed(heard.values())} is heard, and not {named[self._expected].description!r}: "
                "so it is set for this program in the sound server, or in ALSA"
            )
        return bool(heard)

    def _look_after(self, before: dict[int, tuple[int, str]], server: Any) -> dict[int, tuple[int, str]]:
        """As `_compare`, of those streams that are on the source that was chosen, or have been there."""
        heard, named = _heard_and_named(server)
        there = {stream: one for stream, one in heard.items() if one.name == self._expected}
        left = [heard[stream] for stream in before.keys() & heard.keys() - there.keys()]
        if self._expected not in named:
            left = left or list(heard.values())
        if left:
            was = next((words for _, words in before.values()), self._expected)
            self._notices.append(f"the sound server has put {_listed(left)} in the place of {was!r}")
            self._has_left.set()
        return before | {stream: (one.index, one.description) for stream, one in there.items()}


def _heard_sources(server: Any) -> dict[int, int]:
    """Index of the source by that of each stream of this process."""
    mine = str(os.getpid())
    streams = server.source_output_list()
    return {one.index: one.source for one in streams if one.proplist.get("application.process.id") == mine}


def _heard_and_named(server: Any) -> tuple[dict[int, Any], dict[str, Any]]:
    """The source of each stream of this process, by the stream's index; and all sources by their names."""
    # In this order: a source that is gone is none that is heard.
    heard = _heard_sources(server)
    sources = {one.index: one for one in server.source_list()}
    # A stream that is just being moved is on none.
    on_sources = {stream: sources[index] for stream, index in heard.items() if index in sources}
    return on_sources, {one.name: one for one in sources.values()}


def _listed(sources: Iterable[Any]) -> str:
    return " and ".join(sorted({repr(one.description) for one in sources}))


def _description(server: Any, source: int) -> str:
    """What people call a source."""
    return next((one.description for one in server.source_list() if one.index == source), f"source {source}")
