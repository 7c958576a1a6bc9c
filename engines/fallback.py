"""An engine that goes on with another one when it fails, within the same call."""

import logging
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engines.backend import Engine, Inference
from engines.closing import Closing
from engines.errors import EngineError

_LOGGER = logging.getLogger(__name__)


@runtime_checkable
class Notifying(Protocol):
    """Has something to tell the user now and then."""

    def take_notices(self) -> list[str]:
        """Warnings that were not handed over before, oldest first; each is returned once."""


class FallbackEngine(Closing):
    """Runs the primary engine until it fails once, the secondary from then on; see `engines.backend.Engine`.

    The window at which the primary fails is answered by the secondary. After `warm_up` that one stands by,
    open and warm, so that it answers in its own time; without, it is opened when it is needed.

    Args:
        primary: the faster one.
        open_secondary: opens the other one; called once, unless that fails.
    """

    def __init__(self, primary: Engine, open_secondary: Callable[[], Engine]) -> None:
        self._engine = primary
        self._open_secondary = open_secondary
        self._standby: Engine | None = None
        self._has_switched = False
        self._notices: list[str] = []
        self._is_closed = False

    @property
    def name(self) -> str:
        """Name of the engine that runs now."""
        return self._engine.name

    def warm_up(self) -> None:
        """Warm up the engine that runs now, and let the secondary stand by."""
        try:
            self._engine.warm_up()
        except EngineError as error:
            self._switch(error)
        if self._has_switched or self._standby is not None:
            return
        try:
            self._standby = self._opened()
        except EngineError as error:
            self._notices.append(f"nothing stands by in case {self.name} fails: {error}")

    def infer(self, windows: NDArray[np.float32]) -> Inference:
        """Run windows, (B, 16000) float32, on the primary, or after its first failure on the secondary.

        Raises:
            EngineError: the engine is closed, or the secondary failed or cannot be opened.
        """
        try:
            return self._engine.infer(windows)
        except EngineError as error:
            self._switch(error)
        return self._engine.infer(windows)

    def take_notices(self) -> list[str]:
        """See `Notifying`."""
        notices, self._notices = self._notices, []
        return notices

    def close(self) -> None:
        """Close the engine that runs now, and the one that stands by."""
        self._is_closed = True
        if self._standby is not None:
            self._standby.close()
        self._engine.close()

    def _switch(self, error: EngineError) -> None:
        if self._is_closed or self._has_switched:
            raise error
        failed = self._engine
        try:
            self._engine = self._standby or self._opened()
        except EngineError as second:
            raise EngineError(
                f"{failed.name} failed ({error}), and so did what should replace it: {second}"
            ) from error
        self._has_switched, self._standby = True, None
        self._notices.append(f"{failed.name} failed ({error}); going on with {self._engine.name}")
        try:
            failed.close()
        except EngineError as closing:
            _LOGGER.debug("%s could not be closed: %s", failed.name, closing)

    def _opened(self) -> Engine:
        engine = self._open_secondary()
        try:
            engine.warm_up()
        except BaseException:
            engine.close()
            raise
        return engine
