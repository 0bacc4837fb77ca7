"""Removes all that the controller wrote from a cluster, references before what they name."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache, ClusterListener
from acr_credential_provider.pull_secrets.model.names import (
    HELPER_SECRETS,
    LABELS,
    LEASE_NAME,
    TOKENS_NAME,
    is_name,
)
from acr_credential_provider.pull_secrets.model.plan import DesiredNamespace, plan
from acr_credential_provider.pull_secrets.model.resources import LEASES, SECRETS, WEBHOOKS
from acr_credential_provider.pull_secrets.reconcile.apply import Applier
from acr_credential_provider.pull_secrets.reconcile.conflicting_writers import helper_runs
from acr_credential_provider.pull_secrets.tokens.state_secret import ReplicaState
from acr_credential_provider.pull_secrets.webhook.admission_policy import NAME as POLICY_NAME
from acr_credential_provider.pull_secrets.webhook.admission_policy import AdmissionPolicy
from acr_credential_provider.pull_secrets.webhook.registration import NAME as WEBHOOK_NAME
from acr_credential_provider.pull_secrets.webhook.registration import is_ours as is_own
from acr_credential_provider.pull_secrets.webhook.serving_certificates import SECRET as CERTIFICATE_SECRET
from acr_credential_provider.version import KUBECTL_PLUGIN

from .dry_run import line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from acr_credential_provider.pull_secrets.config.options import Options
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.model.objects import Secret
    from acr_credential_provider.pull_secrets.model.plan import Action

ROUNDS = 10
"""Looks at what changed meanwhile, or was refused."""
PAUSE = 0.1
"""Seconds before the second look; each later one waits that much longer."""
UNUSABLE = (0, 401)
"""Statuses after which every other call would fail too."""
OWN_OBJECTS = (
    ("Secret", SECRETS, CERTIFICATE_SECRET),
    ("Secret", SECRETS, TOKENS_NAME),
    ("Lease", LEASES, LEASE_NAME),
)
"""What the controller has in its own namespace: kind, resource and name."""
MOST_NAMED = 20
"""Objects that are left and named."""
RECENT = 60.0
"""Seconds after the renewal of its Lease in which a controller counts as running."""


class Undone:
    """What an uninstallation left and why, one line each; *names* are those of Secrets that may be left.

    While a helper runs (*has_helper*), Secrets of its that we took over are given back and not deleted: Pods pull with
    them, and it would write them anew only as their logins end.
    """

    def __init__(self) -> None:
        self.left: list[str] = []
        self.names: frozenset[str] = frozenset()
        self.has_helper = False

    def error(self, options: Options) -> ConfigurationError | None:
        """Return the error to end with, None if nothing is left."""
        if not self.left:
            return None
        words = [f"--namespace {options.namespace}", *(f"--secret-name {name}" for name in sorted(self.names))]
        return ConfigurationError(
            f"not everything could be taken away: {'; '.join(self.left[:MOST_NAMED])}"
            + (f"; and {len(self.left) - MOST_NAMED} more" if len(self.left) > MOST_NAMED else ""),
            remedy=Remedy(
                "UninstallIncomplete",
                "Remove what refuses it (an admission policy or webhook, a finalizer, a missing right), then run it "
                f"again: {KUBECTL_PLUGIN} uninstall {' '.join(words)}",
            ),
        )


def uninstall(
    api: KubeClient, options: Options, *, names: Iterable[str] = (), force: bool = False, undone: Undone | None = None
) -> Iterator[str]:
    """Remove all that the controller wrote, and yield a line for each object; what stays is in *undone*.

    The webhook and the policy's parameter go first, because they would add entries again; then references, Secrets,
    and the controller's own objects. The policy itself is the release's. *names* are names of Secrets beside those in
    the state Secret. What the API server refuses about one object stops no other. Raises `ConfigurationError` while a
    controller runs, unless *force*, and `ClusterError` if the API server cannot be asked at all.
    """
    undone = undone or Undone()
    undone.has_helper = _may_have_helper(api)
    _refuse_while_one_runs(api, options, force=force)
    kept = api.get(SECRETS.path(options.namespace, TOKENS_NAME))
    shared = ReplicaState.decode(kept.get("data") if kept else None)
    undone.names = frozenset(name for name in (*names, *shared.names) if is_name(name))
    yield from _one(undone, f"MutatingWebhookConfiguration {WEBHOOK_NAME}", lambda: _withdraw(api))
    policy = AdmissionPolicy(api, options.namespace)
    yield from _one(undone, f"PullSecretSelection {options.namespace}/{POLICY_NAME}", policy.withdraw)
    yield from _free_namespaces(api, options, undone)
    for kind, resource, name in OWN_OBJECTS:
        path = resource.path(options.namespace, name)
        yield from _one(undone, f"{kind} {options.namespace}/{name}", partial(api.delete, path))


def planned(api: KubeClient, options: Options, *, names: Iterable[str] = ()) -> Iterator[str]:
    """Yield the lines that `uninstall` would yield if nothing were refused; nothing is written."""
    kept = api.get(SECRETS.path(options.namespace, TOKENS_NAME))
    shared = ReplicaState.decode(kept.get("data") if kept else None)
    undone = Undone()
    undone.has_helper = _may_have_helper(api)
    undone.names = frozenset(name for name in (*names, *shared.names) if is_name(name))
    if _own_webhook(api) is not None:
        yield f"delete MutatingWebhookConfiguration {WEBHOOK_NAME}"
    if AdmissionPolicy(api, options.namespace).is_in_force():
        yield f"delete PullSecretSelection {options.namespace}/{POLICY_NAME}"
    cluster = _loaded(api, options, undone)
    for namespace in sorted(cluster.namespaces.namespaces()):
        yield from map(line, _undoing(cluster, namespace, undone))
        yield from map(_return_line, _returned(cluster, namespace, undone))
    for kind, resource, name in OWN_OBJECTS:
        if api.get(resource.path(options.namespace, name)) is not None:
            yield f"delete {kind} {options.namespace}/{name}"


def _one(undone: Undone, label: str, delete: Callable[[], bool]) -> Iterator[str]:
    """Delete one object; yield the line for it if it was there."""
    try:
        if delete():
            yield f"delete {label}"
    except ClusterError as error:
        if error.status in UNUSABLE:
            raise
        undone.left.append(f"{label}: {error.problem}")


def _withdraw(api: KubeClient) -> bool:
    """Delete the webhook's configuration; True if it was there and ours."""
    webhook = _own_webhook(api)
    return webhook is not None and api.delete(WEBHOOKS.path(name=WEBHOOK_NAME), uid=webhook["metadata"]["uid"])


