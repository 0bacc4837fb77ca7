"""An HTTP proxy for tests: opens CONNECT tunnels, whatever the name, into a sandbox; can be rude too."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"
LOGIN = (
    b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'
)
BROKEN = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 26\r\n\r\n<html>Please log in</html>"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nX-Proxy: tests\r\n\r\n"


class ConnectProxy:
    """Listens on loopback; every tunnel leads to *target* (host, port), like DNS that knows only one address.

    *login* (``user:password``) is asked for if set. *behaviour* is called with the connection
    instead of opening a tunnel; with *hangs* nothing happens at all. *requests* are the heads
    of all requests, as text.
    """

    def __init__(
        self,
        target: tuple[str, int],
        *,
        login: str = "",
        behaviour: Callable[[socket.socket], None] | None = None,
        hangs: bool = False,
    ) -> None:
        self._target = target
        self._login = login
        self._behaviour = behaviour
        self._hangs = hangs
        self._over = threading.Event()
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def names(self) -> list[str]:
        """What tunnels were asked for, host:port."""
        return [request.split(" ")[1] for request in self.requests]

    def url(self, login: str = "") -> str:
        return f"http://{login + '@' if login else ''}127.0.0.1:{self.port}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            text = head.decode("latin-1")
            self.requests.append(text)
            if self._hangs:
                self._over.wait(60)
            elif self._behaviour:
                self._behaviour(connection)
            elif self._login and f"Basic {base64.b64encode(self._login.encode()).decode()}" not in text:
                connection.sendall(LOGIN)
            else:
                with socket.create_connection(self._target) as there:
                    connection.sendall(ESTABLISHED)
                    self._relay(connection, there)

    def _relay(self, here: socket.socket, there: socket.socket) -> None:
        back = threading.Thread(target=_pump, args=(there, here), daemon=True)
        back.start()
        _pump(here, there)
        back.join(10)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
