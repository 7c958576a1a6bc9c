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
# Pages in the shell of an app have schemes of their own, and some of them no host.
_HOST_LETTERS = r"[a-z0-9._~:\[\]-]"
_ORIGIN_FORM = re.compile(
    rf"https?://{_HOST_LETTERS}{{1,255}}|file://|(?!https?:|file:)[a-z][a-z0-9+.-]{{0,31}}://{_HOST_LETTERS}{{0,255}}",
    re.IGNORECASE,
)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_OTHER_SITES = ("cross-site", "same-site")
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
        proxies: in lower case, names among `names` under which a proxy with https serves this server alone:
            pages from there are its own, whatever other name the proxy calls it by.
    """

    token: str
    names: frozenset[str]
    origins: frozenset[str] = frozenset()
    proxies: frozenset[str] = frozenset()

    def why_host_is_foreign(self, host: str, origin: str | None) -> str:
        """In words; empty: it is one of ours.

        Args:
            host: header `Host`, with or without a port.
            origin: header `Origin`; None: there is none, so this is no page of another site.
        """
        name = _name_from_host(host)
        if name is None or not (name in self.names or _is_address(name)):
            return f"this server is not known as {host!r}; --allow-host names further ones"
        if origin is None or self._is_own(origin, host) or self.is_allowed(origin):
            return ""
        mend = (
            f"--allow-origin {origin} lets this one in"
            if _ORIGIN_FORM.fullmatch(origin)
            else "a page that is to be let in has to come from an address"
        )
        return f"requests of pages of other sites are refused; {mend}"

    def why_site_is_foreign(self, site: str | None, origin: str | None) -> str:
        """In words; empty: no page of another site asks, as far as can be told.

        Args:
            site: header `Sec-Fetch-Site`, with which browsers tell where a request comes from that has no
                origin, as that for an image has.
            origin: header `Origin`; where there is one, `why_host_is_foreign` decides.
        """
        if origin is None and site in _OTHER_SITES:
            return "requests of pages of other sites are refused"
        return ""

    def _is_own(self, origin: str, host: str) -> bool:
        scheme, separator, place = origin.lower().partition("://")
        if not separator or scheme not in _DEFAULT_PORTS:
            return False
        port = _DEFAULT_PORTS[scheme]
        place = place.removesuffix(port)
        if place == host.lower().removesuffix(port):
            return True
        # Who calls by the name of the proxy, and another port, does not come through it.
        return scheme == "https" and place in self.proxies and _name_from_host(host) != place

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
                "https://app.example, http://localhost:5173 or capacitor://localhost"
            )
    own_pages = frozenset(origin.lower() for origin in origins)
    if token is not None and not _TOKEN_FORM.fullmatch(token):
        raise ConfigError(
            "--token takes 8 to 256 letters, digits and . _ ~ -, such as "
            "python -c 'import secrets; print(secrets.token_urlsafe())' makes"
        )
    proxies = frozenset(name.lower() for name in allowed)
    names = {"localhost", host.lower(), *proxies}
    if is_loopback(host):
        return Doorkeeper(token or "", frozenset(names), own_pages, proxies)
    own = socket.gethostname().lower()
    names |= {own, f"{own.partition('.')[0]}.local"}
    return Doorkeeper(token or secrets.token_urlsafe(24), frozenset(names), own_pages, proxies)


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


def _is_address(name: str) -> bool:
    # No site can have an address as its name, so none can be rebound to it.
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