def _own_webhook(api: KubeClient) -> dict[str, Any] | None:
    webhook = api.get(WEBHOOKS.path(name=WEBHOOK_NAME))
    return webhook if webhook is not None and is_own(webhook) else None


def _free_namespaces(api: KubeClient, options: Options, undone: Undone) -> Iterator[str]:
    """Remove our references and then our Secrets from all namespaces, and yield a line for each."""
    failures: dict[str, ClusterError] = {}
    for number in range(ROUNDS):
        time.sleep(number * PAUSE)
        failures = {}
        cluster = _loaded(api, options, undone)
        for namespace in sorted(cluster.namespaces.namespaces()):
            done: list[Action] = []
            applier = Applier(api, cluster, may_go_on=lambda: True, on_done=done.append)
            ended = applier.apply(_undoing(cluster, namespace, undone))
            yield from map(line, done)
            if ended.error is not None and ended.error.status in UNUSABLE:
                raise ended.error
            if ended.error is not None:
                failures[namespace] = ended.error
            for secret in _returned(cluster, namespace, undone):
                try:
                    _give_back(api, secret)
                    yield _return_line(secret)
                except ClusterError as error:
                    failures[namespace] = error
        if not failures:
            break
    undone.left += [f"namespace {namespace}: {error.problem}" for namespace, error in sorted(failures.items())]
    cluster = _loaded(api, options, undone)
    for namespace in sorted(cluster.namespaces.namespaces()):
        secrets = cluster.secrets_in_namespace(namespace).values()
        held = [secret.name for secret in secrets if secret.is_ours and secret.terminating]
        undone.left += [f"Secret {namespace}/{name}: a finalizer holds it" for name in held]


def _loaded(api: KubeClient, options: Options, undone: Undone) -> ClusterCache:
    cluster = ClusterCache(api, ClusterListener(), own_namespace=options.namespace, config_map=None)
    cluster.load(undone.names | set(HELPER_SECRETS))
    return cluster


def _undoing(cluster: ClusterCache, namespace: str, undone: Undone) -> list[Action]:
    """Return the actions that remove our Secrets from *namespace*, and a gone helper's that we took over."""
    observed = cluster.observed(namespace)
    names = undone.names
    if not undone.has_helper:
        names |= {name for name in HELPER_SECRETS if name in observed.secrets and observed.secrets[name].is_ours}
    nothing = DesiredNamespace("", b"", "", is_selected=False, accounts=frozenset(), retired=names)
    return plan(observed, nothing)


def _may_have_helper(api: KubeClient) -> bool:
    """True if a helper runs, or nobody lets us look: then its Secrets may be in use."""
    try:
        return helper_runs(api)
    except ClusterError as error:
        if not error.is_forbidden:
            raise
        return True


def _returned(cluster: ClusterCache, namespace: str, undone: Undone) -> list[Secret]:
    """Return the Secrets in *namespace* that a helper which runs again is given back."""
    secrets = cluster.observed(namespace).secrets
    found = [secrets[name] for name in HELPER_SECRETS if name in secrets] if undone.has_helper else []
    return [secret for secret in found if secret.is_ours and not secret.terminating]


def _return_line(secret: Secret) -> str:
    return f"give back Secret {secret.namespace}/{secret.name}"


def _give_back(api: KubeClient, secret: Secret) -> None:
    """Take our labels and our owner off *secret*; the owner would take it along as the release is deleted."""
    path = SECRETS.path(secret.namespace, secret.name)
    found = api.get(path)
    if found is None:
        return
    metadata = found["metadata"]
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if LABELS.get(key) != value}
    owners = [each for each in metadata.get("ownerReferences") or [] if each.get("kind") != "ClusterRole"]
    operations = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "add", "path": "/metadata/labels", "value": labels},
        {"op": "add", "path": "/metadata/ownerReferences", "value": owners},
    ]
    api.patch(path, operations)


def _refuse_while_one_runs(api: KubeClient, options: Options, *, force: bool) -> None:
    lease = api.get(LEASES.path(options.namespace, LEASE_NAME)) or {}
    spec = lease.get("spec") or {}
    try:
        renewed = datetime.fromisoformat(spec["renewTime"]) if spec.get("holderIdentity") else None
        is_running = renewed is not None and (datetime.now(UTC) - renewed).total_seconds() < RECENT
    except (ValueError, TypeError, KeyError):
        is_running = False
    if is_running and not force:
        raise ConfigurationError(
            "a controller is at work in this cluster, and would put everything back",
            remedy=Remedy(
                "ControllerActive",
                f"Delete its Deployment (or scale it to 0), wait {RECENT:.0f} s, and try again; --force goes on.",
            ),
        )
