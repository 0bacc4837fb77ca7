"""The reporter's port: /metrics for monitoring, /healthz for the kubelet's probes. GET only, nothing secret.

Any Pod may connect. One thread serves all connections; each has one request and one deadline for all of it.
"""

from __future__ import annotations

import re
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from acr_credential_provider.model.connection_table import ClientFault, ConnectionTable, fault_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Page = tuple[int, str]
"""An HTTP status and a text."""
_REQUEST_LINE = re.compile(rb"([A-Z]{1,20}) (/[!-~]{0,2000}) HTTP/1\.[01]\r?\n", re.ASCII)
_ACCEPTED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on clients."""

    connections: int = 64
    per_client: int = 32
    """Connections of one client. The kubelet's probes share the node's address with Pods of the host's network."""
    request: float = 5.0
    """Seconds from the connection to the last byte of the answer."""
    head: int = 16 << 10
    """Bytes of a request."""


@dataclass(slots=True, eq=False)
class _Client:
    connection: socket.socket
    deadline: float
    request: bytearray = field(default_factory=bytearray)
    answer: memoryview | None = None


class HealthServer:
    """Answers the paths of *pages* on *host*:*port* until `stop`."""

    def __init__(
        self, host: str, port: int, pages: Mapping[str, Callable[[], Page]], limits: Limits = Limits()
    ) -> None:
        self.faults = dict.fromkeys(ClientFault, 0)
        """What clients did wrong, and how often."""
        self._pages = pages
        self._limits = limits
        self._table: ConnectionTable[_Client] = ConnectionTable(limits.connections, limits.per_client)
        self._clients: set[_Client] = set()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server((host, port), backlog=512)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End, with all connections."""
        self._stop.set()
        self._thread.join()
        for client in list(self._clients):
            self._close(client)
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _events in self._selector.select(0.2):
                if key.data is None:
                    self._accept()
                elif key.data in self._clients:  # or it was closed in this turn
                    self._serve(key.data)
            now = time.monotonic()
            for client in [client for client in self._clients if client.deadline <= now]:
                self._close(client, ClientFault.TIMEOUT)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):  # then those that are connected have their turn
            try:
                connection, address = self._listener.accept()
            except OSError:  # there is no other one, or it has left
                return
            connection.setblocking(False)
            now = time.monotonic()
            client = _Client(connection, now + self._limits.request)
            self._clients.add(client)
            self._selector.register(connection, selectors.EVENT_READ, client)
            victim = self._table.add(client, str(address[0]), now)
            if victim is not None:
                self._close(victim, ClientFault.TOO_MANY)

    def _serve(self, client: _Client) -> None:
        try:
            if client.answer is not None:
                client.answer = client.answer[client.connection.send(client.answer) :]
            elif not self._read(client):
                return
        except BlockingIOError:
            return
        except OSError:  # it has left
            self._close(client)
            return
        if not client.answer:
            self._close(client)

    def _read(self, client: _Client) -> bool:
        """Read what came; True once there is an answer, or nothing more to come."""
        piece = client.connection.recv(self._limits.head)
        client.request += piece
        is_whole = b"\r\n\r\n" in client.request or b"\n\n" in client.request
        is_too_large = len(client.request) > self._limits.head
        if not piece or not (is_whole or is_too_large):
            return not piece
        status, text, is_head = self._answer(bytes(client.request)) if is_whole else (431, "too large\n", False)
        fault = fault_of(status)
        if fault is None:
            self._table.trust(client, time.monotonic())
        else:
            self.faults[fault] += 1
        client.answer = memoryview(_encoded(status, text, has_body=not is_head))
        self._selector.modify(client.connection, selectors.EVENT_WRITE, client)
        return True

    def _answer(self, request: bytes) -> tuple[int, str, bool]:
        """Return status and text of the answer, and whether only its head was asked for."""
        line = _REQUEST_LINE.match(request)
        if line is None:
            return 400, "not a request\n", False
        method, target = line[1].decode("ascii"), line[2].decode("ascii")
        if method not in ("GET", "HEAD"):
            return 405, "GET only\n", False
        status, text = self._page(target.partition("?")[0])
        return status, text, method == "HEAD"

    def _page(self, path: str) -> Page:
        make = self._pages.get(path)
        if make is None:
            return 404, "not found\n"
        try:
            return make()
        except Exception:  # noqa: BLE001 - the kubelet sees the status, and restarts the container
            return 500, "failed\n"

    def _close(self, client: _Client, fault: ClientFault | None = None) -> None:
        if fault is not None:
            self.faults[fault] += 1
        self._table.remove(client)
        self._clients.discard(client)
        self._selector.unregister(client.connection)
        client.connection.close()


def _encoded(status: int, text: str, *, has_body: bool) -> bytes:
    body = text.encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Content-Type: text/plain; version=0.0.4; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + (body if has_body else b"")
