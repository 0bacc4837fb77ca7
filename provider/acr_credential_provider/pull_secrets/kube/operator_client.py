"""The Kubernetes API for commands that a person types: a few calls, each answered or explained.

The controller's own edge sends; here its errors become those of a person's command, with
the remedy that a person has.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from acr_credential_provider.model.errors import CloudUnreachableError, ConfigurationError, CredentialProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .client import KubeClient


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


class OperatorClient:
    """The API of one cluster, as one user. Objects are plain JSON."""

    def __init__(self, api: KubeClient) -> None:
        self._api = api
        self.namespace = api.own_namespace
        """The namespace of the context, which holds where none is named."""

    def find(self, kind: Kind, name: str, namespace: str = "") -> dict[str, Any] | None:
        """Return the object, None when it is not there."""
        with _explained("get", kind, namespace):
            return self._api.get(_path(kind, namespace, name))

    def list(
        self, kind: Kind, namespace: str = "", *, is_wanted: Callable[[dict[str, Any]], bool] = bool
    ) -> list[dict[str, Any]]:
        """Return all objects, of *namespace* or of all, that are wanted: the others leave memory page by page."""
        with _explained("list", kind, namespace):
            pages = self._api.pages(_path(kind, namespace), selector={})
            return [each for page in pages for each in json.loads(page).get("items") or [] if is_wanted(each)]

    def patch(
        self, kind: Kind, name: str, namespace: str, operations: Sequence[dict[str, Any]], *, dry_run: bool = False
    ) -> None:
        """Apply the JSON patch *operations*; raise `OutdatedError` when its test of the version fails."""
        with _explained("patch", kind, namespace):
            self._api.patch(_path(kind, namespace, name), operations, dry_run=dry_run)

    def create(self, kind: Kind, namespace: str, document: dict[str, Any], *, dry_run: bool = False) -> None:
        """Create the object *document*; raise `OutdatedError` when one of its name is there."""
        with _explained("create", kind, namespace):
            self._api.create(_path(kind, namespace), document, dry_run=dry_run)


def connect(kubeconfig: str = "", context: str = "") -> OperatorClient:
    """Return the API that *kubeconfig* and *context* name.

    Without them what kubectl would take: $KUBECONFIG, the Pod's own ServiceAccount,
    ~/.kube/config. Raises `ConfigurationError`.
    """
    try:
        # An extra that a node's installation does without.
        from .client import KubeClient  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigurationError(
            "this installation has no Kubernetes client",
            remedy="Run it from the container image, or install the extra: controller.",
        ) from None
    named = kubeconfig or next(
        (each for each in os.environ.get("KUBECONFIG", "").split(os.pathsep) if each and os.path.exists(each)), ""
    )
    try:
        return OperatorClient(KubeClient.find(kubeconfig=named, context=context))
    except Exception as error:  # noqa: BLE001 - what a kubeconfig may hold wrong has no end
        why = type(error).__name__
    raise ConfigurationError(
        f"no cluster to talk to: {named or 'the default kubeconfig'} cannot be used ({why})",
        remedy="Name a kubeconfig with --kubeconfig (and --context); try kubectl first.",
    )


@contextmanager
def _explained(verb: str, kind: Kind, namespace: str) -> Iterator[None]:
    """Make an error with a remedy of whatever a call raises."""
    from .api_errors import ClusterError  # noqa: PLC0415 - see connect

    problem: Exception
    try:
        yield
    except ClusterError as error:
        problem = _refusal(verb, kind, namespace, error.status)
    except Exception as error:  # noqa: BLE001 - a login helper of the kubeconfig, a page of HTML for an answer
        problem = CloudUnreachableError(
            f"no usable answer came from the cluster's API server ({type(error).__name__})",
            remedy="See what kubectl gets from here: its login, or a proxy that answers in the server's place.",
        )
    else:
        return
    raise problem from None


def _path(kind: Kind, namespace: str, name: str = "") -> str:
    start = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    scope = f"/namespaces/{quote(namespace, safe='')}" if namespace and kind not in _CLUSTER_WIDE else ""
    return f"{start}{scope}/{kind.plural}" + (f"/{quote(name, safe='')}" if name else "")


def _refusal(verb: str, kind: Kind, namespace: str, status: int) -> Exception:
    where = f" in {namespace}" if namespace else ""
    if status == 0:
        return CloudUnreachableError(
            "the cluster's API server did not answer",
            remedy="See whether kubectl reaches it from here: address, proxy, certificate.",
        )
    if status == 404 and verb == "create":
        return ConfigurationError(
            f"there is no namespace {namespace}", remedy=f"Create it: kubectl create namespace {namespace}"
        )
    # A patch whose test of the version fails is answered as one that makes no sense would be: 422.
    if (verb == "patch" and status in (404, 409, 422)) or (verb == "create" and status == 409):
        return OutdatedError()
    if status == 422:
        return ConfigurationError(
            f"the cluster finds what it was to {verb} in {kind.plural}{where} not valid",
            remedy="Correct the name: lower case letters, digits, dots and dashes, at most 253 of them.",
        )
    if status in (401, 403):
        scope = f"-n {namespace}" if namespace else "--all-namespaces"
        what = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
        return ForbiddenError(
            f"the cluster does not let this user {verb} {kind.plural}{where} ({status})",
            remedy=f"Ask for the right; to see it: kubectl auth can-i {verb} {what} {scope}",
        )
    return CredentialProviderError(
        f"the cluster would not {verb} {kind.plural}{where} ({status})",
        remedy="See the API server's own words with kubectl.",
    )
