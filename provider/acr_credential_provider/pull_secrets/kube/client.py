"""The Kubernetes API: the one client of the controller and of the commands that read or change a cluster.

lightkube finds the cluster and signs in (kubeconfig, projected tokens that are read anew, client certificates); its
HTTP client sends. It has no bookmarks, and no end for a watch that falls silent: those are here.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2
import msgspec
from lightkube.config.client_adapter import Client, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ConfigError

from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.pull_secrets.model.decoding import UNDECODABLE
from acr_credential_provider.pull_secrets.model.names import FIELD_MANAGER
from acr_credential_provider.pull_secrets.model.telemetry import Telemetry

from .api_errors import ClusterError, refusal, resource_of, unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lightkube.config.kubeconfig import SingleConfig

    from acr_credential_provider.pull_secrets.model.decoding import Kind

PAGE = 500
"""Objects in one page of a list, so that ten thousand are never in memory as text at once."""
SILENCE = 50.0
"""Seconds without a byte after which a watch is ended; to continue it from where it was costs next to nothing."""
CALL = httpx2.Timeout(10.0, connect=5.0)
JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_Decoded = TypeVar("_Decoded")

# It would write each URL, and with it every object's name, into a log that somebody set to INFO.
logging.getLogger("httpx2").setLevel(logging.WARNING)
logging.getLogger("httpcore2").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class _Call:
    """One request; *timeout* is in seconds, 0 for the usual one."""

    method: str
    path: str
    body: object = None
    content_type: str = JSON
    accept: str = JSON
    parameters: Mapping[str, str] | None = None
    timeout: float = 0.0

    @property
    def verb(self) -> str:
        """The method; LIST if pages were asked for."""
        return "LIST" if "limit" in (self.parameters or {}) else self.method


class KubeClient:
    """One cluster's API; safe for use by many threads. Paths are those of `resources.Resource`.

    All calls raise `ClusterError`.
    """

    def __init__(
        self, config: SingleConfig, *, trust_environment: bool = True, telemetry: Telemetry | None = None
    ) -> None:
        self.telemetry = telemetry or Telemetry()
        self.namespace = config.namespace
        """The namespace of the kubeconfig's context."""
        self._http = Client(config, ConnectionParams(timeout=CALL, trust_env=trust_environment))
        self._clock_offset = 0.0
        """Seconds by which the API server's clock is ahead of ours."""
        self._recovery = Recovery()
        # Compressing a list costs the API server more than the bytes cost the network.
        self._http.headers["Accept-Encoding"] = "identity"

    @classmethod
    def find(cls, *, kubeconfig: str = "", context: str = "", telemetry: Telemetry | None = None) -> KubeClient:
        """Return the client for *kubeconfig*, else what kubectl takes: KUBECONFIG, the pod's own, ~/.kube/config.

        Raises `ConfigurationError`. In a pod no proxy is used, because those variables are for the cloud.
        """
        listed = os.environ.get("KUBECONFIG", "").split(os.pathsep)
        path = kubeconfig or next((path for path in listed if path and os.path.exists(path)), "")
        in_pod = not path and os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token")
        try:
            config = (KubeConfig.from_file(path) if path else KubeConfig.from_env()).get(context or None)
            if config is not None:
                return cls(config, trust_environment=not in_pod, telemetry=telemetry)
        except Exception:  # noqa: BLE001, S110 - lightkube raises anything for a broken kubeconfig
            pass
        raise ConfigurationError(
            f"no cluster to talk to: {path or 'the default kubeconfig'} cannot be used",
            remedy=Remedy(
                "KubeconfigUnusable",
                "Name a kubeconfig with --kubeconfig (and --context), or run it in a pod with a ServiceAccount; try "
                "kubectl first.",
            ),
        )

    def close(self) -> None:
        """Close all connections, once no thread uses them any more.

        A descriptor that is closed under a thread that reads from it may be another connection's a moment later.
        """
        self._http.close()

    def wait_for_recovery(self, seconds: float, stop: threading.Event) -> None:
        """Wait *seconds*, less if the API server answers again before, or if *stop* is set."""
        self._recovery.wait(seconds, stop)

    def now(self) -> float:
        """Return the time by the API server's clock at its last answer; seconds since the epoch."""
        return time.time() + self._clock_offset

    def get(self, path: str, *, timeout: float = 0.0) -> dict[str, Any] | None:
        """Return the object at *path*, None if there is none; within *timeout* seconds if given."""
        try:
            return self._object(_Call("GET", path, timeout=timeout))
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def list(self, path: str, *, is_wanted: Callable[[dict[str, Any]], bool] = bool) -> list[dict[str, Any]]:
        """Return the wanted objects of the collection at *path*; the others leave memory page by page."""
        pages = self.pages(path)
        return [item for page in pages for item in json.loads(page).get("items") or () if is_wanted(item)]

    def create(
        self, path: str, body: Mapping[str, Any], *, timeout: float = 0.0, dry_run: bool = False
    ) -> dict[str, Any]:
        """Create *body* in the collection at *path*, within *timeout* seconds if given; return the new object."""
        return self._object(_Call("POST", path, body, timeout=timeout, parameters=_options(dry_run=dry_run)))

    def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the object at *path* by *body*, which has the present resourceVersion."""
        return self._object(_Call("PUT", path, body, parameters=_options()))

    def patch(self, path: str, operations: Sequence[Mapping[str, Any]], *, dry_run: bool = False) -> dict[str, Any]:
        """Apply a JSON patch to the object at *path*; return the new object."""
        return self._object(_Call("PATCH", path, operations, JSON_PATCH, parameters=_options(dry_run=dry_run)))

    def delete(self, path: str, *, uid: str = "", resource_version: str = "") -> bool:
        """Delete the object at *path* if it still has this uid and version; return False if there is none."""
        expected = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {key: value for key, value in expected.items() if value}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        try:
            self._object(_Call("DELETE", path, body))
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return True

    def pages(self, path: str, *, selector: Mapping[str, str] | None = None, accept: str = JSON) -> Iterator[bytes]:
        """Yield the pages of the list at *path*, each the JSON of a list of the kind."""
        parameters = {"limit": str(PAGE), **(selector or {})}
        while True:
            call = _Call("GET", path, accept=accept, parameters=dict(parameters))
            content = self._send(call).content
            parameters["continue"] = _decode(call, content, _PAGES).metadata.continue_
            yield content
            if not parameters["continue"]:
                return

    @contextmanager
    def watch(
        self, kind: Kind[Any], *, since: str, seconds: float, silence: float = SILENCE
    ) -> Iterator[Iterator[bytes]]:
        """Yield the lines of a watch of *kind* from version *since*, which the server ends after *seconds*.

        Raises `ClusterError`, also after *silence* seconds without a byte (reason ``IdleTimeout``).
        """
        parameters = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(int(seconds)),
            **kind.selector,
        }
        path, headers = kind.path, {"Accept": METADATA if kind.only_metadata else JSON}
        timeout = httpx2.Timeout(10.0, connect=5.0, read=silence)
        started = time.monotonic()
        response: httpx2.Response | None = None
        outcome: ClusterError | None = None
        try:
            request = self._http.build_request("GET", path, params=parameters, headers=headers, timeout=timeout)
            response = self._http.send(request, stream=True)
            self.telemetry.called("WATCH", resource_of(path), str(response.status_code), time.monotonic() - started)
            if response.status_code != 200:
                response.read()
                outcome = refusal("WATCH", path, response)
            else:
                yield _lines(response)
        except httpx2.ReadTimeout:
            outcome = unreachable("WATCH", path, "IdleTimeout")
        except (httpx2.HTTPError, ConfigError):
            outcome = unreachable("WATCH", path)
            self._recovery.failed()
        finally:
            if response is not None:
                response.close()
        if outcome is not None:
            raise outcome

    def _object(self, call: _Call) -> dict[str, Any]:
        return _decode(call, self._send(call).content, _OBJECTS)

    def _send(self, call: _Call) -> httpx2.Response:
        headers = {"Accept": call.accept}
        content = None
        if call.body is not None:
            headers["Content-Type"] = call.content_type
            content = msgspec.json.encode(call.body)
        started = time.monotonic()
        code = "none"
        try:
            response = self._http.request(
                call.method,
                call.path,
                params=dict(call.parameters or {}),
                headers=headers,
                content=content,
                timeout=httpx2.Timeout(call.timeout) if call.timeout else CALL,
            )
            code = str(response.status_code)
            self._clock_offset = _clock_offset(response)
        except Exception:  # noqa: BLE001 - the kubeconfig's login helper may fail in any way
            outcome = unreachable(call.verb, call.path)
            self._recovery.failed()
        else:
            if response.status_code < 500:
                self._recovery.answered()
            if response.is_success:
                return response
            outcome = refusal(call.verb, call.path, response, sent=call.body)
        finally:
            self.telemetry.called(call.verb, resource_of(call.path), code, time.monotonic() - started)
        raise outcome


class Recovery:
    """Lets all that wait go on once the API server answers one of them, so that each need not find out by itself."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_away = False
        self._recoveries = 0

    def failed(self) -> None:
        """Take note that the API server did not answer."""
        with self._changed:
            self._is_away = True

    def answered(self) -> None:
        """Take note that it did; wake all that wait if it did not before."""
        if not self._is_away:  # without the lock: one answer more or less makes no difference
            return
        with self._changed:
            self._is_away = False
            self._recoveries += 1
            self._changed.notify_all()

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Wait *seconds*, less if the API server answers before, or if *stop* is set."""
        until = time.monotonic() + seconds
        with self._changed:
            before = self._recoveries
            while self._recoveries == before and not stop.is_set() and (left := until - time.monotonic()) > 0:
                self._changed.wait(min(left, 0.5))


class _ListMeta(msgspec.Struct):
    continue_: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct):
    metadata: _ListMeta


def _options(*, dry_run: bool = False) -> dict[str, str]:
    return {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if dry_run else {})}


# Made once, before there are threads: see `informer`.
_OBJECTS = msgspec.json.Decoder(dict[str, Any])
_PAGES = msgspec.json.Decoder(_Page)


def _decode(call: _Call, content: bytes, decoder: msgspec.json.Decoder[_Decoded]) -> _Decoded:
    """Return *content* decoded; raise `ClusterError` for a page of HTML, which a proxy answers in our way."""
    try:
        return decoder.decode(content)
    except UNDECODABLE:
        outcome = unreachable(call.verb, call.path)
    raise outcome


def _lines(response: httpx2.Response) -> Iterator[bytes]:
    rest = b""
    for chunk in response.iter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)


def _clock_offset(response: httpx2.Response) -> float:
    """Return the seconds by which the clock of the API server is ahead of ours, 0 if the answer has no date."""
    date = parsedate_tz(response.headers.get("Date", ""))
    return mktime_tz(date) - time.time() if date else 0.0
