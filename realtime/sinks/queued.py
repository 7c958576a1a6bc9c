"""What goes to a network waits in a bounded queue, and leaves on a thread of its own."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

_CLOSE_LIMIT_S = 1.0
_NOTICE_GROWTH = 10


class Sender(Protocol[T_contra]):
    """Hands things to a receiver; may wait for it as long as it likes. Used by one thread at a time."""

    @property
    def name(self) -> str:
        """Who receives, for people."""

    def send(self, item: T_contra) -> None:
        """Hand one thing over. Whatever it raises means that this thing was not sent."""

    def close(self) -> None:
        """Give everything back."""


class QueuedOutlet(Generic[T]):
    """Never holds up whoever puts: when the queue is full, the oldest thing goes and is counted.

    A receiver that is dead, slow or stuck costs only what it misses. What could not be sent counts as
    dropped too.

    Args:
        sender: used, and in the end closed, on the outlet's own thread.
        room: how many things may wait.
    """

    def __init__(self, sender: Sender[T], room: int = 64) -> None:
        self._sender = sender
        self._room = room
        self._pending: deque[T] = deque()
        self._changed = threading.Condition()
        self._has_ended = False
        self._n_dropped = 0
        self._told_dropped = 0
        self._reason = ""
        self._thread = threading.Thread(target=self._work, name=f"outlet {sender.name}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """Who receives, for people."""
        return self._sender.name

    @property
    def n_dropped(self) -> int:
        """Things that were not sent so far."""
        with self._changed:
            return self._n_dropped

    def put(self, item: T) -> None:
        """Let `item` be sent after all that waits. Returns at once; after `close` it is dropped."""
        with self._changed:
            if self._has_ended:
                self._drop("it is closed")
                return
            if len(self._pending) >= self._room:
                self._pending.popleft()
                self._drop("the receiver is too slow")
            self._pending.append(item)
            self._changed.notify()

    def take_notices(self) -> list[str]:
        """A warning after the first thing dropped, and again whenever they have become ten times as many."""
        with self._changed:
            if self._n_dropped < max(1, _NOTICE_GROWTH * self._told_dropped):
                return []
            self._told_dropped = self._n_dropped
            return [f"{self.name}: {self._n_dropped} updates not sent so far ({self._reason})"]

    def close(self) -> None:
        """Send what waits, for at most a second; the rest is dropped. Closing twice is fine."""
        with self._changed:
            self._has_ended = True
            self._changed.notify()
        self._thread.join(_CLOSE_LIMIT_S)
        with self._changed:
            while self._pending:
                self._pending.popleft()
                self._drop("the receiver is too slow")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._has_ended)
                if not self._pending:
                    break
                item = self._pending.popleft()
            self._attempt(lambda item=item: self._sender.send(item))  # type: ignore[misc]
        self._attempt(self._sender.close, is_loss=False)

    def _attempt(self, call: Callable[[], None], *, is_loss: bool = True) -> None:
        try:
            call()
        # Whatever a network library comes up with, the live path goes on without this receiver.
        except Exception as error:
            if is_loss:
                with self._changed:
                    self._drop(str(error) or type(error).__name__)

    def _drop(self, reason: str) -> None:
        self._n_dropped += 1
        self._reason = reason
