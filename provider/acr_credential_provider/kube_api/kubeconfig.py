"""The API server and credentials of a kubeconfig's current context."""

from __future__ import annotations

import os
from base64 import b64decode
from typing import Any
from urllib.parse import urlsplit

import yaml

from acr_credential_provider.files import regular_file
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import explained

from .client import ApiServer

LARGEST = 1 << 20


def read_kubeconfig(path: str) -> ApiServer:
    """Return the API server of the kubeconfig at *path*, with a client certificate or a token.

    Raises `ConfigurationError`, also for what kubelets have no use for: other schemes, exec plugins.
    """
    remedy = Remedy("KubeconfigUnusable", "Name the kubeconfig that the kubelet itself uses.")
    try:
        document = yaml.load(regular_file.read(path, LARGEST), Loader=yaml.CSafeLoader)
        context = _named(document, "contexts", document["current-context"])["context"]
        cluster = _named(document, "clusters", context["cluster"])["cluster"]
        user = _named(document, "users", context["user"])["user"]
        url = urlsplit(cluster["server"])
        folder = os.path.dirname(path)
        server = ApiServer(
            host=url.hostname or "",
            port=url.port or 443,
            path=url.path.rstrip("/"),
            server_name=cluster.get("tls-server-name") or "",
            authority=_content(cluster, "certificate-authority", folder).decode("ascii"),
            certificate=_content(user, "client-certificate", folder),
            key=_content(user, "client-key", folder),
            token=_bearer(user, folder),
        )
    except OSError as error:
        name = error.filename if isinstance(error.filename, str) else path
        reason, remedy = explained(error, remedy=remedy)
        problem = f"{name} cannot be read: {reason}"
    except (yaml.YAMLError, RecursionError, ValueError, KeyError, TypeError, AttributeError, LookupError):
        problem = f"{path} is not a kubeconfig as kubelets have it"
    else:
        if url.scheme == "https" and server.host and (server.certificate or server.token):
            return server
        problem = f"{path} names no https server, or neither a client certificate nor a token"
    raise ConfigurationError(problem, remedy=remedy)


def _named(document: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    matches: list[dict[str, Any]] = [entry for entry in document[kind] if entry["name"] == name]
    return matches[0]


def _content(entry: dict[str, Any], key: str, folder: str) -> bytes:
    """Return the content of *key* or *key*-data, empty without either; paths are relative to *folder*."""
    data = entry.get(f"{key}-data")
    if data:
        return b64decode(data, validate=True)
    path = entry.get(key)
    if not path:
        return b""
    return regular_file.read(os.path.join(folder, path), LARGEST)


def _bearer(user: dict[str, Any], folder: str) -> str:
    path = user.get("tokenFile")
    if not path:
        return str(user.get("token") or "")
    return regular_file.read(os.path.join(folder, path), LARGEST).decode("ascii").strip()
