"""What the API server lets this node do, asked with the kubelet's own credentials.

The question is a SelfSubjectAccessReview: it changes nothing, and every client may ask it
about itself. It is the API server's authorizer that the kubelet's request for a
ServiceAccount token is judged by, so its word is as good as a pull.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml

from acr_credential_provider.cloud.dial import dial
from acr_credential_provider.files.memfd import memfd
from acr_credential_provider.model.deadline import Deadline

VERB = "request-serviceaccounts-token-audience"
"""Which a node needs on an audience (as if it were a resource) to ask for tokens that are meant for it."""
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
SECONDS = 5.0
LARGEST = 1 << 20


class ReviewUnavailableError(Exception):
    """The API server could not be asked; the text says why, and holds no secret."""


def may_ask_for_tokens(kubeconfig: str, audience: str, *, namespace: str = "", name: str = "") -> bool:
    """Say whether the node of *kubeconfig* (a path) may ask for tokens for *audience*.

    Of the ServiceAccount *namespace*/*name*, or without these of every ServiceAccount. Raises
    `ReviewUnavailableError`.
    """
    attributes = {"verb": VERB, "group": "", "resource": audience, "namespace": namespace, "name": name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    server = _read(kubeconfig)
    try:
        status, body = _post(server, REVIEWS, json.dumps(review).encode())
    except TimeoutError:
        problem = f"{server.url} did not answer within {SECONDS:.0f} s"
    except ssl.SSLError:  # its text may quote a certificate
        problem = f"{server.url} and this kubeconfig do not trust each other: {kubeconfig}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number and number > 0 else "no usable answer"
        problem = f"{server.url} could not be asked: {reason}"
    else:
        return _allowed(server.url, status, body)
    raise ReviewUnavailableError(problem)


def _allowed(url: str, status: int, body: bytes) -> bool:
    try:
        allowed = json.loads(body)["status"]["allowed"]
    except (ValueError, KeyError, TypeError):
        allowed = None
    if status // 100 != 2 or not isinstance(allowed, bool):
        raise ReviewUnavailableError(f"{url} answered with status {status}")
    return allowed


@dataclass(frozen=True, slots=True)
class _Server:
    """An API server, and who asks it: bytes are PEM, *token* is a bearer's."""

    url: str
    host: str
    port: int
    path: str
    name: str
    authority: str
    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    token: str = field(repr=False)


def _read(kubeconfig: str) -> _Server:
    """Read what the current context of *kubeconfig* says; raise `ReviewUnavailableError`."""
    try:
        with open(kubeconfig, "rb") as file:
            document = yaml.load(file.read(LARGEST), Loader=yaml.CSafeLoader)
        context = _named(document, "contexts", document["current-context"])["context"]
        cluster = _named(document, "clusters", context["cluster"])["cluster"]
        user = _named(document, "users", context["user"])["user"]
        target = urlsplit(cluster["server"])
        folder = os.path.dirname(kubeconfig)
        host = target.hostname or ""
        server = _Server(
            url=f"https://{target.netloc.rpartition('@')[2]}",
            host=host,
            port=target.port or 443,
            path=target.path.rstrip("/"),
            name=cluster.get("tls-server-name") or host,
            authority=_content(cluster, "certificate-authority", folder).decode("ascii"),
            certificate=_content(user, "client-certificate", folder),
            key=_content(user, "client-key", folder),
            token=_bearer(user, folder),
        )
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else kubeconfig
        problem = f"{where} cannot be read: {os.strerror(error.errno or 0)}"
    except (yaml.YAMLError, RecursionError, ValueError, KeyError, TypeError, AttributeError, LookupError):
        problem = f"{kubeconfig} is not a kubeconfig as kubelets have it"
    else:
        if target.scheme == "https" and host and (server.certificate or server.token):
            return server
        problem = f"{kubeconfig} names no https server, or neither a client certificate nor a token"
    raise ReviewUnavailableError(problem)


def _named(document: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [each for each in document[kind] if each["name"] == name]
    return found[0]


def _content(entry: dict[str, Any], key: str, folder: str) -> bytes:
    """Return what *key* or *key*-data holds, empty without either; paths are relative to *folder*."""
    data = entry.get(f"{key}-data")
    if data:
        return b64decode(data, validate=True)
    path = entry.get(key)
    if not path:
        return b""
    with open(os.path.join(folder, path), "rb") as file:
        return file.read(LARGEST)


def _bearer(user: dict[str, Any], folder: str) -> str:
    path = user.get("tokenFile")
    if not path:
        return str(user.get("token") or "")
    with open(os.path.join(folder, path), encoding="ascii") as file:
        return file.read(LARGEST).strip()


def _post(server: _Server, path: str, body: bytes) -> tuple[int, bytes]:
    """Post *body*; return the status and the answer. Raises what sockets, TLS and HTTP raise."""
    deadline = Deadline(SECONDS)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if server.token:
        headers["Authorization"] = f"Bearer {server.token}"
    context = _context(server)
    with dial(server.host, server.port, deadline) as plain:
        plain.settimeout(max(deadline.remaining(), 0.1))
        with context.wrap_socket(plain, server_hostname=server.name) as secured:
            connection = http.client.HTTPConnection(server.host, server.port)
            connection.sock = secured
            connection.request("POST", server.path + path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(LARGEST)


def _context(server: _Server) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=server.authority or None)
    if server.certificate:
        with memfd(server.certificate) as certificate, memfd(server.key) as key:
            context.load_cert_chain(certificate, key)
    return context
