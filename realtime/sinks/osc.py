"""OSC over UDP: a handful of floats after every answer, for games, synthesisers and lights."""

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engines.errors import ConfigError
from engines.installing import install_extra
from realtime.events import Condition, Health, Phase, Report
from realtime.pipeline import Step
from realtime.sinks.base import Sink, Status
from realtime.sinks.level import share_from_dbfs
from realtime.sinks.queued import QueuedOutlet

DEFAULT_PREFIX = "/breath"
PHASE_VALUES = {Phase.INHALE: -1.0, Phase.NONE: 0.0, Phase.EXHALE: 1.0}
_LOOPBACK = "127.0.0.1"
_HIGHEST_PORT = 65535

Update = tuple[tuple[str, float], ...]
_NOTHING_HEARD: Update = (("phase", 0.0), ("confidence", 0.0), ("level", 0.0), ("connected", 0.0))


@dataclass(frozen=True)
class OscTarget:
    """Where the messages go: a host, by name or address, and a UDP port, 1 to 65535."""

    host: str
    port: int

    @classmethod
    def from_text(cls, text: str | int) -> "OscTarget":
        """From `HOST:PORT`, `[IPv6]:PORT`, or a port alone, which means this machine.

        Raises:
            ConfigError: it is none of these.
        """
        host, _, port = str(text).strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]") or _LOOPBACK
        if not port.isascii() or not port.isdigit() or not 0 < int(port) <= _HIGHEST_PORT:
            raise ConfigError(
                f"osc: {text!r} is no place for OSC; write HOST:PORT, or a port of this machine, such as 9000"
            )
        return cls(host, int(port))


def checked_prefix(prefix: str) -> str:
    """The start of every address, without a slash at its end; may be empty.

    Raises:
        ConfigError: an OSC address cannot begin so (Open Sound Control 1.0: printable ASCII, beginning with
            a slash, without blanks and the characters of patterns).
    """
    if prefix and not re.fullmatch(r"/[!-~]*", prefix):
        raise ConfigError(
            f"osc_prefix: {prefix!r} must begin with / and have no blanks, such as {DEFAULT_PREFIX}"
        )
    if bad := set(prefix) & set("#*,?[]{}"):
        raise ConfigError(f"osc_prefix: {prefix!r} must not contain {' '.join(sorted(bad))}")
    return prefix.rstrip("/")


class OscSender:
    """Sends each value as a message of its own, because not every receiver takes bundles.

    Args:
        target: looked up once, now.
        prefix: start of every address.

    Raises:
        ConfigError: python-osc is not installed, there is no such host, or the prefix is impossible.
    """

    def __init__(self, target: OscTarget, prefix: str = DEFAULT_PREFIX) -> None:
        self._message = _message_builder()
        self._prefix = checked_prefix(prefix)
        self.name = f"osc {target.host}:{target.port}"
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)
        # UnicodeError: a label of the name is empty or too long.
        except (OSError, UnicodeError) as error:
            raise ConfigError(f"osc: there is no host {target.host!r} ({error}); check its name") from error
        # Receivers that know one family mostly know IPv4, and where nobody receives, UDP says nothing.
        family, kind, protocol, _, address = min(found, key=lambda place: place[0] != socket.AF_INET)
        self._address: tuple[Any, ...] = address
        self._socket = socket.socket(family, kind, protocol)
        if family == socket.AF_INET:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)

    def send(self, item: Update) -> None:
        """Send an update, name and value of each.

        Raises:
            OSError: the network does not take it.
        """
        for name, value in item:
            self._socket.sendto(self._message(f"{self._prefix}/{name}", value), self._address)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class OscSink(Sink):
    """Sends after every answer, 32-bit floats below the prefix.

    - `phase`: -1 inhale, 0 no breath, 1 exhale;
    - `prob_exhale` and `confidence`: 0 to 1;
    - `level`: 0 (-80 dB re full scale, or less) to 1 (full scale), as the meter of the display;
    - `rate`: breaths per minute over the last minute, 0 where no complete breath is within it;
    - `rate_01`: the same over 60, at most 1, for receivers that take no more;
    - `connected`: 1 while sound comes; 0, with `phase`, `confidence` and `level` 0, when it stalls, in a
      pause and after the end.

    Args:
        outlet: where to; it is left open, so that several sessions can send to it.
    """

    def __init__(self, outlet: QueuedOutlet[Update]) -> None:
        self._outlet = outlet

    def show(self, step: Step, status: Status) -> None:
        """See `Sink`."""
        frame = step.frame
        rate = status.breaths_per_min or 0.0
        self._outlet.put(
            (
                ("phase", PHASE_VALUES[frame.phase]),
                ("prob_exhale", frame.prob_exhale),
                ("confidence", frame.confidence),
                ("level", share_from_dbfs(frame.level_dbfs)),
                ("rate", rate),
                ("rate_01", min(1.0, rate / 60.0)),
                ("connected", 1.0),
            )
        )

    def report(self, event: Report) -> None:
        """See `Sink`."""
        if isinstance(event, Health) and event.condition is Condition.STALLED:
            self._outlet.put(_NOTHING_HEARD if event.is_beginning else (("connected", 1.0),))

    def pause(self) -> None:
        """See `Sink`."""
        self._outlet.put(_NOTHING_HEARD)

    def take_notices(self) -> list[str]:
        """What people should know about the receiver."""
        return self._outlet.take_notices()

    def close(self) -> None:
        """Say that nothing more comes."""
        self._outlet.put(_NOTHING_HEARD)


def _message_builder() -> Callable[[str, float], bytes]:
    try:
        from pythonosc.osc_message_builder import OscMessageBuilder
    except ImportError as error:
        raise ConfigError(f"osc needs the package python-osc: {install_extra('osc')}") from error

    def built(address: str, value: float) -> bytes:
        message = OscMessageBuilder(address)
        message.add_arg(float(value), OscMessageBuilder.ARG_TYPE_FLOAT)
        return message.build().dgram

    return built
