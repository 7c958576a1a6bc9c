"""Between the live path and the clients: takes messages on any thread, hands them out on one."""

import asyncio
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from realtime.serve.messages import PROTOCOL, Message, session_message, text_from_content
from realtime.serve.outbox import Outbox

_ROOM = 1024
_HISTORY = 400
MOST_CLIENTS = 32


@dataclass
class Picture:
    """What the newest state is, for those who ask. Written under the hub's lock.

    Attributes:
        session: facts of the session that runs; None: none does.
        frame: JSON of the newest one, without waveform and spectrum; empty: none yet.
        health: conditions that are wrong now, each with its advice.
    """

    session: dict[str, Any] | None = None
    frame: str = ""
    health: dict[str, str] = field(default_factory=dict)


class Hub:
    """One for the whole run. `post` never waits: should the loop be stuck, the oldest messages go.

    Args:
        about: what stays the same: goes into `hello` and the status.
        most_clients: so many may be there at the same time.
    """

    def __init__(self, about: dict[str, Any], most_clients: int = MOST_CLIENTS) -> None:
        self.most_clients = most_clients
        self._about = about
        self._lock = threading.Lock()
        self._inbox: deque[Message] = deque()
        self._is_waking = False
        self._n_lost = 0
        self._picture = Picture()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._history: deque[Message] = deque(maxlen=_HISTORY)
        self._outboxes: set[Outbox] = set()
        self._n_given_up = 0

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop that hands the messages out; those that came before follow at once."""
        with self._lock:
            self._loop = loop
            self._wake()

    def unbind(self) -> None:
        """The loop ends: what is posted from now on goes nowhere."""
        with self._lock:
            self._loop = None

    def post(self, message: Message) -> None:
        """Hand a message to every client. For any thread; returns at once."""
        with self._lock:
            if len(self._inbox) >= _ROOM:
                self._inbox.popleft()
                self._n_lost += 1
            self._inbox.append(message)
            if message.is_frame:
                self._picture.frame = message.plain
            self._wake()

    def begin_session(self, facts: dict[str, Any]) -> None:
        """A session begins: what was kept of the one before is forgotten."""
        with self._lock:
            self._picture = Picture(session=facts)
        self.post(session_message("begins", facts))

    def end_session(self) -> None:
        """The session has ended; its newest frame stays."""
        with self._lock:
            facts = self._picture.session
            self._picture.session = None
            self._picture.health = {}
        if facts is not None:
            self.post(session_message("ends", {"source": facts["source"]}))

    def set_health(self, condition: str, advice: str | None) -> None:
        """A condition begins with this advice, or ends (None)."""
        with self._lock:
            if advice is None:
                self._picture.health.pop(condition, None)
            else:
                self._picture.health[condition] = advice

    def status(self) -> str:
        """JSON of how things stand: what is in `hello`, the newest frame, health, clients. On the loop."""
        with self._lock:
            picture, n_lost = self._picture, self._n_lost
            rest = {
                "session": picture.session,
                "health": picture.health,
                "n_clients": len(self._outboxes),
                "n_dropped": n_lost + sum(outbox.n_dropped for outbox in self._outboxes),
                "n_given_up": self._n_given_up,
            }
            text = text_from_content({**self._about, **rest})
            return f'{text[:-1]},"frame":{picture.frame or "null"}}}'

    @property
    def has_room(self) -> bool:
        """Whether another client may come. On the loop."""
        return len(self._outboxes) < self.most_clients

    def join(self, outbox: Outbox, *, is_greeted: bool = True) -> None:
        """A client comes. On the loop.

        Args:
            outbox: gets everything that happens from now on.
            is_greeted: whether it gets `hello`, with what has happened so far, before.
        """
        if is_greeted:
            with self._lock:
                # What is wrong may have begun before all that is kept.
                now = {"session": self._picture.session, "health": dict(self._picture.health)}
            hello = {"event": "hello", "protocol": PROTOCOL, **self._about, **now}
            kept = ",".join(message.text for message in self._history)
            outbox.put(Message(f'{text_from_content(hello)[:-1]},"history":[{kept}]}}'))
        self._outboxes.add(outbox)

    def leave(self, outbox: Outbox) -> None:
        """A client is gone. On the loop."""
        self._outboxes.discard(outbox)
        self._n_given_up += outbox.given_up.is_set()

    def end(self, reason: str) -> None:
        """The server ends: clients get what waits, the reason, and nothing more. On the loop."""
        self._deliver()
        farewell = Message(text_from_content({"event": "end", "reason": reason}))
        for outbox in self._outboxes:
            outbox.put(farewell)
            outbox.end()

    def _wake(self) -> None:
        if self._loop is not None and self._inbox and not self._is_waking:
            try:
                self._loop.call_soon_threadsafe(self._deliver)
                self._is_waking = True
            except RuntimeError:
                # The loop was closed before it was unbound: nobody is left to hand anything to.
                self._loop = None

    def _deliver(self) -> None:
        with self._lock:
            self._is_waking = False
            messages = list(self._inbox)
            self._inbox.clear()
        for message in messages:
            if message.begins_session:
                self._history.clear()
            if message.is_kept:
                self._history.append(message)
            for outbox in self._outboxes:
                outbox.put(message)
