"""Takes all of the controller's traces out of a cluster, in an order that leaves no reference to nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from acr_credential_provider.errors import ConfigurationError

from .actions import Hands
from .names import HELPER_SECRETS, LEASE_NAME, TOKENS_NAME
from .plan import Desired, plan
from .serving_certificate import SECRET as CERTIFICATE_SECRET
from .state import Shared
from .survey import line, watch_nothing
from .webhook_configuration import NAME as WEBHOOK_NAME
from .webhook_configuration import OURS, RESOURCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .kube import KubeApi
    from .options import Options
    from .plan import Action
    from .refusals import ClusterError
    from .watched import Watched

ROUNDS = 10
"""How often what changed meanwhile is looked at again."""
RECENT = 60.0
"""Seconds since its Lease was renewed within which a controller is taken to be at work."""


def uninstall(api: KubeApi, options: Options, *, names: Iterable[str] = (), force: bool = False) -> Iterator[str]:
    """Take all of our traces away, and yield a line for each; raise `ClusterError` for what can't be done.

    The webhook first, which would bring new ones; references, then Secrets, then what the controller kept for itself.
    *names* are names of Secrets beside those that the controller wrote down. Raises `ConfigurationError` while a
    controller is at work, unless *force*.
    """
    _refuse_while_one_works(api, options, force=force)
    kept = api.get(f"/api/v1/namespaces/{options.namespace}/secrets/{TOKENS_NAME}")
    shared = Shared.decode(kept.get("data") if kept else None)
    gone = frozenset({*names, *shared.names})
    webhook = api.get(f"{RESOURCE}/{WEBHOOK_NAME}")
    if webhook is not None and OURS.items() <= (webhook["metadata"].get("labels") or {}).items():
        api.delete(f"{RESOURCE}/{WEBHOOK_NAME}", uid=webhook["metadata"]["uid"])
        yield f"delete MutatingWebhookConfiguration {WEBHOOK_NAME}"
    yield from _free_namespaces(api, options, gone)
    secrets = f"/api/v1/namespaces/{options.namespace}/secrets"
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{options.namespace}/leases"
    own = [f"{secrets}/{CERTIFICATE_SECRET}", f"{secrets}/{TOKENS_NAME}", f"{leases}/{LEASE_NAME}"]
    for path in own:
        if api.delete(path):
            *_, plural, name = path.split("/")
            yield f"delete {'Lease' if plural == 'leases' else 'Secret'} {options.namespace}/{name}"


def _free_namespaces(api: KubeApi, options: Options, names: frozenset[str]) -> Iterator[str]:
    """Take our references and then our Secrets out of all namespaces, and yield a line for each."""
    failure: ClusterError | None = None
    for _ in range(ROUNDS):
        failure = None
        watched = watch_nothing(api, options)
        watched.load(names | set(HELPER_SECRETS))
        hands = Hands(api, secrets=lambda _: None, accounts=None, may_go_on=lambda: True)
        for namespace in sorted(watched.namespaces.groups()):
            actions = _undoing(watched, namespace, names)
            done = hands.carry_out(actions)
            if done.error is None:
                yield from map(line, actions)
            elif done.error.is_conflict:  # it changed meanwhile
                failure = done.error
            else:
                raise done.error
        if failure is None:
            return
    if failure is not None:
        raise failure


def _undoing(watched: Watched, namespace: str, names: frozenset[str]) -> list[Action]:
    """Return what frees *namespace* of all that has one of the *names*, or is a helper's that we took over."""
    seen = watched.observed(namespace)
    names |= {name for name in HELPER_SECRETS if name in seen.secrets and seen.secrets[name].is_ours}
    nothing = Desired("", b"", "", is_selected=False, accounts=frozenset(), retired=names)
    return plan(seen, nothing)


def _refuse_while_one_works(api: KubeApi, options: Options, *, force: bool) -> None:
    lease = api.get(f"/apis/coordination.k8s.io/v1/namespaces/{options.namespace}/leases/{LEASE_NAME}") or {}
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
