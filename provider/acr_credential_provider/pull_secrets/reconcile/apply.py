"""Applies what was planned for a namespace, action by action: the part that writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.refusals import Cause
from acr_credential_provider.pull_secrets.model.decoding import decode, secret, service_account
from acr_credential_provider.pull_secrets.model.names import LABELS
from acr_credential_provider.pull_secrets.model.plan import ChangeAccount, CreateSecret, DeleteSecret, UpdateSecret
from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret
from acr_credential_provider.pull_secrets.model.resources import SECRETS, SERVICE_ACCOUNTS

from .conflicting_writers import last_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache
    from acr_credential_provider.pull_secrets.model.plan import Action


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """Whether something remains to be done, and *after* how many seconds at the soonest."""

    is_unfinished: bool = False
    after: float = 0.0
    error: ClusterError | None = None


class Applier:
    """Writes. *may_go_on* is asked before each call, and may wait; *on_done* is told each action that succeeded.

    The API server's answers go into *cluster* at once, so that the next plan starts from them.
    """

    def __init__(
        self,
        api: KubeClient,
        cluster: ClusterCache,
        *,
        may_go_on: Callable[[], bool],
        on_done: Callable[[Action], None] = lambda _: None,
    ) -> None:
        self._api = api
        self._cluster = cluster
        self._may_go_on = may_go_on
        self._on_done = on_done

    def read_secret(self, namespace: str, name: str) -> dict[str, str]:
        """Return the data of a Secret as it is now, {} if there is none; raise `ClusterError`."""
        self._may_go_on()  # reading needs no leadership, but takes its turn
        document = self._api.get(SECRETS.path(namespace, name))
        if document is None:
            return {}
        self._cluster.update_secret(decode(document, secret))
        data: dict[str, str] = document.get("data") or {}
        return data

    def who_wrote(self, action: Action) -> str:
        """Return the name of who changed the object of *action* last beside us, "" if that cannot be told."""
        try:
            document = self._api.get(_path(action))
        except ClusterError:
            return ""
        return last_writer(document or {}, "imagePullSecrets" if isinstance(action, ChangeAccount) else "data")

    def apply(self, actions: Iterable[Action]) -> ApplyResult:
        """Do *actions* in order. Without its Secret nothing refers to it; what is still referred to is not deleted."""
        failed: ClusterError | None = None
        for action in actions:
            if not self._may_go_on():
                return ApplyResult(is_unfinished=True, error=failed)
            if failed is not None and not isinstance(action, ChangeAccount):
                break
            try:
                self.do(action)
            except ClusterError as error:
                failed = error
                if not isinstance(action, ChangeAccount):
                    break
                if error.cause.concerns_all:
                    break
        if failed is None:
            return ApplyResult()
        return ApplyResult(is_unfinished=True, after=failed.retry_after, error=failed)

    def do(self, action: Action) -> None:
        """Do one *action*; raise `ClusterError`. After a conflict the object has been read anew."""
        kind = "ServiceAccount" if isinstance(action, ChangeAccount) else "Secret"
        verb = {CreateSecret: "create", DeleteSecret: "delete"}.get(type(action), "update")
        outcome = "failed"
        try:
            self._write(action)
            outcome = "ok"
            self._on_done(action)
        except ClusterError as error:
            outcome = str(error.cause)
            if error.cause is Cause.CONFLICT:
                self._read_again(action)
            raise
        finally:
            self._api.telemetry.wrote(kind, verb, outcome)

    def _write(self, action: Action) -> None:
        path = _path(action)
        if isinstance(action, CreateSecret):
            manifest = PullSecret(action.name, action.content, action.owner).manifest(action.namespace)
            self._observe(action, self._api.create(SECRETS.path(action.namespace), manifest))
        elif isinstance(action, UpdateSecret):
            self._observe(action, self._api.patch(path, _update(action)))
        elif isinstance(action, DeleteSecret):
            self._api.delete(path, uid=action.uid, resource_version=action.resource_version)
            self._cluster.forget_secret(action.namespace, action.name, action.uid)
        else:
            self._observe(action, self._api.patch(path, action.patch()))

    def _read_again(self, action: Action) -> None:
        """Read what changed, so that the next plan starts from it and need not wait for the watch."""
        try:
            document = self._api.get(_path(action))
        except ClusterError:
            return
        if document is not None:
            self._observe(action, document)

    def _observe(self, action: Action, document: dict[str, Any]) -> None:
        if isinstance(action, ChangeAccount):
            self._cluster.accounts.update(decode(document, service_account))
        else:
            self._cluster.update_secret(decode(document, secret))


def _path(action: Action) -> str:
    resource = SERVICE_ACCOUNTS if isinstance(action, ChangeAccount) else SECRETS
    return resource.path(action.namespace, action.name)


def _update(action: UpdateSecret) -> list[dict[str, Any]]:
    """Return the patch: data, labels and owner, and nothing else of what others may have put there."""
    owners = [] if action.owner is None else [action.owner.document()]
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": action.resource_version},
        {"op": "add", "path": "/data", "value": PullSecret(action.name, action.content).data()},
        *(
            [{"op": "add", "path": "/metadata/labels", "value": dict(LABELS)}]
            if not action.has_labels
            else [{"op": "add", "path": f"/metadata/labels/{_escaped(key)}", "value": LABELS[key]} for key in LABELS]
        ),
        *([{"op": "add", "path": "/metadata/ownerReferences", "value": owners}] if owners else []),
    ]


def _escaped(key: str) -> str:
    """Return *key* as a step of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
