"""Decides for every request, by settings or environment, whether it goes through a proxy.

Only https passes a proxy, as a CONNECT tunnel. Plain http goes only to the metadata service and to loopback, and a
proxy must see neither.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOST_AND_PORT = re.compile(r"\[?([^\[\]]*)\]?:(\d{1,5})")


def is_loopback(host: str) -> bool:
    """True if *host* can only be this machine.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "127.0.0.1.example.com")]
    [True, True, True, False]
    """
    return host in {"localhost", "::1"} or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


@dataclass(frozen=True, slots=True)
class Proxy:
    """One HTTP proxy; `authorization` is its Proxy-Authorization header, "" for none."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Return the proxy at *url* (``[http://][user:password@]host[:port]``), or raise ConfigurationError.

        >>> Proxy.parse("http://me:secret@proxy.example.com:3128")
        Proxy(host='proxy.example.com', port=3128)
        """
        if url.lower().startswith("https://"):
            raise ConfigurationError(
                "the proxy address starts with https://, but proxies are spoken to in http (the tunnel is encrypted)",
                remedy=Remedy(
                    "ProxyInvalid", "Write http://host:port of the proxy, in the settings or in HTTPS_PROXY."
                ),
            )
        try:
            parts = urlsplit(url if _SCHEME.match(url) else f"http://{url}")
            host, port = parts.hostname or "", parts.port or 80
            is_right = parts.scheme == "http" and host.isascii() and not re.search(r"\s", url)
        except ValueError:
            host, is_right = "", False
        if not (host and is_right):
            # The value may hold a password, so it is not shown.
            raise ConfigurationError(
                "the proxy address is not of the form http://[user:password@]host:port",
                remedy=Remedy(
                    "ProxyInvalid", "Correct the proxy in the settings, or HTTPS_PROXY in the kubelet's environment."
                ),
            )
        return cls(host, port, _basic(parts.username, parts.password))


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The proxy for https ("" for none) and the hosts that are reached without it.

    `no_proxy` entries are host suffixes at a dot, ``host:port``, addresses, CIDR blocks, or ``*``. Loopback is reached
    directly unless `include_loopback` is set.
    """

    https_proxy: str = field(default="", repr=False)
    no_proxy: Sequence[str] = ()
    include_loopback: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> ProxySettings:
        """Return the values of HTTPS_PROXY and NO_PROXY, in upper or lower case.

        >>> ProxySettings.from_environment({"https_proxy": "p:3128", "NO_PROXY": "a.example, 10.0.0.0/8"}).no_proxy
        ('a.example', '10.0.0.0/8')
        """
        environ = os.environ if environ is None else environ
        no_proxy = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
        return cls(
            https_proxy=_unquoted(environ.get("HTTPS_PROXY") or environ.get("https_proxy") or ""),
            no_proxy=tuple(_unquoted(no_proxy).replace(",", " ").split()),
        )

    def proxy_for(self, host: str, port: int) -> Proxy | None:
        """Return the proxy for ``https://host:port``, ``None`` for a direct connection."""
        if not self.https_proxy or (is_loopback(host) and not self.include_loopback):
            return None
        if any(_covers(entry.strip().lower(), host.lower(), port) for entry in self.no_proxy):
            return None
        return Proxy.parse(self.https_proxy)


def _unquoted(value: str) -> str:
    """Return *value* without the quotes around it, which an environment file of a container runtime leaves there."""
    value = value.strip()
    return value[1:-1].strip() if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _covers(entry: str, host: str, port: int) -> bool:
    """True if one NO_PROXY *entry* covers ``host:port``.

    >>> _covers("aliyuncs.com", "cr.cn-hangzhou.aliyuncs.com", 443), _covers("aliyuncs.com", "notaliyuncs.com", 443)
    (True, False)
    >>> _covers("cr.example.com:8443", "cr.example.com", 443), _covers("10.0.0.0/8", "10.1.2.3", 443)
    (False, True)
    """
    if entry == "*":
        return True
    if "/" in entry:
        return _in_block(host, entry)
    with_port = _HOST_AND_PORT.fullmatch(entry)
    # More than one colon and no brackets: an IPv6 address, not host:port.
    if with_port and (entry.startswith("[") or entry.count(":") == 1):
        entry = with_port[1]
        if int(with_port[2]) != port:
            return False
    entry = entry.strip("[]").removeprefix("*").removeprefix(".")
    return bool(entry) and (host == entry or host.endswith("." + entry))


def _in_block(host: str, block: str) -> bool:
    try:
        return ip_address(host) in ip_network(block, strict=False)
    except ValueError:  # a name is in no block; an invalid block covers nothing
        return False


def _basic(username: str | None, password: str | None) -> str:
    if username is None:
        return ""
    login = f"{unquote(username)}:{unquote(password or '')}"
    return "Basic " + b64encode(login.encode()).decode("ascii")
