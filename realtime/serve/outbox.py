"""The bounded queue of one client: a client that is slow misses frames, and is sent away if it stays slow."""

import asyncio
from collections import deque

from realtime.serve.messages import Message, text_from_content

ROOM = 128
PATIENCE = 600


class Outbox:
    """Never waits when something is put; used on the thread of the server's loop only.

    When it is full, the oldest frame goes, or the oldest message where no frame waits, and is counted. The
    client is told how many it missed before it gets the next one.

    Args:
        wants_frames: otherwise only events are for this client.
        room: messages that may wait.
        patience: after so many missed since it had last caught up, the client is given up.
    """

    def __init__(self, *, wants_frames: bool = True, room: int = ROOM, patience: int = PATIENCE) -> None:
        self.wants_frames = wants_frames
        self.n_dropped = 0
        self.given_up = asyncio.Event()
        self._room = room
        self._patience = patience
        self._pending: deque[Message] = deque()
        self._changed = asyncio.Event()
        self._n_told = 0
        self._n_behind = 0
        self._has_ended = False

    def put(self, message: Message) -> None:
        """Let `message` be sent after all that waits."""
        if self._has_ended or (message.is_frame and not self.wants_frames):
            return
        if len(self._pending) >= self._room:
            self._drop_one()
        self._pending.append(message)
        self._changed.set()

    def end(self) -> None:
        """Nothing more will be put; what waits is still sent."""
        self._has_ended = True
        self._changed.set()

    async def take(self) -> Message | None:
        """The next message; None after the end."""
        while not self._pending:
            if self._has_ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        if self._n_told < self.n_dropped:
            n_new, self._n_told = self.n_dropped - self._n_told, self.n_dropped
            content = {"event": "dropped", "count": n_new, "total": self.n_dropped}
            # Whoever takes events alone has to know that some are missing.
            return Message(text_from_content(content), is_event=True)
        message = self._pending.popleft()
        if not self._pending:
            self._n_behind = 0
        return message

    @property
    def farewell(self) -> str:
        """Why the client was given up; at most 123 bytes, as a closing frame holds no more."""
        return f"too slow: {self.n_dropped} messages missed; come back on a faster connection"

    def _drop_one(self) -> None:
        oldest = next((at for at, waiting in enumerate(self._pending) if waiting.is_frame), 0)
        del self._pending[oldest]
        self.n_dropped += 1
        self._n_behind += 1
        if self._n_behind >= self._patience:
            self.given_up.set()
