"""What was said, as objects: kept until it is taken, and told to whoever asked to be called."""

import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

from engines.errors import ConfigError
from realtime.events import Frame, PhaseEvent, Report
from realtime.pipeline import Step
from realtime.sinks.base import Sink, Status

_LOGGER = logging.getLogger(__name__)

Event = PhaseEvent | Report
Callback = Callable[[Any], object]


def check_callback(kind: object, callback: object) -> None:
    """See that `callback` can be called with the objects of `kind`.

    Raises:
        ConfigError: `kind` is no class, or `callback` is no function, or one that would have to be awaited.
    """
    if not isinstance(kind, type):
        raise ConfigError(f"on() takes the class to be called back with, such as Breath, not {kind!r}")
    if not callable(callback):
        raise ConfigError(f"on() takes a function to call back, not {callback!r}")
    if inspect.iscoroutinefunction(callback):
        raise ConfigError(
            f"on() calls back and awaits nothing, so {callback!r} would never run; give a plain function, or "
            "use `async for`"
        )


class Collector(Sink):
    """A `Sink` for programs in Python.

    A frame comes before the event that it brings. Notices are logged as warnings. What a callback raises is
    raised by `take`: the sound that is being heard is heard to its end first.

    Args:
        callbacks: pairs of a class and what is called, at once, with every object of that class. The
            sequence may grow and shrink meanwhile.
        with_frames: keep frames too, and not only events.
    """

    def __init__(
        self, callbacks: Sequence[tuple[type[Any], Callback]] = (), *, with_frames: bool = False
    ) -> None:
        self._callbacks = callbacks
        self._with_frames = with_frames
        self._kept: list[Event | Frame] = []
        self._error: Exception | None = None

    def clear(self) -> None:
        """Forget what has come, and what a callback raised."""
        self._kept, self._error = [], None

    def take(self) -> list[Event | Frame]:
        """What has come since the last call, oldest first; the first error of a callback instead, if any."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        taken, self._kept = self._kept, []
        return taken

    def show(self, step: Step, status: Status) -> None:
        """See `Sink`."""
        self._hear(step.frame, is_kept=self._with_frames)
        if step.event is not None:
            self._hear(step.event)

    def report(self, event: Event) -> None:
        """See `Sink`."""
        self._hear(event)

    def notice(self, text: str) -> None:
        """See `Sink`."""
        _LOGGER.warning("%s", text)

    def _hear(self, said: Event | Frame, *, is_kept: bool = True) -> None:
        if is_kept:
            self._kept.append(said)
        for kind, callback in tuple(self._callbacks):
            if isinstance(said, kind):
                try:
                    callback(said)
                except Exception as error:
                    self._error = self._error or error
