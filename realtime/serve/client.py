"""One client of the WebSocket: messages go out, and what it says comes in."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from aiohttp import ClientConnectionError, WSMsgType, web

from engines.errors import BreathError, ConfigError
from realtime.serve.browser_source import BrowserSource
from realtime.serve.host import Host
from realtime.serve.messages import Message, text_from_content
from realtime.serve.outbox import Outbox

_log = logging.getLogger(__name__)

_TOO_SLOW = 1013
_GOING_AWAY = 1001
_FAILED = 1011
_ALIVE_S = 10.0
_ALIVE = text_from_content({"event": "alive"})
_CLOSE_LIMIT_S = 5.0
_MARK_DISTANCE_S = 0.2


class OpenMicrophone(msgspec.Struct, frozen=True, tag_field="type", tag="microphone_open"):
    """Binary messages with samples will follow, mono, little-endian."""

    rate_hz: int
    format: Literal["float32", "int16"] = "float32"


class LostSamples(msgspec.Struct, frozen=True, tag_field="type", tag="microphone_lost"):
    """So many samples are missing before the next binary message."""

    samples: Annotated[int, msgspec.Meta(ge=1)]


class CloseMicrophone(msgspec.Struct, frozen=True, tag_field="type", tag="microphone_close"):
    """No more samples will follow."""


class MarkNow(msgspec.Struct, frozen=True, tag_field="type", tag="mark"):
    """This moment is to be marked, for everybody; less than 0.2 s after another it is passed over."""


class CalibrateNow(msgspec.Struct, frozen=True, tag_field="type", tag="calibrate"):
    """Four seconds of quiet, then six of breathing set the gate, for everybody, until the session ends."""


Wish = OpenMicrophone | LostSamples | CloseMicrophone | MarkNow | CalibrateNow
_decode = msgspec.json.Decoder(Wish).decode


class Client:
    """Lives as long as its connection. Used on the thread of the server's loop only.

    Args:
        socket: prepared.
        outbox: what is to be sent.
        host: takes its microphone, and its marks.
        cut: ends a connection through which nothing goes any more.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        outbox: Outbox,
        host: Host,
        cut: Callable[[], None],
    ) -> None:
        self._socket = socket
        self._outbox = outbox
        self._host = host
        self._cut = cut
        self._source: BrowserSource | None = None
        self._next_mark_s = 0.0

    async def run(self) -> None:
        """Serve it until it leaves, is given up, or the server ends."""
        tasks = [
            asyncio.create_task(self._send()),
            asyncio.create_task(self._receive()),
            asyncio.create_task(self._outbox.given_up.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._source is not None:
                self._source.end()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            failures = [
                result
                for result in results
                if isinstance(result, Exception) and not isinstance(result, ConnectionError)
            ]
            for failure in failures:
                _log.error("a client of the server failed", exc_info=failure)
        if self._outbox.given_up.is_set():
            await self._close(_TOO_SLOW, self._outbox.farewell)
        elif failures:
            await self._close(_FAILED, "this client met a fault of the server; connect again")
        else:
            await self._close(_GOING_AWAY, "the server ends")

    async def _send(self) -> None:
        with contextlib.suppress(ClientConnectionError, ConnectionError):
            while True:
                try:
                    async with asyncio.timeout(_ALIVE_S):
                        message = await self._outbox.take()
                except TimeoutError:
                    # Scripts do not hear the pings of a WebSocket, and want to know that the server is there.
                    await self._socket.send_str(_ALIVE)
                    continue
                if message is None:
                    return
                await self._socket.send_str(message.text)

    async def _receive(self) -> None:
        async for received in self._socket:
            try:
                if received.type is WSMsgType.BINARY:
                    self._hear(received.data)
                elif received.type is WSMsgType.TEXT:
                    self._obey(received.data)
            except (BreathError, msgspec.MsgspecError, RecursionError) as error:
                self._tell("refused", str(error))
                # A message that is not understood says nothing about the sound.
                if received.type is WSMsgType.BINARY:
                    self._stop()

    def _hear(self, content: bytes) -> None:
        # What was under way when the microphone was refused or ended.
        if self._source is not None and not self._source.is_over:
            self._source.hear(content)
        elif self._source is not None:
            self._stop()

    def _obey(self, text: str) -> None:
        wish = _decode(text)
        if isinstance(wish, OpenMicrophone):
            if self._host.desk is None:
                raise ConfigError(
                    f"this server listens to {self._host.listens_to}; "
                    "for a browser's microphone start it with --source browser"
                )
            self._source = self._host.desk.open(wish.rate_hz, wish.format)
            self._tell("open", "")
        elif self._source is not None and isinstance(wish, LostSamples):
            self._source.skip(wish.samples)
        elif isinstance(wish, CloseMicrophone):
            self._stop()
        elif isinstance(wish, MarkNow):
            self.mark(asyncio.get_running_loop().time())
        elif isinstance(wish, CalibrateNow):
            self._host.controls.calibrate()

    def mark(self, at_s: float) -> None:
        """Mark this moment, unless that was done just before.

        Args:
            at_s: now, on a clock that never goes back, seconds.
        """
        if at_s >= self._next_mark_s:
            self._next_mark_s = at_s + _MARK_DISTANCE_S
            self._host.controls.mark()

    def _stop(self) -> None:
        if self._source is not None:
            self._source.end()
            self._source = None
            self._tell("closed", "")

    def _tell(self, state: str, reason: str) -> None:
        content = {"event": "microphone", "state": state, "reason": reason}
        self._outbox.put(Message(text_from_content(content)))

    async def _close(self, code: int, reason: str) -> None:
        """Say good-bye; where that cannot be sent either, cut the connection."""
        try:
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await self._socket.close(code=code, message=reason.encode()[:120])
        except TimeoutError:
            self._cut()
