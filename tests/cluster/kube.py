"""A small client of the Kubernetes API: JSON in, JSON out, over sockets that live on the node."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from .node import Node
    from .pki import Pki


class KubeError(Exception):
    """The API refused; *status* is its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status


class KubeApi:
    """The API (or a kubelet's own) at *address*:*port* of *node*, as *user* sees it: an administrator."""

    def __init__(
        self, node: Node, address: str, port: int, *, pki: Pki, user: str = "admin", group: str = "system:masters"
    ) -> None:
        self._node = node
        self._where = (address, port)
        self._tls = ssl.create_default_context(cafile=str(pki.ca_file))
        pair = pki.client(user, group=group)
        self._tls.load_cert_chain(pair.cert, pair.key)
        self._turn = threading.Lock()

    def raw(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        """Send one request on a connection of its own and return the answer; raise `KubeError`."""
        connection = http.client.HTTPSConnection(*self._where, context=self._tls, timeout=30)
        # A socket belongs to the namespace it was made in; who uses it afterwards does not matter.
        self._node.call(connection.connect)
        try:
            connection.request(method, path, body, {"Content-Type": kind} if body else {})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise KubeError(answer.status, content.decode(errors="replace"))
        return content

    def get(self, path: str, **query: str) -> dict[str, Any]:
        return json.loads(self.raw("GET", path + (f"?{urlencode(query)}" if query else "")))

    def find(self, path: str) -> dict[str, Any] | None:
        """Return what is at *path*, None when there is nothing."""
        try:
            return self.get(path)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def create(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        return json.loads(self.raw("POST", path, json.dumps(document).encode()))

    def patch(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps(document).encode()
        return json.loads(self.raw("PATCH", path, body, "application/merge-patch+json"))

    def delete(self, path: str, **query: str) -> None:
        """Delete what is at *path*, if it is there."""
        try:
            self.raw("DELETE", path + (f"?{urlencode(query)}" if query else ""))
        except KubeError as error:
            if error.status != 404:
                raise

    def is_ready(self, path: str = "/readyz") -> bool:
        try:
            self.raw("GET", path)
        except (OSError, KubeError, http.client.HTTPException):
            return False
        return True
