"""The few calls of the Kubernetes API that a node makes: JSON in, JSON out, each within its deadline.

Not a client library: one would be larger than the rest of what a node is given.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.files.memfd import memfd
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import CloudUnreachableError, CredentialProviderError
from acr_credential_provider.model.remedy import NONE, Remedy
from acr_credential_provider.model.resource_limits import explained

if TYPE_CHECKING:
    from collections.abc import Callable

    Connect = Callable[[str, int, Deadline], socket.socket]

SECONDS = 10.0
"""For one call: connection, TLS, answer."""
LARGEST = 1 << 20
JSON = "application/json"
STRATEGIC_MERGE = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"

_REMEDIES = {
    401: Remedy(
        "PodTokenMissing",
        "The reporter's token volume is missing or expired: see projected volumes in the DaemonSet.",
    ),
    403: Remedy(
        "ClusterPermissionMissing",
        "Apply the RBAC that comes with the DaemonSet, for the ServiceAccount that it names.",
    ),
    404: Remedy(
        "ManifestsIncomplete",
        "Apply the manifests again: an object that they bring is not there. "
        "Argo CD leaves out Leases unless its resource.exclusions are changed.",
    ),
}
_PASSES = Remedy("ApiServerUnreachable", "Nothing, if it passes: it is tried again.")


class ApiRefusedError(CredentialProviderError):
    """The API server said no; *status* is its HTTP status."""

    def __init__(self, method: str, path: str, status: int) -> None:
        super().__init__(
            f"the API server refused {method} {path} ({status})",
            remedy=_REMEDIES.get(status, _PASSES),
        )
        self.status = status


class ApiUnreachableError(CloudUnreachableError):
    """There was no usable answer; *reason* holds nothing that the server wrote. *is_tls*: TLS did not come about."""

    def __init__(self, method: str, path: str, reason: str, *, is_tls: bool = False) -> None:
        super().__init__(
            f"the API server did not answer {method} {path}: {reason}",
            remedy=Remedy(
                "ApiServerUnreachable",
                "Nothing, if it passes: it is tried again. If it stays, look at network policies.",
            ),
        )
        self.reason = reason
        self.is_tls = is_tls


@dataclass(frozen=True, slots=True)
class ApiServer:
    """An API server, and the credentials for it: PEM and a bearer token, each empty for none.

    *server_name* is the name that its certificate must have, *host* without one. *is_plain* speaks HTTP, for tests.
    """

    host: str
    port: int
    path: str = ""
    server_name: str = ""
    authority: str = ""
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    is_plain: bool = False

    def tls_context(self) -> ssl.SSLContext:
        """Return a context that trusts *authority* alone, or the system's without one."""
        context = ssl.create_default_context(cadata=self.authority or None)
        if self.certificate:
            with memfd(self.certificate) as certificate, memfd(self.key) as key:
                context.load_cert_chain(certificate, key)
        return context


def _connect(host: str, port: int, deadline: Deadline) -> socket.socket:
    return socket.create_connection((host, port), timeout=deadline.remaining())


class NodeKubeClient:
    """The API server of *find*, which is called anew for each call, because kubelets renew tokens and CAs.

    Raises `ApiRefusedError` and `ApiUnreachableError`, and what *find* raises. *connect* opens a TCP connection.
    """

    def __init__(self, find: Callable[[], ApiServer], *, seconds: float = SECONDS, connect: Connect = _connect) -> None:
        self._find = find
        self._seconds = seconds
        self._connect = connect

    def get(self, path: str) -> dict[str, Any]:
        """Return the object at *path*."""
        return self._call("GET", path)

    def put(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Replace the object at *path*, provided a `metadata.resourceVersion` in *document* still matches."""
        return self._call("PUT", path, document)

    def post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Create *document* in the collection at *path*."""
        return self._call("POST", path, document)

    def patch(self, path: str, document: dict[str, Any], kind: str = MERGE) -> dict[str, Any]:
        """Patch the object at *path*; *kind* is the patch's media type."""
        return self._call("PATCH", path, document, kind)

    def _call(self, method: str, path: str, document: dict[str, Any] | None = None, kind: str = JSON) -> dict[str, Any]:
        server = self._find()
        headers = {"Accept": JSON}
        if server.token:
            headers["Authorization"] = f"Bearer {server.token}"
        body = None if document is None else json.dumps(document).encode()
        if body is not None:
            headers["Content-Type"] = kind
        deadline, is_tls = Deadline(self._seconds), False
        try:
            status, content = self._exchange(server, deadline, (method, server.path + path, body, headers))
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason, is_tls = _reason(error, deadline, self._seconds), isinstance(error, ssl.SSLError)
        else:
            if status >= 300:
                raise ApiRefusedError(method, path, status)
            reason, answer = _decoded(content)
            if not reason:
                return answer
        # Outside of the handler, so that no foreign exception's text or context leaves this module.
        raise ApiUnreachableError(method, path, reason, is_tls=is_tls)

    def _exchange(
        self, server: ApiServer, deadline: Deadline, request: tuple[str, str, bytes | None, dict[str, str]]
    ) -> tuple[int, bytes]:
        context = None if server.is_plain else server.tls_context()
        sock = self._connect(server.host, server.port, deadline)
        sock.settimeout(max(deadline.remaining(), 0.1))
        if context is not None:
            name = server.server_name or server.host
            sock = context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
        # A server that sends a byte now and then keeps every single wait short; the timer ends the whole.
        timer = threading.Timer(deadline.remaining(), _hang_up, (sock,))
        timer.daemon = True
        timer.start()
        connection = http.client.HTTPConnection(server.host, server.port)
        try:
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
            connection.sock = sock
            connection.request(*request)
            answer = connection.getresponse()
            return answer.status, answer.read(LARGEST + 1)
        finally:
            timer.cancel()
            sock.close()
            connection.close()


def _reason(error: Exception, deadline: Deadline, seconds: float) -> str:
    if not deadline.remaining() or isinstance(error, TimeoutError):
        return f"no answer within {seconds:.0f} s"
    if isinstance(error, ssl.SSLError):  # its text may quote a certificate
        return f"TLS: {error.reason or type(error).__name__}"
    return explained(error, remedy=NONE).problem if isinstance(error, OSError) else type(error).__name__


def _decoded(content: bytes) -> tuple[str, dict[str, Any]]:
    """Return what is wrong with an answer, "" for nothing, and the object in it."""
    if len(content) > LARGEST:
        return "its answer is larger than 1 MiB", {}
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    return ("", answer) if isinstance(answer, dict) else ("its answer is not a JSON object", {})


def _hang_up(sock: socket.socket) -> None:
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not SSLSocket's, which is not for another thread
    except OSError:
        return
