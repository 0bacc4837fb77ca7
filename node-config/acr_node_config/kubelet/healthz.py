"""Asks a kubelet's /healthz, and finds out who answers there.

While a kubelet restarts, any process can take its port. So an answer counts only if the sockets that listen there are
the kubelet's, before the question and after the answer: nobody else can listen at the same address meanwhile.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PORT = 10248
SECONDS = 2.0
_LISTENS = "0A"


def _word(address: bytes) -> str:
    """Return four bytes as /proc/net/tcp writes them."""
    return f"{int.from_bytes(address, sys.byteorder):08X}"


_LOOPBACK = _word(socket.inet_aton("127.0.0.1"))
_MAPPED = _word(bytes(4)) * 2 + _word(b"\0\0\xff\xff") + _LOOPBACK
# In the order in which the kernel chooses for a connection to 127.0.0.1.
_ADDRESSES = ((_LOOPBACK, _MAPPED), ("0" * 8, "0" * 32))


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that listens, and the user of the process that made it."""

    inode: int
    user: int


def listeners(proc: str, port: int = PORT) -> frozenset[Listener]:
    """Return the sockets that answer at 127.0.0.1:*port*, in the network of the first process of *proc*.

    Raises ``OSError`` if that cannot be read.
    """
    found = [*_listening(f"{proc}/1/net/tcp", port)]
    if os.path.exists(f"{proc}/1/net/tcp6"):
        found += _listening(f"{proc}/1/net/tcp6", port)
    for addresses in _ADDRESSES:
        chosen = frozenset(listener for address, listener in found if address in addresses)
        if chosen:
            return chosen
    return frozenset()


def _listening(table: str, port: int) -> Iterator[tuple[str, Listener]]:
    with open(table, encoding="ascii") as file:
        for line in file:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTENS:
                address, _, number = fields[1].partition(":")
                if int(number, 16) == port:
                    yield address, Listener(int(fields[9]), int(fields[7]))


def sockets_of(proc: str, pids: Iterable[int]) -> frozenset[int]:
    """Return the inodes of the sockets that the processes *pids* have open; raise ``OSError`` if one cannot be seen."""
    found = set()
    for pid in pids:
        for path in _files_of(proc, pid):
            try:
                match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(path))
            except OSError:  # closed meanwhile
                continue
            if match:
                found.add(int(match[1]))
    return frozenset(found)


def _files_of(proc: str, pid: int) -> list[str]:
    folder = f"{proc}/{pid}/fd"
    try:
        return [f"{folder}/{name}" for name in os.listdir(folder)]
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return []


def answers(port: int = PORT, *, seconds: float = SECONDS) -> bool:
    """True if GET /healthz on the loopback address has status 200 within *seconds*.

    Any process may listen there: no more than the status line is read, and no proxy is used, whatever the environment.
    """
    end = time.monotonic() + seconds
    status = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            while len(status) < len(b"HTTP/1.1 200 ") and (left := end - time.monotonic()) > 0:
                connection.settimeout(left)
                piece = connection.recv(4096)
                if not piece:
                    break
                status += piece
    except OSError:  # the status may have come before
        pass
    return re.match(rb"HTTP/1\.[01] 200\b", status) is not None
