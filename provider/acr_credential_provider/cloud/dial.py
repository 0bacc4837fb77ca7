"""Opens a TCP connection within a strict deadline, however slow DNS and the addresses are."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import threading
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.model.deadline import Deadline

    Resolver = Callable[[bytes, int, int, int], list[tuple[Any, ...]]]
    """`socket.getaddrinfo` with host, port, family and kind of socket."""

_MOST_ADDRESSES = 8
_STAGGER = 0.25  # seconds, as RFC 8305 has it


class NameLookupTimeoutError(TimeoutError):
    """DNS did not answer in time."""


def dial(host: str, port: int, deadline: Deadline, *, resolver: Resolver = socket.getaddrinfo) -> socket.socket:
    """Return a connected socket to the first address of *host* that answers, or raise OSError.

    Addresses are tried a moment apart and not one after the other, because a black hole behind the first one (often
    IPv6 without a route) must not use up the time of the others.
    """
    waiting = addresses(host, port, deadline, resolver=resolver)
    stagger = min(_STAGGER, deadline.remaining() / (2 * len(waiting)))
    failure = errno.EHOSTUNREACH
    pending: list[socket.socket] = []
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or pending:
                if not deadline.remaining():
                    raise TimeoutError
                if waiting:
                    sock, failure = _begin(waiting.pop(0), failure)
                    if sock is None:
                        continue
                    pending.append(sock)
                    selector.register(sock, selectors.EVENT_WRITE)
                pause = min(stagger, deadline.remaining()) if waiting else deadline.remaining()
                for key, _ in selector.select(pause):
                    ready = next(sock for sock in pending if sock is key.fileobj)
                    selector.unregister(ready)
                    pending.remove(ready)
                    failure = ready.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if not failure:
                        return ready
                    ready.close()
        finally:
            for sock in pending:
                sock.close()
    raise OSError(failure, os.strerror(failure))


def _begin(target: tuple[Any, ...], failure: int) -> tuple[socket.socket | None, int]:
    """Start to connect to *target*; return the socket and *failure*, or ``None`` and the errno."""
    family, kind, protocol, _, address = target
    try:
        sock = socket.socket(family, kind, protocol)
    except OSError as error:  # no IPv6 in this kernel
        return None, error.errno or failure
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code in {0, errno.EINPROGRESS}:
        return sock, failure
    sock.close()
    return None, code


def _raise_limit() -> None:
    """Raise ``OSError`` if a limit keeps this process from opening a socket: getaddrinfo would name another cause."""
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()


def addresses(
    host: str, port: int, deadline: Deadline, *, resolver: Resolver = socket.getaddrinfo
) -> list[tuple[Any, ...]]:
    """Return the addresses of *host* as `socket.getaddrinfo` does, or raise OSError.

    It runs in a thread, because getaddrinfo cannot be interrupted.
    """
    results: list[list[tuple[Any, ...]] | OSError] = []

    def look_up() -> None:
        try:
            # Bytes, because a str would load the IDNA codec, which is not needed.
            results.append(resolver(host.encode("ascii"), port, 0, socket.SOCK_STREAM))
        except OSError as error:
            results.append(error)

    thread = threading.Thread(target=look_up, name="dns", daemon=True)
    thread.start()
    thread.join(deadline.remaining())
    if not results:
        raise NameLookupTimeoutError
    if isinstance(results[0], OSError):
        _raise_limit()
        raise results[0]
    if not results[0]:
        raise socket.gaierror(socket.EAI_NONAME, "")
    return results[0][:_MOST_ADDRESSES]
