"""Sends single HTTP requests within strict bounds of time and size; nothing else sends to the cloud."""

from __future__ import annotations

import http.client
import io
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from acr_credential_provider.model.errors import ConfigurationError, DeadlineExceededError
from acr_credential_provider.model.remedy import Remedy

from .ca_bundle import find_ca_bundle, tls_context
from .dial import dial
from .proxy import ProxySettings, is_loopback
from .transport_errors import CHECK_MIDDLEBOX, CHECK_NETWORK, TransportError, explain

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from _typeshed import ReadableBuffer, WriteableBuffer

    from acr_credential_provider.model.deadline import Deadline

    from .dial import Resolver
    from .proxy import Proxy

METADATA_HOST = "100.100.100.200"

_LARGEST_BODY = 64 * 1024
_MOST_BYTES = 4 * _LARGEST_BODY
"""Of one response on the wire, with headers and chunk marks."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Wall-clock seconds: `connect` with DNS, `hop` for one whole request, `reserve` kept for the error line.

    Without the reserve, the watchdog would end the process during the last try, and the true cause would be lost.
    """

    connect: float = 2.0
    hop: float = 5.0
    reserve: float = 0.5


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; `direct` never uses a proxy, `bound` (seconds) replaces `Bounds.hop`."""

    method: str
    url: str = field(repr=False)  # STS takes parameters, and those can be secrets
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    direct: bool = False
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One response of any status; header names in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Transport:
    """Sends single requests; never follows a redirect, never waits past *deadline*.

    *proxy* and *ca_bundle* (a path) come from the settings; ``None`` means the environment's proxy and the
    distribution's bundle.
    """

    def __init__(
        self,
        deadline: Deadline,
        *,
        proxy: ProxySettings | None = None,
        ca_bundle: str | None = None,
        bounds: Bounds | None = None,
        resolver: Resolver = socket.getaddrinfo,
    ) -> None:
        self._deadline = deadline
        self._proxy = ProxySettings.from_environment() if proxy is None else proxy
        self._ca_bundle = ca_bundle
        self._bounds = Bounds() if bounds is None else bounds
        self._resolver = resolver

    def time_left(self) -> float:
        """Return the seconds that requests may still take."""
        return max(0.0, self._deadline.remaining() - self._bounds.reserve)

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send *request* once and return the response (a body of at most 64 KiB).

        Raises `TransportError` if no usable response came, `DeadlineExceededError` if no time is left,
        `ConfigurationError` for an address or a CA bundle that cannot be used.
        """
        target = _Target.parse(request.url)
        proxy = None if request.direct or not target.tls else self._proxy.proxy_for(target.host, target.port)
        bundle = find_ca_bundle(self._ca_bundle) if target.tls else ""
        tls = tls_context(bundle) if bundle else None
        seconds = min(request.bound or self._bounds.hop, self.time_left())
        if not seconds:
            raise DeadlineExceededError(
                f"no time was left to call {target.name}",
                remedy=Remedy("DeadlineExceeded", "Look for slow DNS or a slow network on this node."),
            )
        hop = _Hop(target, proxy, self._deadline.within(seconds), seconds)
        outcome = hop.run(request, connect=self._bounds.connect, tls=tls, bundle=bundle, resolver=self._resolver)
        # Raised here, so that no foreign exception is its context.
        if isinstance(outcome, TransportError):
            raise outcome
        return outcome


@dataclass(frozen=True, slots=True)
class _Target:
    """A parsed URL."""

    tls: bool
    host: str
    port: int
    path: str = field(repr=False)
    authority: str

    @property
    def name(self) -> str:
        """Host and port, as errors name them."""
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> _Target:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
            is_right = bool(host) and host.isascii() and "@" not in parts.netloc
        except ValueError:
            is_right = False
        if not is_right:
            raise ConfigurationError(
                "an endpoint is not a URL with a host",
                remedy=Remedy("EndpointInvalid", "Correct the endpoints in the settings."),
            )
        tls = parts.scheme == "https"
        if not tls and not (parts.scheme == "http" and (host == METADATA_HOST or is_loopback(host))):
            raise ConfigurationError(
                f"the endpoint of {host} is not https, so requests and answers could be read on the way",
                remedy=Remedy("EndpointInvalid", "Write the endpoint with https:// in the settings."),
            )
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(tls, host, port or (443 if tls else 80), path, parts.netloc)


