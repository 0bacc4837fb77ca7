"""The Kubernetes API, as far as the controller needs it: the edge.

lightkube finds the cluster and signs in (kubeconfig, projected tokens that are read anew, client certificates); its
HTTP client sends. What it has no words for is said here: bookmarks, and a read that ends when a watch falls silent.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager
from email.utils import mktime_tz, parsedate_tz
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec
from lightkube.config.client_adapter import Client, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ConfigError

from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.pull_secrets.model.names import FIELD_MANAGER
from acr_credential_provider.pull_secrets.model.reporter import NullReporter

from .api_errors import ClusterError, refusal, unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lightkube.config.kubeconfig import SingleConfig

    from acr_credential_provider.pull_secrets.model.reporter import Reporter

PAGE = 500
"""Objects in one answer to a list, so that ten thousand never lie in memory as text at once."""
SILENCE = 50.0
"""Seconds without a byte after which a watch is taken for dead; going on from where it was costs next to nothing."""
CALL = httpx2.Timeout(10.0, connect=5.0)
JSON_PATCH = "application/json-patch+json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

# It would write each URL, and with it every object's name, into a log that somebody set to INFO.
logging.getLogger("httpx2").setLevel(logging.WARNING)
logging.getLogger("httpcore2").setLevel(logging.WARNING)


class KubeClient:
    """One cluster's API; safe for use by many threads."""

    def __init__(
        self, config: SingleConfig, *, trust_environment: bool = True, reporter: Reporter | None = None
    ) -> None:
        self.reporter: Reporter = reporter or NullReporter()
        self.own_namespace = config.namespace
        self._http = Client(config, ConnectionParams(timeout=CALL, trust_env=trust_environment))
        self._ahead = 0.0
        """Seconds by which the API server's clock is ahead of ours."""
        # Compressing a list costs the API server more than the bytes cost the network.
        self._http.headers["Accept-Encoding"] = "identity"

    @classmethod
    def find(cls, *, kubeconfig: str = "", context: str = "", reporter: Reporter | None = None) -> KubeClient:
        """Return the API of the cluster that this runs in, or that *kubeconfig* (or ``KUBECONFIG``) names.

        Raises `ConfigurationError` where there is none. In a pod no proxy is used: those variables are for the cloud.
        """
        in_pod = not kubeconfig and os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token")
        try:
            found = KubeConfig.from_file(kubeconfig) if kubeconfig else KubeConfig.from_env()
            config = found.get(context or None)
            if config is not None:
                return cls(config, trust_environment=not in_pod, reporter=reporter)
        except Exception:  # noqa: BLE001, S110 - what a file can be wrong by, lightkube lets out in any form
            pass
        raise ConfigurationError(
            "no cluster is configured here, or its configuration can't be used",
            remedy="Run it in a pod with a ServiceAccount, or name a kubeconfig with --kubeconfig (and --context).",
        )

    def close(self) -> None:
        """Close all connections, once no thread uses them any more.

        A descriptor that is closed under a thread that reads from it may be another connection's a moment later.
        """
        self._http.close()

    def get(self, path: str) -> dict[str, Any] | None:
        """Return the object at *path* (``/api/v1/...``), or None where there is none."""
        try:
            return self._json("GET", path)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def now(self) -> float:
        """Return the time by the API server's clock, as its last answer had it; seconds since the epoch."""
        return time.time() + self._ahead

    def create(
        self, path: str, body: Mapping[str, Any], *, timeout: float = 0.0, dry_run: bool = False
    ) -> dict[str, Any]:
        """Create *body* in the collection at *path*, within *timeout* seconds if given; return what came to be.

        With *dry_run* it would have come to be.
        """
        return self._json("POST", path, body=body, timeout=timeout, dry_run=dry_run)

    def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Put *body*, whose resourceVersion must be the present one, in the place of the object at *path*."""
        return self._json("PUT", path, body=body)

    def patch(self, path: str, operations: Sequence[Mapping[str, Any]], *, dry_run: bool = False) -> dict[str, Any]:
        """Carry out a JSON patch on the object at *path*; return what came to be, or would have with *dry_run*."""
        return self._json("PATCH", path, body=operations, content_type=JSON_PATCH, dry_run=dry_run)

    def delete(self, path: str, *, uid: str = "", resource_version: str = "") -> bool:
        """Delete the object at *path*, if it is still the one that was seen; False where there is none."""
        seen = {"uid": uid, "resourceVersion": resource_version}
        conditions = {key: value for key, value in seen.items() if value}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}
        try:
            self._json("DELETE", path, body=body)
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return True

    def pages(self, path: str, *, selector: Mapping[str, str], accept: str = "application/json") -> Iterator[bytes]:
        """Yield the pages of the list at *path*, each as the JSON of a list of the kind."""
        parameters = {"limit": str(PAGE), **selector}
        while True:
            content = self._send("GET", path, parameters=parameters, accept=accept, verb="LIST").content
            yield content
            token = msgspec.json.decode(content, type=_Page).metadata.continue_
            if not token:
                return
            parameters["continue"] = token

    @contextmanager
    def watch(  # noqa: PLR0913 - what a watch may be asked for
        self,
        path: str,
        *,
        selector: Mapping[str, str],
        since: str,
        seconds: float,
        accept: str = "application/json",
        silence: float = SILENCE,
    ) -> Iterator[Iterator[bytes]]:
        """Yield the lines of a watch that the server ends after *seconds*.

        Raises `ClusterError` when it says no, when the connection fails, and after *silence* seconds without a byte
        (reason ``IdleTimeout``).
        """
        parameters = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(int(seconds)),
            **selector,
        }
        timeout = httpx2.Timeout(10.0, connect=5.0, read=silence)
        request = self._http.build_request("GET", path, params=parameters, headers={"Accept": accept}, timeout=timeout)
        started = time.monotonic()
        response: httpx2.Response | None = None
        outcome: ClusterError | None = None
        try:
            response = self._http.send(request, stream=True)
            self.reporter.called("WATCH", _resource(path), str(response.status_code), time.monotonic() - started)
            if response.status_code != 200:
                response.read()
                outcome = refusal("WATCH", path, response)
            else:
                yield _lines(response)
        except httpx2.ReadTimeout:
            outcome = unreachable("WATCH", path, "IdleTimeout")
        except (httpx2.HTTPError, ConfigError):
            outcome = unreachable("WATCH", path)
        finally:
            if response is not None:
                response.close()
        if outcome is not None:
            raise outcome

    def _json(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        content_type: str = "application/json",
        timeout: float = 0.0,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        content = self._send(
            method,
            path,
            parameters={"dryRun": "All"} if dry_run else None,
            body=body,
            content_type=content_type,
            timeout=timeout,
        ).content
        found: dict[str, Any] = msgspec.json.decode(content)
        return found

    def _send(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        verb: str = "",
        timeout: float = 0.0,
    ) -> httpx2.Response:
        headers = {"Accept": accept}
        content = None
        asked = dict(parameters or {})
        if body is not None:
            headers["Content-Type"] = content_type
            content = msgspec.json.encode(body)
        if method in ("POST", "PUT", "PATCH"):
            asked["fieldManager"] = FIELD_MANAGER
        started = time.monotonic()
        code = "none"
        try:
            within = httpx2.Timeout(timeout) if timeout else CALL
            response = self._http.request(method, path, params=asked, headers=headers, content=content, timeout=within)
            code = str(response.status_code)
            self._ahead = _ahead(response)
        except (httpx2.HTTPError, ConfigError):
            outcome = unreachable(verb or method, path)
        else:
            if response.is_success:
                return response
            outcome = refusal(verb or method, path, response)
        finally:
            self.reporter.called(verb or method, _resource(path), code, time.monotonic() - started)
        raise outcome


class _ListMeta(msgspec.Struct):
    continue_: str = msgspec.field(name="continue", default="")
    resource_version: str = msgspec.field(name="resourceVersion", default="")


class _Page(msgspec.Struct):
    metadata: _ListMeta


def _lines(response: httpx2.Response) -> Iterator[bytes]:
    rest = b""
    for chunk in response.iter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)


def _ahead(response: httpx2.Response) -> float:
    """Return by how many seconds the clock of who answered is ahead of ours, 0 where it does not say."""
    told = parsedate_tz(response.headers.get("Date", ""))
    return mktime_tz(told) - time.time() if told else 0.0


def _resource(path: str) -> str:
    """Return the resource that *path* is about, as it is called in metrics.

    >>> _resource("/api/v1/namespaces/team/secrets/x"), _resource("/api/v1/serviceaccounts")
    ('secrets', 'serviceaccounts')
    """
    steps = path.strip("/").split("/")
    steps = steps[3:] if steps[0] == "apis" else steps[2:]
    if steps[:1] == ["namespaces"] and len(steps) > 2:
        steps = steps[2:]
    return steps[0] if steps else ""
