"""Who may come in: the token, and the checks against pages of other sites that point at this server."""

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from engines.errors import ConfigError

_TOKEN_FORM = re.compile(r"[A-Za-z0-9._~-]{8,256}")
_ORIGIN_FORM = re.compile(r"https?://[^/?#@\s]+", re.IGNORECASE)
_BEARER = "bearer "


@dataclass(frozen=True)
class Doorkeeper:
    """Decides about one request by its headers.

    A page of another site can make a browser call this server under that site's name (DNS rebinding), or
    open a WebSocket to it from its own origin. So `Host` must be a name of this server or a literal address,
    and `Origin`, which browsers send along and pages cannot choose, must be the same as `Host`, or one that
    was allowed.

    Attributes:
        token: has to be given where it is not empty.
        names: host names, in lower case, under which this server may be called.
        origins: in lower case, from which pages of other sites may call it.
    """

    token: str
    names: frozenset[str]
    origins: frozenset[str] = frozenset()

    def why_host_is_foreign(self, host: str, origin: str | None) -> str:
        """In words; empty: it is one of ours.

        Args:
            host: header `Host`, with or without a port.
            origin: header `Origin`; None: there is none, so this is no page of another site.
        """
        name = _name_from_host(host)
        if name is None or not (name in self.names or _is_address(name)):
            return f"this server is not known as {host!r}; --allow-host names further ones"
        if origin is None or _host_from_origin(origin) == host.lower() or self.is_allowed(origin):
            return ""
        mend = (
            f"--allow-origin {origin} lets this one in"
            if _ORIGIN_FORM.fullmatch(origin)
            else "a page that is to be let in has to come from an http or https address"
        )
        return f"requests of pages of other sites are refused; {mend}"

    def is_allowed(self, origin: str | None) -> bool:
        """Whether pages of that other site may call, and read what they get."""
        return origin is not None and origin.lower() in self.origins

    def has_token(self, in_query: str | None, authorization: str | None) -> bool:
        """Whether the right token is given, as `?token=` or as `Authorization: Bearer`, or none is needed."""
        if not self.token:
            return True
        given = in_query or ""
        if authorization is not None and authorization.lower().startswith(_BEARER):
            given = authorization[len(_BEARER) :].strip()
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())


def doorkeeper_for(
    host: str, token: str | None, allowed: Collection[str] = (), origins: Collection[str] = ()
) -> Doorkeeper:
    """The doorkeeper of a server on `host`; elsewhere than on the loopback it makes a token if none is given.

    Args:
        host: where the server listens.
        token: that has to be given.
        allowed: further names of the server.
        origins: of pages of other sites that may call it, such as `https://app.example`.

    Raises:
        ConfigError: the token is too short, or cannot stand in an address; an origin is none.
    """
    for origin in origins:
        if not _ORIGIN_FORM.fullmatch(origin):
            raise ConfigError(
                f"--allow-origin {origin}: an origin is a scheme, a host and perhaps a port, such as "
                "https://app.example or http://localhost:5173"
            )
    own_pages = frozenset(origin.lower() for origin in origins)
    if token is not None and not _TOKEN_FORM.fullmatch(token):
        raise ConfigError(
            "--token takes 8 to 256 letters, digits and . _ ~ -, such as "
            "python -c 'import secrets; print(secrets.token_urlsafe())' makes"
        )
    names = {"localhost", host.lower(), *(name.lower() for name in allowed)}
    if is_loopback(host):
        return Doorkeeper(token or "", frozenset(names), own_pages)
    own = socket.gethostname().lower()
    names |= {own, f"{own.partition('.')[0]}.local"}
    return Doorkeeper(token or secrets.token_urlsafe(24), frozenset(names), own_pages)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name_from_host(host: str) -> str | None:
    """The name within a header `Host`, in lower case; None: it is none."""
    try:
        parts = urlsplit(f"//{host}")
        is_plain = parts.username is None and not (parts.path or parts.query or parts.fragment)
        return parts.hostname if is_plain and (parts.port is None or parts.port > 0) else None
    except ValueError:
        return None


def _host_from_origin(origin: str) -> str | None:
    scheme, separator, host = origin.lower().partition("://")
    return host if separator and scheme in ("http", "https") else None


def _is_address(name: str) -> bool:
    # No site can have an address as its name, so none can be rebound to it.
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
