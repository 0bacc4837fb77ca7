"""Asks what listens on this network's loopback. It may be anybody: no answer takes longer or is larger than it may."""

from __future__ import annotations

import re
import socket
import time

_IS_OK = re.compile(rb"HTTP/1\.[01] 200\b")
STATUS = len(b"HTTP/1.1 200 ")
"""Bytes that tell `is_ok`."""


def get(port: int, path: str, *, seconds: float, largest: int) -> bytes:
    """Return what *port* answers to a GET of *path*, its head and all: what of it came within *seconds*.

    No more than about *largest* bytes of it; none where nobody listens. No proxy is asked, whatever the environment.
    """
    end = time.monotonic() + seconds
    said = bytearray()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode("ascii"))
            while len(said) < largest and (left := end - time.monotonic()) > 0:
                connection.settimeout(left)
                piece = connection.recv(1 << 16)
                if not piece:
                    break
                said += piece
    except OSError:  # of what came before, the part that was asked for may be whole
        pass
    return bytes(said)


def is_ok(answer: bytes) -> bool:
    """Say whether *answer* has the status 200.

    >>> is_ok(b"HTTP/1.0 200 OK"), is_ok(b"HTTP/1.0 500 Internal Server Error"), is_ok(b"")
    (True, False, False)
    """
    return _IS_OK.match(answer) is not None
