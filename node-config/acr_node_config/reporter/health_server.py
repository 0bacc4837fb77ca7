"""The reporter's port: /metrics for monitoring, /healthz for the kubelet's probes. GET only, nothing secret."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SECONDS = 5.0
"""Without a byte from a client."""
AT_ONCE = 16
"""Clients; others are hung up on."""

Page = tuple[int, str]
"""An HTTP status and a text."""


class HealthServer(http.server.ThreadingHTTPServer):
    """Answers the paths of *pages* on *host*:*port* until `shutdown`."""

    daemon_threads = True

    def __init__(self, host: str, port: int, pages: Mapping[str, Callable[[], Page]]) -> None:
        self._pages = pages
        self._places = threading.BoundedSemaphore(AT_ONCE)
        super().__init__((host, port), _Handler)

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def page(self, path: str) -> Page:
        """Return what is at *path*."""
        make = self._pages.get(path.partition("?")[0])
        return make() if make is not None else (404, "not found\n")

    def process_request(self, request: object, client_address: object) -> None:
        """Serve *request* in a thread, if there is room for one more."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)  # type: ignore[arg-type]
            return
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        """Serve *request*, and make room."""
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that hung up."""


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = SECONDS
    server: HealthServer

    def do_GET(self) -> None:
        status, text = self.server.page(self.path)
        body = text.encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Leave probes out of the log."""
