"""Ports at which nobody listens."""

import socket

_TAKEN: list[socket.socket] = []


def closed_port(host: str = "127.0.0.1") -> int:
    """Return a port of *host* that refuses connections for as long as this process lives.

    The port stays taken, so that no test beside this one gets it and listens there.
    """
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    taken.bind((host, 0))
    _TAKEN.append(taken)
    return taken.getsockname()[1]
