"""What a node may ask an API server about itself: a TLS server that wants client certificates or a bearer's token.

For tests of who asks; what a real API server answers, the cluster tests see.
"""

from __future__ import annotations

import json
import ssl
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import trustme

if TYPE_CHECKING:
    from pathlib import Path

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
BEARER = "canary-bearer-token"


class ApiServer:
    """Up while it is a context; *granted* are the (resource, namespace, name) that nodes may ask tokens for.

    An empty namespace or name of a grant stands for all, as in RBAC. `asked` are the attributes of all reviews.
    """

    def __init__(self, *granted: tuple[str, str, str]) -> None:
        self.granted = granted
        self.asked: list[dict[str, Any]] = []
        self.status = 201
        self.ca = trustme.CA()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert("127.0.0.1").configure_cert(context)
        self.ca.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def may(self, attributes: dict[str, Any]) -> bool:
        if attributes["verb"] != "request-serviceaccounts-token-audience" or attributes["group"] != "":
            return False
        wanted = (attributes["resource"], attributes["namespace"], attributes["name"])
        return any(
            resource == wanted[0] and namespace in ("", wanted[1]) and name in ("", wanted[2])
            for resource, namespace, name in self.granted
        )

    def kubeconfig(
        self, folder: Path, *, inline: bool = False, bearer: bool = False, ca: trustme.CA | None = None
    ) -> Path:
        """Write a kubeconfig as kubelets have it; its parts are files beside it, or *inline*."""
        issued = self.ca.issue_cert("client.invalid", common_name="system:node:n", organization_name="system:nodes")
        parts = {
            "certificate-authority": (ca or self.ca).cert_pem.bytes(),
            "client-certificate": b"".join(blob.bytes() for blob in issued.cert_chain_pems),
            "client-key": issued.private_key_pem.bytes(),
        }
        written = {}
        for key, content in parts.items():
            if inline:
                written[f"{key}-data"] = b64encode(content).decode()
            else:
                (folder / f"{key}.pem").write_bytes(content)
                written[key] = f"{key}.pem"
        cluster = {key: value for key, value in written.items() if key.startswith("certificate-authority")}
        user: dict[str, str] = {key: value for key, value in written.items() if key not in cluster}
        if bearer:
            (folder / "bearer").write_text(BEARER + "\n")
            user = {"tokenFile": str(folder / "bearer")}
        path = folder / "kubelet.conf"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "other", "cluster": {}}, {"name": "c", "cluster": {"server": self.url, **cluster}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(json.dumps(document))
        return path

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                is_known = bool(self.connection.getpeercert()) or self.headers["Authorization"] == f"Bearer {BEARER}"
                status = api.status if is_known else 401
                if self.path != REVIEWS or body["kind"] != "SelfSubjectAccessReview":
                    status = 404
                attributes = body["spec"]["resourceAttributes"]
                api.asked.append(attributes)
                answer = {**body, "status": {"allowed": api.may(attributes)}} if status == 201 else {"kind": "Status"}
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
