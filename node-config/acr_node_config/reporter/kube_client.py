"""The few calls of the Kubernetes API that the reporter makes: JSON in, JSON out, each within its deadline.

Not a client library: one would be larger than the rest of what a node is given, for nine lines of RBAC.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.errors import CloudUnreachableError, ConfigurationError, CredentialProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = 10.0
"""For one call: connection, TLS, answer."""
LARGEST = 1 << 20
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
JSON = "application/json"
STRATEGIC_MERGE = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"


class ApiRefusedError(CredentialProviderError):
    """The API server said no; *status* is its HTTP status."""

    def __init__(self, method: str, path: str, status: int) -> None:
        super().__init__(
            f"the API server refused {method} {path} ({status})",
            remedy={
                401: "The reporter's token volume is missing or expired: see projected volumes in the DaemonSet.",
                403: "Apply the RBAC that comes with the DaemonSet, for the ServiceAccount that it names.",
                404: "Apply the manifests again: an object that they bring is not there.",
            }.get(status, "Nothing, if it passes: it is tried again."),
        )
        self.status = status


class NodeKubeClient:
    """The API server as the ServiceAccount whose token is in *token_file* sees it.

    The file is read again for each call: the kubelet renews it. *ca_file* "" speaks HTTP, for tests on loopback.
    """

    def __init__(self, host: str, port: int, *, token_file: str, ca_file: str, seconds: float = SECONDS) -> None:
        self._where = (host, port)
        self._token_file = token_file
        self._ca_file = ca_file
        self._seconds = seconds

    @classmethod
    def in_cluster(cls, environment: Mapping[str, str], folder: str = SERVICE_ACCOUNT) -> NodeKubeClient:
        """Return the API server of the cluster that this pod is in; raise `ConfigurationError` outside of one."""
        host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "")
        if not host or not port.isdigit():
            raise ConfigurationError(
                "this is not a pod of a cluster: KUBERNETES_SERVICE_HOST or KUBERNETES_SERVICE_PORT is not set",
                remedy="The reporter runs in the DaemonSet's pods; on a node alone, `node status` says the same.",
            )
        return cls(host, int(port), token_file=f"{folder}/token", ca_file=f"{folder}/ca.crt")

    def get(self, path: str) -> dict[str, Any]:
        """Return what is at *path*."""
        return self._call("GET", path)

    def put(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Replace what is at *path*; a `metadata.resourceVersion` in *document* must be the one that is there."""
        return self._call("PUT", path, document)

    def post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Create *document* in the collection at *path*."""
        return self._call("POST", path, document)

    def patch(self, path: str, document: dict[str, Any], kind: str = MERGE) -> dict[str, Any]:
        """Change what is at *path* as *kind* says."""
        return self._call("PATCH", path, document, kind)

    def _call(self, method: str, path: str, document: dict[str, Any] | None = None, kind: str = JSON) -> dict[str, Any]:
        headers = {"Accept": JSON, "Authorization": f"Bearer {self._token()}"}
        body = None if document is None else json.dumps(document).encode()
        if body is not None:
            headers["Content-Type"] = kind
        outcome = self._exchange(method, path, body, headers)
        # Outside of the handler: no foreign exception's text or context leaves this module.
        if isinstance(outcome, CredentialProviderError):
            raise outcome
        status, content = outcome
        if status >= 300:
            raise ApiRefusedError(method, path, status)
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self._unreachable(method, path, "its answer is not a JSON object")
        return answer

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes] | CredentialProviderError:
        connection: http.client.HTTPConnection | None = None
        try:
            connection = self._connection()
            # A server that sends a byte now and then keeps every single wait short; this ends the whole.
            end = threading.Timer(self._seconds, _hang_up, (connection,))
            end.daemon = True
            end.start()
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                content = answer.read(LARGEST + 1)
            finally:
                end.cancel()
        except ssl.SSLError as error:
            return self._unreachable(method, path, f"TLS: {error.reason or type(error).__name__}")
        except (OSError, http.client.HTTPException) as error:
            number = error.errno if isinstance(error, OSError) else None
            return self._unreachable(method, path, os.strerror(number) if number else type(error).__name__)
        finally:
            if connection is not None:
                connection.close()
        if len(content) > LARGEST:
            return self._unreachable(method, path, "its answer is larger than 1 MiB")
        return answer.status, content

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._where
        if not self._ca_file:
            return http.client.HTTPConnection(host, port, timeout=self._seconds)
        # Made anew each time: the CA is renewed too.
        trusted = ssl.create_default_context(cafile=self._ca_file)
        return http.client.HTTPSConnection(host, port, timeout=self._seconds, context=trusted)

    def _token(self) -> str:
        try:
            with open(self._token_file, encoding="ascii") as file:
                token = file.read(1 << 16).strip()
        except (OSError, ValueError):
            token = ""
        if not token or not token.isprintable() or " " in token:
            raise ConfigurationError(
                f"{self._token_file} holds no token", remedy="See the projected token volume in the DaemonSet."
            )
        return token

    @staticmethod
    def _unreachable(method: str, path: str, why: str) -> CloudUnreachableError:
        return CloudUnreachableError(
            f"the API server did not answer {method} {path}: {why}",
            remedy="Nothing, if it passes: it is tried again. If it stays, look at network policies.",
        )


def _hang_up(connection: http.client.HTTPConnection) -> None:
    with suppress(OSError, AttributeError):
        connection.sock.shutdown(2)
