"""The server: a thread with an event loop of its own, beside the live path."""

import asyncio
import logging
import socket
import threading
from functools import partial
from types import TracebackType
from typing import Self

from aiohttp import web

from engines.errors import ConfigError, OutputError
from realtime.serve.app import make_app
from realtime.serve.doorkeeper import is_loopback
from realtime.serve.gate import Gate, request_log
from realtime.serve.host import Host

_log = logging.getLogger(__name__)

# What waits in the system for one client is old before it is shown: rather it is missed here.
_SEND_BUFFER_BYTES = 1 << 17
_SHUTDOWN_S = 2.0
_IDLE_S = 30.0
# So many may be accepted before the gate has counted them.
_BACKLOG = 16
_JOIN_LIMIT_S = 10.0


class Server:
    """Listens from its creation on, serves within `with`.

    Args:
        host: receives the clients.
        address: name or address to listen at.
        port: 0: any free one.

    Raises:
        ConfigError: the port is taken or not permitted, or the address is not one of this machine.
    """

    def __init__(self, host: Host, address: str, port: int) -> None:
        self._host = host
        self._listener = _listener(address, port)
        self.address = address
        self.port: int = self._listener.getsockname()[1]
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._reason = ""
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="breath-live serve", daemon=True)

    @property
    def url(self) -> str:
        """What a browser is given, with the token if one is needed."""
        if self.address in ("0.0.0.0", "::"):
            return self._url_at(socket.gethostname())
        return self._url_at(self.address)

    @property
    def url_by_number(self) -> str:
        """The same with an address for a name that others may not know; empty: there is none."""
        number = _own_address() if self.address == "0.0.0.0" else ""
        return self._url_at(number) if number else ""

    def _url_at(self, host: str) -> str:
        host = f"[{host}]" if ":" in host else host
        token = f"?token={self._host.doorkeeper.token}" if self._host.doorkeeper.token else ""
        return f"http://{host}:{self.port}/{token}"

    @property
    def is_for_this_machine_only(self) -> bool:
        """Whether no other machine can reach it."""
        return is_loopback(self.address)

    def close(self, reason: str) -> None:
        """Tell the clients why, and end; closing twice is fine."""
        self._reason = self._reason or reason
        if self._loop is not None and self._ending is not None and self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(self._ending.set)
            except RuntimeError:
                _log.debug("the loop of the server had already ended")
        if self._thread.ident is not None:
            self._thread.join(_JOIN_LIMIT_S)
        self._listener.close()

    def __enter__(self) -> Self:
        """Serve.

        Raises:
            OutputError: the server cannot start.
        """
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self.close("")
            raise OutputError(f"the server cannot start: {self._failure}") from self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; clients are told the error, if it is one that people are told."""
        if error is None:
            self.close("the sound has ended")
        elif isinstance(error, Exception):
            self.close(str(error))
        else:
            self.close("the server was stopped")

    def _work(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            _log.error("the server has ended", exc_info=error)
        finally:
            self._host.hub.unbind()
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        self._host.hub.bind(self._loop)
        app = make_app(self._host)
        # Addresses hold the token: they are logged nowhere.
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_SHUTDOWN_S,
            keepalive_timeout=_IDLE_S,
            logger=request_log(),
        )
        gate = Gate(app)
        await runner.setup()
        assert runner.server is not None
        try:
            listening = await self._loop.create_server(
                partial(gate.protocol, runner.server), sock=self._listener, backlog=_BACKLOG
            )
            self._ready.set()
            await self._ending.wait()
            listening.close()
            self._host.hub.end(self._reason)
        finally:
            await runner.cleanup()


def _own_address() -> str:
    """The address under which the network that this machine is in knows it; empty: there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            # Nothing is sent: the system chooses the way there, and with it the address (RFC 5737).
            asking.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        address: str = asking.getsockname()[0]
        return address


def _listener(address: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError, OverflowError) as error:
        raise ConfigError(
            f"--host {address}: there is no such address ({error}); 127.0.0.1 is this machine alone, "
            "0.0.0.0 every network it is in"
        ) from error
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        listener.bind(place)
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"nothing can listen at port {port} of {address} ({error.strerror or error}); if another program "
            "does, choose one with --port, or --port 0 for any that is free"
        ) from error
    return listener