class _Hop:
    """One request on one connection; it tracks its current action (`_doing`) and peer, for errors."""

    def __init__(self, target: _Target, proxy: Proxy | None, deadline: Deadline, seconds: float) -> None:
        self._target = target
        self._proxy = proxy
        self._deadline = deadline
        self._doing = "connect to"
        self._peer = f"the proxy {proxy.host}:{proxy.port}" if proxy else target.name
        self._seconds = seconds

    def run(
        self,
        request: HttpRequest,
        *,
        connect: float,
        tls: ssl.SSLContext | None,
        bundle: str,
        resolver: Resolver,
    ) -> HttpResponse | TransportError:
        """Return the response, or the error; foreign exceptions do not leave."""
        sock: socket.socket | None = None
        near = self._proxy or self._target
        try:
            self._seconds, whole = min(connect, self._seconds), self._seconds
            sock = dial(near.host, near.port, self._deadline.within(connect), resolver=resolver)
            self._seconds = whole
            if self._proxy:
                refusal = self._open_tunnel(sock, self._proxy)
                if refusal:
                    return refusal
            self._peer = self._target.name
            if tls:
                self._doing = "the TLS handshake with"
                sock.settimeout(_seconds(self._deadline))  # for OpenSSL's handshake as a whole
                # Bytes, because a str would load the IDNA codec, which is not needed.
                sock = tls.wrap_socket(sock, server_hostname=self._target.host.encode("ascii"))
            self._doing = "the call to"
            return self._exchange(sock, request)
        except Exception as error:  # noqa: BLE001  # explain has our own words for each class
            return explain(error, doing=self._doing, peer=self._peer, bundle=bundle, seconds=self._seconds)
        finally:
            if sock:
                sock.close()

    def _open_tunnel(self, sock: socket.socket, proxy: Proxy) -> TransportError | None:
        self._doing = "the request for a tunnel to"
        headers = {"Host": self._target.name}
        if proxy.authorization:
            headers["Proxy-Authorization"] = proxy.authorization
        connection = self._connection(sock)
        connection.request("CONNECT", self._target.name, headers=headers)
        status = connection.getresponse().status
        if 200 <= status < 300:
            return None
        if status == 407:
            remedy = Remedy("ProxyRefused", "Set the proxy's user and password: http://user:password@host:port.")
        else:
            remedy = Remedy("ProxyRefused", "Let the proxy pass CONNECT to that host, or list the host in NO_PROXY.")
        return TransportError(
            f"{self._peer} would not open a tunnel to {self._target.name} (HTTP {status})",
            remedy=remedy,
            try_next_endpoint=True,
            retryable=status >= 500,
        )

    def _exchange(self, sock: socket.socket, request: HttpRequest) -> HttpResponse | TransportError:
        connection = self._connection(sock)
        headers = {"host": self._target.authority, **request.headers}
        connection.request(request.method, self._target.path, body=request.body or None, headers=headers)
        response = connection.getresponse()
        if 300 <= response.status < 400:
            # The next host would get our security token.
            return TransportError(
                f"{self._peer} answered with a redirect (HTTP {response.status}), which is never followed",
                remedy=CHECK_MIDDLEBOX,
            )
        body = response.read(_LARGEST_BODY + 1)
        if len(body) > _LARGEST_BODY:
            return TransportError(f"the response of {self._peer} is larger than 64 KiB", remedy=CHECK_MIDDLEBOX)
        if response.length:  # http.client reports it only for a read without a limit
            return TransportError(f"the answer of {self._peer} broke off", remedy=CHECK_NETWORK, retryable=True)
        return HttpResponse(response.status, {name.lower(): value for name, value in response.getheaders()}, body)

    def _connection(self, sock: socket.socket) -> http.client.HTTPConnection:
        """Return the standard library's HTTP over *sock*, within our bounds."""
        connection = http.client.HTTPConnection(self._target.host, self._target.port)
        connection.sock = _BoundedSocket(sock, self._deadline)
        return connection


class _BoundedSocket:
    """The part of a socket that http.client uses, with one deadline for all bytes.

    A socket's own time-out is for each call, so a server that sends byte by byte would never reach it.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: ReadableBuffer) -> None:
        self._sock.settimeout(_seconds(self._deadline))
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self._sock, self._deadline))

    def close(self) -> None:
        """Do nothing: http.client closes before the body is read; the hop closes at its end."""


class _BoundedReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self._bytes_left = _MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._sock.settimeout(_seconds(self._deadline))
        count = self._sock.recv_into(buffer)
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise http.client.HTTPException
        return count


def _seconds(deadline: Deadline) -> float:
    """Return the remaining time as a socket time-out, or raise TimeoutError (0 would mean "do not block")."""
    seconds = deadline.remaining()
    if not seconds:
        raise TimeoutError
    return seconds
