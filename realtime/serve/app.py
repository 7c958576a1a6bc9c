"""The addresses of the server: the page, its files, and what programs ask for.

- `/`: the page; it and its files hold nothing secret, and are given without the token;
- `/api/status`: JSON: version, source, session, newest frame, health, clients;
- `/api/events`: events as they come, a JSON object a line; with `?frames=1` frames too; as server-sent
  events where `Accept: text/event-stream` asks for them;
- `/api/schema`: JSON Schema of the events;
- `/ws`: WebSocket, see `messages` and `client`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from realtime.serve.client import Client
from realtime.serve.doorkeeper import Doorkeeper
from realtime.serve.files import HEADERS, INDEX, page_files
from realtime.serve.host import Host
from realtime.serve.messages import text_from_content
from realtime.serve.outbox import Outbox
from realtime.sinks.text import printable

_HEARTBEAT_S = 15.0
_LARGEST_MESSAGE = 1 << 20
_MOST_TOLD = 10
_LONGEST_TOLD = 300
_NO = ("", "0", "false", "no")
_log = logging.getLogger(__name__)


def make_app(host: Host) -> web.Application:
    """The application; the hub of `host` has to be bound to the loop that serves it."""
    routes = _Routes(host)
    app = web.Application(middlewares=[_guard(host.doorkeeper)])
    app.on_response_prepare.append(_add_headers)
    app.on_response_prepare.append(_header_for_pages(host.doorkeeper))
    for name, file in page_files().items():
        address = "/" if name == INDEX else f"/{name}"
        app.router.add_get(address, _page_handler(file.content, file.content_type))
    app.router.add_get("/api/status", routes.status)
    app.router.add_get("/api/events", routes.events, allow_head=False)
    app.router.add_get("/api/schema", routes.schema)
    app.router.add_get("/ws", routes.socket, allow_head=False)
    return app


class _Routes:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._hub = host.hub

    async def status(self, request: web.Request) -> web.StreamResponse:
        return _json(self._hub.status())

    async def schema(self, request: web.Request) -> web.StreamResponse:
        from realtime.wire import text_from_schema

        return web.Response(text=text_from_schema(), content_type="application/schema+json")

    async def events(self, request: web.Request) -> web.StreamResponse:
        is_sse = "text/event-stream" in request.headers.get("Accept", "")
        wants_frames = request.query.get("frames", "").lower() not in _NO
        if not self._hub.has_room:
            return self._refusal()
        response = web.StreamResponse()
        response.content_type = "text/event-stream" if is_sse else "application/x-ndjson"
        response.charset = "utf-8"
        outbox = Outbox(wants_frames=wants_frames)
        # Before anything is waited for, so that nobody else takes the place.
        self._hub.join(outbox, is_greeted=False)
        try:
            await response.prepare(request)
        except BaseException:
            self._hub.leave(outbox)
            raise
        writing = asyncio.create_task(_write_events(response, outbox, is_sse=is_sse))
        giving_up = asyncio.create_task(outbox.given_up.wait())
        try:
            await asyncio.wait((writing, giving_up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(outbox)
            for task in (writing, giving_up):
                task.cancel()
            await asyncio.gather(writing, giving_up, return_exceptions=True)
            if outbox.given_up.is_set():
                _cut(request)
        return response

    async def socket(self, request: web.Request) -> web.StreamResponse:
        if not self._hub.has_room:
            return self._refusal()
        # Small messages over short ways: packing them costs more than it saves.
        socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_S, compress=False, max_msg_size=_LARGEST_MESSAGE + 1, timeout=2.0
        )
        outbox = Outbox()
        self._hub.join(outbox)
        try:
            await socket.prepare(request)
            await Client(socket, outbox, self._host, lambda: _cut(request)).run()
        finally:
            self._hub.leave(outbox)
        return socket

    def _refusal(self) -> web.Response:
        why = f"{self._hub.most_clients} clients are here, and there is no room for more; come back later"
        response = _json(text_from_content({"error": why}), HTTPStatus.SERVICE_UNAVAILABLE)
        response.headers["Retry-After"] = str(round(_HEARTBEAT_S))
        return response


async def _write_events(response: web.StreamResponse, outbox: Outbox, *, is_sse: bool) -> None:
    before, after = ("data: ", "\n\n") if is_sse else ("", "\n")
    idle = ": \n\n" if is_sse else "\n"
    with contextlib.suppress(ConnectionError):
        # At once, so that whoever asks knows that it is heard.
        await response.write(idle.encode())
        while True:
            try:
                async with asyncio.timeout(_HEARTBEAT_S):
                    message = await outbox.take()
            except TimeoutError:
                await response.write(idle.encode())
                continue
            if message is None:
                break
            if not outbox.wants_frames and not message.is_event:
                continue
            await response.write(f"{before}{message.plain or message.text}{after}".encode())
        await response.write_eof()


def _guard(doorkeeper: Doorkeeper) -> Middleware:
    # Whoever set the server up sees why a page does not get in; not as often as somebody else likes.
    told: set[str] = set()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers
        is_secret = request.path.startswith("/api/") or request.path == "/ws"
        why = doorkeeper.why_host_is_foreign(headers.get("Host", ""), headers.get("Origin"))
        if not why and is_secret:
            why = doorkeeper.why_site_is_foreign(headers.get("Sec-Fetch-Site"), headers.get("Origin"))
        if why:
            if why not in told and len(told) < _MOST_TOLD:
                told.add(why)
                # Whoever calls chose a part of it.
                _log.warning("a request was refused: %s", printable(why)[:_LONGEST_TOLD])
            return _json(text_from_content({"error": why}), HTTPStatus.FORBIDDEN)
        if is_secret and not doorkeeper.has_token(
            request.query.get("token"), request.headers.get("Authorization")
        ):
            text = text_from_content({"error": "the token is missing or wrong; the server printed it"})
            response = _json(text, HTTPStatus.UNAUTHORIZED)
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        return await handler(request)

    return guard


def _header_for_pages(doorkeeper: Doorkeeper) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Lets scripts of allowed pages read what they get, refusals too."""

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get("Origin")
        if origin is not None and doorkeeper.is_allowed(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"

    return add


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _page_handler(content: bytes, content_type: str) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=content, content_type=content_type, charset="utf-8")

    return handler


def _json(text: str, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(text=text, status=status, content_type="application/json")


def _cut(request: web.Request) -> None:
    """End a connection at once, whatever still waits to be sent."""
    transport = request.transport
    if transport is not None:
        transport.abort()
