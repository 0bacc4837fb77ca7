"""Small servers on 127.0.0.1 that say exactly what a test wants, well-behaved or not."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from email.utils import formatdate

import trustme


class Loopback:
    """Accepts connections and gives each to the next of *behaviours* (the last one stays).

    A behaviour is bytes to send after the request was read, or a function of (socket, request).
    """

    def __init__(self, *behaviours, tls=None, host="127.0.0.1"):
        self._behaviours = list(behaviours)
        self._tls = tls
        self.requests = []
        self.listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self.listener.getsockname()[1]
        self.over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def _accept(self):
        with suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        behaviour = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
        with suppress(OSError):
            try:
                if self._tls:
                    sock = self._tls.wrap_socket(sock, server_side=True)
                if getattr(behaviour, "before_request", False):
                    behaviour(sock, self.over)
                    return
                request = read_head(sock)
                self.requests.append(request)
                if callable(behaviour):
                    behaviour(sock, request)
                else:
                    sock.sendall(behaviour)
            finally:
                sock.close()

    def close(self):
        self.over.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@contextmanager
def serving(*behaviours, tls=None, host="127.0.0.1"):
    server = Loopback(*behaviours, tls=tls, host=host)
    try:
        yield server
    finally:
        server.close()


def read_head(sock):
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(65536)
        if not piece:
            break
        head += piece
    return head.decode("latin-1")


def header(request, name):
    lines = [line for line in request.split("\r\n") if line.lower().startswith(name.lower() + ":")]
    return lines[0].partition(":")[2].strip() if lines else None


def answer(status=200, body=b"", *, at=None, **headers):
    """Return the bytes of an HTTP answer; *at* is its Date in seconds since the epoch."""
    if isinstance(body, dict | list):
        headers = {"Content_Type": "application/json", **headers}
        body = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    if at is not False:
        lines.append(f"Date: {formatdate(at, usegmt=True)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def before_request(behaviour):
    behaviour.before_request = True
    return behaviour


@before_request
def say_nothing(sock, over):
    over.wait(5)


def drip(what, *, start=b""):
    """Send *start*, then *what* a byte at a time, for ever if it comes to that."""

    def behaviour(sock, request):
        sock.sendall(start)
        until = time.monotonic() + 5
        while time.monotonic() < until:
            for byte in what:
                sock.sendall(bytes([byte]))
                time.sleep(0.03)

    return behaviour


def reset(sock, request):
    import struct

    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Authority:
    """A throw-away CA, its bundle on disk, and servers' contexts."""

    def __init__(self, folder):
        self._ca = trustme.CA()
        self.bundle = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.bundle)

    def context(self, *names, **kwargs):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*(names or ("127.0.0.1",)), **kwargs).configure_cert(context)
        return context
