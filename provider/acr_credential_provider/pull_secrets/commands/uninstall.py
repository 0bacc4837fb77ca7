"""Takes all of the controller's traces out of a cluster, in an order that leaves no reference to nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache, ClusterListener
from acr_credential_provider.pull_secrets.model.names import HELPER_SECRETS, LEASE_NAME, TOKENS_NAME, is_name
from acr_credential_provider.pull_secrets.model.plan import Desired, plan
from acr_credential_provider.pull_secrets.model.resources import LEASES, SECRETS, WEBHOOKS
from acr_credential_provider.pull_secrets.reconcile.apply import Applier
from acr_credential_provider.pull_secrets.tokens.state_secret import ReplicaState
from acr_credential_provider.pull_secrets.webhook.registration import NAME as WEBHOOK_NAME
from acr_credential_provider.pull_secrets.webhook.registration import OURS
from acr_credential_provider.pull_secrets.webhook.serving_certificates import SECRET as CERTIFICATE_SECRET

from .dry_run import line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from acr_credential_provider.pull_secrets.config.options import Options
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.model.plan import Action

ROUNDS = 10
"""How often what changed meanwhile, or was refused, is looked at again."""
PAUSE = 0.1
"""Seconds before the second look; each later one waits that much longer."""
USELESS = (0, 401)
"""Statuses of an API server that can't be asked at all: what comes after would fare no better."""
MOST_TOLD = 20
"""Of what is left, how many are named."""
RECENT = 60.0
"""Seconds since its Lease was renewed within which a controller is taken to be at work."""


class Undone:
    """What an uninstallation left and why, a line for each in *left*; *names* are those of Secrets that may be left."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.names: frozenset[str] = frozenset()

    def error(self, options: Options) -> ConfigurationError | None:
        """Return what to say at the end, None where nothing is left."""
        if not self.left:
            return None
        words = [f"--namespace {options.namespace}", *(f"--secret-name {name}" for name in sorted(self.names))]
        return ConfigurationError(
            f"not everything could be taken away: {'; '.join(self.left[:MOST_TOLD])}"
            + (f"; and {len(self.left) - MOST_TOLD} more" if len(self.left) > MOST_TOLD else ""),
            remedy="Remove what refuses it (an admission policy or webhook, a finalizer, a missing right), then run it "
            f"again: pull-secrets uninstall {' '.join(words)}",
        )


def uninstall(
    api: KubeClient, options: Options, *, names: Iterable[str] = (), force: bool = False, undone: Undone | None = None
) -> Iterator[str]:
    """Take all of our traces away, and yield a line for each that went; what stays is in *undone*.

    The webhook first, which would bring new ones; references, then Secrets, then what the controller kept for itself.
    *names* are names of Secrets beside those that the controller wrote down. What the API server refuses about one
    object keeps no other from going. Raises `ConfigurationError` while a controller is at work, unless *force*, and
    `ClusterError` where the API server can't be asked at all.
    """
    undone = undone or Undone()
    _refuse_while_one_works(api, options, force=force)
    kept = api.get(SECRETS.path(options.namespace, TOKENS_NAME))
    shared = ReplicaState.decode(kept.get("data") if kept else None)
    undone.names = frozenset(name for name in (*names, *shared.names) if is_name(name))
    yield from _one(undone, f"MutatingWebhookConfiguration {WEBHOOK_NAME}", lambda: _withdraw(api))
    yield from _free_namespaces(api, options, undone)
    for kind, resource, name in (
        ("Secret", SECRETS, CERTIFICATE_SECRET),
        ("Secret", SECRETS, TOKENS_NAME),
        ("Lease", LEASES, LEASE_NAME),
    ):
        path = resource.path(options.namespace, name)
        yield from _one(undone, f"{kind} {options.namespace}/{name}", partial(api.delete, path))


def _one(undone: Undone, called: str, delete: Callable[[], bool]) -> Iterator[str]:
    """Delete one object, *called* so; yield the line for it if it was there."""
    try:
        if delete():
            yield f"delete {called}"
    except ClusterError as error:
        if error.status in USELESS:
            raise
        undone.left.append(f"{called}: {error.problem}")


def _withdraw(api: KubeClient) -> bool:
    """Delete the webhook's configuration; True if it was there and ours."""
    webhook = api.get(WEBHOOKS.path(name=WEBHOOK_NAME))
    if webhook is None or not OURS.items() <= (webhook["metadata"].get("labels") or {}).items():
        return False
    return api.delete(WEBHOOKS.path(name=WEBHOOK_NAME), uid=webhook["metadata"]["uid"])


def _free_namespaces(api: KubeClient, options: Options, undone: Undone) -> Iterator[str]:
    """Take our references and then our Secrets out of all namespaces, and yield a line for each."""
    failures: dict[str, ClusterError] = {}
    for number in range(ROUNDS):
        time.sleep(number * PAUSE)
        failures = {}
        cluster = _loaded(api, options, undone)
        for namespace in sorted(cluster.namespaces.namespaces()):
            done: list[Action] = []
            applier = Applier(api, cluster, may_go_on=lambda: True, on_done=done.append)
            ended = applier.apply(_undoing(cluster, namespace, undone.names))
            yield from map(line, done)
            if ended.error is not None and ended.error.status in USELESS:
                raise ended.error
            if ended.error is not None:
                failures[namespace] = ended.error
        if not failures:
            break
    undone.left += [f"namespace {namespace}: {error.problem}" for namespace, error in sorted(failures.items())]
    cluster = _loaded(api, options, undone)
    for namespace in sorted(cluster.namespaces.namespaces()):
        held = [each for each in cluster.secrets_in_namespace(namespace).values() if each.is_ours and each.terminating]
        undone.left += [f"Secret {namespace}/{each.name}: a finalizer holds it" for each in held]


def _loaded(api: KubeClient, options: Options, undone: Undone) -> ClusterCache:
    cluster = ClusterCache(api, ClusterListener(), own_namespace=options.namespace, config_map=None)
    cluster.load(undone.names | set(HELPER_SECRETS))
    return cluster


def _undoing(cluster: ClusterCache, namespace: str, names: frozenset[str]) -> list[Action]:
    """Return what frees *namespace* of all that has one of the *names*, or is a helper's that we took over."""
    seen = cluster.observed(namespace)
    names |= {name for name in HELPER_SECRETS if name in seen.secrets and seen.secrets[name].is_ours}
    nothing = Desired("", b"", "", is_selected=False, accounts=frozenset(), retired=names)
    return plan(seen, nothing)


def _refuse_while_one_works(api: KubeClient, options: Options, *, force: bool) -> None:
    lease = api.get(LEASES.path(options.namespace, LEASE_NAME)) or {}
    spec = lease.get("spec") or {}
    try:
        renewed = datetime.fromisoformat(spec["renewTime"]) if spec.get("holderIdentity") else None
        is_working = renewed is not None and (datetime.now(UTC) - renewed).total_seconds() < RECENT
    except (ValueError, TypeError, KeyError):
        is_working = False
    if is_working and not force:
        raise ConfigurationError(
            "a controller is at work in this cluster, and would put everything back",
            remedy=f"Delete its Deployment (or scale it to 0), wait {RECENT:.0f} s, and try again; --force goes on.",
        )
