"""Opens a TCP connection within a time that holds, whatever DNS and the addresses do."""

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
    """As `socket.getaddrinfo`: host, port, family, kind of socket."""

_MOST_ADDRESSES = 8
_STAGGER = 0.25  # seconds, as RFC 8305 has it


class NameLookupTimeoutError(TimeoutError):
    """DNS did not answer in time."""


def dial(host: str, port: int, deadline: Deadline, *, resolver: Resolver = socket.getaddrinfo) -> socket.socket:
    """Return a connected socket to the first address of *host* that answers, or raise OSError.

    Addresses are tried a moment apart and not one after the other: a black hole behind the
    first one (IPv6 without a route out is common) must not use up the time of the others.
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
                    ready = next(one for one in pending if one is key.fileobj)
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


def _begin(found: tuple[Any, ...], failure: int) -> tuple[socket.socket | None, int]:
    """Start to connect; return the socket, or ``None`` and the errno of why not."""
    family, kind, protocol, _, address = found
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


def addresses(
    host: str, port: int, deadline: Deadline, *, resolver: Resolver = socket.getaddrinfo
) -> list[tuple[Any, ...]]:
    """Look *host* up, as `socket.getaddrinfo` does, or raise OSError.

    In a thread: getaddrinfo cannot be interrupted, only no longer waited for.
    """
    found: list[list[tuple[Any, ...]] | OSError] = []

    def look_up() -> None:
        try:
            # Bytes, because a str would load the IDNA codec for nothing.
            found.append(resolver(host.encode("ascii"), port, 0, socket.SOCK_STREAM))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=look_up, name="dns", daemon=True)
    thread.start()
    thread.join(deadline.remaining())
    if not found:
        raise NameLookupTimeoutError
    if isinstance(found[0], OSError):
        raise found[0]
    if not found[0]:
        raise socket.gaierror(socket.EAI_NONAME, "")
    return found[0][:_MOST_ADDRESSES]
