"""An engine that goes on with another one when it fails, within the same call."""

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engines.backend import Engine, Inference
from engines.errors import EngineError

_LOGGER = logging.getLogger(__name__)


@runtime_checkable
class Notifying(Protocol):
    """Has something to tell the user now and then."""

    def take_notices(self) -> list[str]:
        """Warnings that were not handed over before, oldest first; each is returned once."""


class FallbackEngine:
    """Runs the primary engine until it fails once, the secondary from then on; see `engines.backend.Engine`.

    The window at which the primary fails is answered by the secondary: the stream misses nothing but time.

    Args:
        primary: the faster one.
        open_secondary: opens the other one; called when it is needed, and once.
    """

    def __init__(self, primary: Engine, open_secondary: Callable[[], Engine]) -> None:
        self._engine = primary
        self._open_secondary: Callable[[], Engine] | None = open_secondary
        self._notices: list[str] = []
        self._is_closed = False

    @property
    def name(self) -> str:
        """Name of the engine that runs now."""
        return self._engine.name

    def warm_up(self) -> None:
        """Warm up the engine that runs now, the secondary if the primary fails in this."""
        try:
            self._engine.warm_up()
        except EngineError as error:
            self._switch(error)

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
        """Close the engine that runs now."""
        self._is_closed = True
        self._engine.close()

    def __enter__(self) -> Self:
        """Return the engine itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _switch(self, error: EngineError) -> None:
        if self._is_closed or self._open_secondary is None:
            raise error
        failed, open_secondary = self._engine, self._open_secondary
        self._open_secondary = None
        try:
            self._engine = open_secondary()
        except EngineError as second:
            raise EngineError(
                f"{failed.name} failed ({error}), and so did what should replace it: {second}"
            ) from error
        self._notices.append(f"{failed.name} failed ({error}); going on with {self._engine.name}")
        try:
            failed.close()
        except EngineError as closing:
            _LOGGER.debug("%s could not be closed: %s", failed.name, closing)
        self._engine.warm_up()
