"""The Kubernetes API for commands that a person types: a few calls, each answered or explained.

Objects are plain JSON; kubeconfig, logins and TLS are lightkube's. What comes as an
exception leaves here as an error with a remedy, and without its text, which may hold what was sent.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from acr_credential_provider.errors import CloudUnreachableError, ConfigurationError, CredentialProviderError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx2

SECONDS = 15.0
"""For one call."""
PAGE = 500
"""Objects in one answer of a list."""


class Kind(NamedTuple):
    """A kind of object: its group ("" for the core), version, name and plural."""

    group: str
    version: str
    name: str
    plural: str


CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
NAMESPACE = Kind("", "v1", "Namespace", "namespaces")
NODE = Kind("", "v1", "Node", "nodes")
POD = Kind("", "v1", "Pod", "pods")
EVENT = Kind("", "v1", "Event", "events")
SECRET = Kind("", "v1", "Secret", "secrets")
SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts")
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
DAEMON_SET = Kind("apps", "v1", "DaemonSet", "daemonsets")
STATEFUL_SET = Kind("apps", "v1", "StatefulSet", "statefulsets")
CRON_JOB = Kind("batch", "v1", "CronJob", "cronjobs")
_CLUSTER_WIDE = (NAMESPACE, NODE)


class OutdatedError(Exception):
    """The object changed since it was read: read it again."""


class ForbiddenError(ConfigurationError):
    """Who asks has no right to it."""


class ClusterApi:
    """The API of one cluster, as one user."""

    def __init__(self, client: httpx2.Client, namespace: str) -> None:
        self._client = client
        self.namespace = namespace
        """The namespace of the context, which holds where none is named."""

    def find(self, kind: Kind, name: str, namespace: str = "") -> dict[str, Any] | None:
        """Return the object, None when it is not there."""
        return self._ask("get", kind, namespace, name)

    def list(self, kind: Kind, namespace: str = "", *, metadata_only: bool = False) -> list[dict[str, Any]]:
        """Return all objects, of *namespace* or of all; with *metadata_only* no more of them than their metadata."""
        found: list[dict[str, Any]] = []
        query = {"limit": str(PAGE)}
        form = ";as=PartialObjectMetadataList;g=meta.k8s.io;v=1" if metadata_only else ""
        headers = {"Accept": f"application/json{form}"}
        while True:
            page = self._ask("list", kind, namespace, query=query, headers=headers) or {}
            found += page.get("items") or []
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return found
            query["continue"] = more

    def patch(
        self, kind: Kind, name: str, namespace: str, operations: Sequence[dict[str, Any]], *, dry_run: bool = False
    ) -> None:
        """Apply the JSON patch *operations*; raise `OutdatedError` when its test of the version fails."""
        headers = {"Content-Type": "application/json-patch+json"}
        query = _dry(is_dry=dry_run)
        found = self._ask("patch", kind, namespace, name, body=list(operations), headers=headers, query=query)
        if found is None:
            raise OutdatedError

    def create(self, kind: Kind, namespace: str, document: dict[str, Any], *, dry_run: bool = False) -> None:
        """Create the object *document*; raise `OutdatedError` when one of its name is there."""
        if self._ask("create", kind, namespace, body=document, query=_dry(is_dry=dry_run)) is None:
            raise ConfigurationError(
                f"there is no namespace {namespace}", remedy=f"Create it: kubectl create namespace {namespace}"
            )

    def _ask(  # noqa: PLR0913 - the parts of a request
        self,
        verb: str,
        kind: Kind,
        namespace: str,
        name: str = "",
        *,
        body: Any = None,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | None:
        """Send one request and return the JSON of its answer, None for 404; raise what else came of it."""
        import httpx2  # noqa: PLC0415 - see connect

        method = {"get": "GET", "list": "GET", "patch": "PATCH", "create": "POST"}[verb]
        problem: Exception
        try:
            answer = self._client.request(
                method,
                _path(kind, namespace, name),
                params=query,
                headers={"Content-Type": "application/json", **(headers or {})},
                content=None if body is None else json.dumps(body).encode(),
            )
            if answer.status_code == 404:
                return None
            if answer.status_code < 300:
                document = answer.json()
                if isinstance(document, dict):
                    return document
            problem = _refusal(verb, kind, namespace, answer.status_code)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            problem = CloudUnreachableError(
                f"the cluster's API server did not answer ({type(error).__name__})",
                remedy="See whether kubectl reaches it from here: address, proxy, certificate.",
            )
        except Exception as error:  # noqa: BLE001 - a login helper of the kubeconfig, a page of HTML for an answer
            problem = CloudUnreachableError(
                f"no usable answer came from the cluster's API server ({type(error).__name__})",
                remedy="See what kubectl gets from here: its login, or a proxy that answers in the server's place.",
            )
        raise problem


def _dry(*, is_dry: bool) -> dict[str, str]:
    return {"dryRun": "All"} if is_dry else {}


def _path(kind: Kind, namespace: str, name: str) -> str:
    start = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    scope = f"/namespaces/{quote(namespace, safe='')}" if namespace and kind not in _CLUSTER_WIDE else ""
    return f"{start}{scope}/{kind.plural}" + (f"/{quote(name, safe='')}" if name else "")


def connect(kubeconfig: str = "", context: str = "") -> ClusterApi:
    """Return the API that *kubeconfig* and *context* name.

    Without them what kubectl would take: $KUBECONFIG, the Pod's own ServiceAccount,
    ~/.kube/config. Raises `ConfigurationError`.
    """
    try:
        # An extra that a node's installation does without.
        import httpx2  # noqa: PLC0415
        from lightkube import KubeConfig  # noqa: PLC0415
        from lightkube.config.client_adapter import Client, ConnectionParams  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigurationError(
            "this installation has no Kubernetes client",
            remedy="Run it from the container image, or install the extra: controller.",
        ) from None
    named = kubeconfig or next(
        (each for each in os.environ.get("KUBECONFIG", "").split(os.pathsep) if each and os.path.exists(each)), ""
    )
    try:
        config = KubeConfig.from_file(named) if named else KubeConfig.from_env()
        chosen: Any = config.get(context or None)
        client = Client(chosen, ConnectionParams(timeout=httpx2.Timeout(SECONDS)))
    except Exception as error:  # noqa: BLE001 - what a kubeconfig may hold wrong has no end
        problem = f"no cluster to talk to: {named or 'the default kubeconfig'} cannot be used ({type(error).__name__})"
    else:
        return ClusterApi(client, chosen.namespace)
    raise ConfigurationError(problem, remedy="Name a kubeconfig with --kubeconfig (and --context); try kubectl first.")


def _refusal(verb: str, kind: Kind, namespace: str, code: int) -> Exception:
    where = f" in {namespace}" if namespace else ""
    if verb in ("patch", "create") and code in (409, 422):
        return OutdatedError()
    if code in (401, 403):
        scope = f"-n {namespace}" if namespace else "--all-namespaces"
        what = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
        return ForbiddenError(
            f"the cluster does not let this user {verb} {kind.plural}{where} ({code})",
            remedy=f"Ask for the right; to see it: kubectl auth can-i {verb} {what} {scope}",
        )
    return CredentialProviderError(
        f"the cluster would not {verb} {kind.plural}{where} ({code})",
        remedy="See the API server's own words with kubectl.",
    )
