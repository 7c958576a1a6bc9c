"""The connections before anything is known of who comes: so many at a time, and none that says nothing."""

import asyncio
import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from realtime.serve.hub import MOST_CLIENTS

# A page has half a dozen while it loads; on macOS a process has 256 files, of which each takes one.
MOST_CONNECTIONS = 4 * MOST_CLIENTS
FIRST_REQUEST_S = 10.0


class Gate:
    """Makes the protocol of each connection that is accepted.

    One too many is closed at once, and so is one that has asked for nothing after ten seconds: neither has to
    know the token, and each would take a file from the live path.

    Args:
        app: tells which connections have asked for something; not set up yet.
    """

    def __init__(self, app: web.Application) -> None:
        self._silent: set[asyncio.BaseProtocol] = set()
        app.on_response_prepare.append(self._answered)

    def protocol(self, server: web.Server) -> asyncio.Protocol:
        """For a connection that has just been accepted, on the loop of the server."""
        if len(server.connections) >= MOST_CONNECTIONS:
            return _Refusal()
        protocol = server()
        self._silent.add(protocol)
        asyncio.get_running_loop().call_later(FIRST_REQUEST_S, self._close_if_silent, protocol)
        return protocol

    async def _answered(self, request: web.Request, _response: web.StreamResponse) -> None:
        self._silent.discard(request.protocol)

    def _close_if_silent(self, protocol: web.RequestHandler) -> None:
        if protocol in self._silent:
            self._silent.discard(protocol)
            if protocol.transport is not None:
                protocol.transport.abort()


class _Refusal(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def request_log() -> logging.Logger:
    """Where aiohttp tells of failed requests; nothing of those that are no HTTP, whose text it quotes."""
    log = logging.getLogger(__name__)
    if _is_ours not in log.filters:
        log.addFilter(_is_ours)
    return log


def _is_ours(record: logging.LogRecord) -> bool:
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, HttpProcessingError | UnicodeError)
