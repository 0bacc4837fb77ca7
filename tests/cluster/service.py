"""A Service of the cluster whose replicas are servers of a test: what kube-proxy is for."""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

    from .loopback_api import LoopbackApi

ADDRESSES = (f"127.124.0.{last}" for last in itertools.count(50))


class Service:
    """The Service *name* in *namespace*, at a *port* that is free here; `ports` are those of its replicas."""

    def __init__(self, api: LoopbackApi, namespace: str, name: str) -> None:
        self.ports: list[int] = []
        self._turn = itertools.count()
        self._address = next(ADDRESSES)
        self._api, self._namespace, self._name = api, namespace, name

    def __enter__(self) -> Self:
        self._listening = socket.create_server((self._address, 0), backlog=256)
        self.port: int = self._listening.getsockname()[1]
        spec = {"clusterIP": self._address, "ports": [{"port": self.port, "protocol": "TCP"}]}
        self._api.create(
            f"/api/v1/namespaces/{self._namespace}/services", {"metadata": {"name": self._name}, "spec": spec}
        )
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.drop()
        self._api.request("DELETE", f"/api/v1/namespaces/{self._namespace}/services/{self._name}")

    def drop(self) -> None:
        """Cut all connections, as when replicas' nodes are lost."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client:
            if not self.ports:
                return  # refused, as where a Service has no endpoints
            port = self.ports[next(self._turn) % len(self.ports)]
            try:
                server = socket.create_connection(("127.0.0.1", port), timeout=10)
            except OSError:
                return
            with server:
                for each in (client, server):  # as the kernel, which forwards packets and waits for none
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open |= {client, server}
                with contextlib.suppress(OSError):
                    _pipe(client, server)
                self._open -= {client, server}


def _pipe(left: socket.socket, right: socket.socket) -> None:
    with selectors.DefaultSelector() as ready:
        ready.register(left, selectors.EVENT_READ, right)
        ready.register(right, selectors.EVENT_READ, left)
        while True:
            for key, _ in ready.select():
                source: Any = key.fileobj
                some = source.recv(65536)
                if not some:
                    return
                key.data.sendall(some)
