"""What the settings alone tell of an entry: whether a host may be of it, and who would ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.fastpath.lookup import ROLE_ANNOTATION
from acr_credential_provider.model.acr_hosts import recognise
from acr_credential_provider.settings import Identity, registry_matching

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acr_credential_provider.settings import Registry

MOST_ROLES = 20
"""Rules of ``roles`` that are listed; the settings may have thousands."""


def candidates(where: str, registries: Sequence[Registry]) -> list[int]:
    """Return the indexes of the entries that the cache scope *where* may belong to, as far as the settings tell."""
    system = recognise(where.partition("/")[0])
    return [
        registries.index(each)
        for each in registry_matching.candidates(where, registries)
        if each.domains or (system is not None and (each.region or system.region) == system.region)
    ]


def is_of_pods(registry: Registry) -> bool:
    """Say whether nobody but a pod's ServiceAccount, by its token, can ask ACR for *registry*."""
    return registry.identity.traits.is_of_pods and registry.identity.static_pods == "deny"


def of_the_node(registry: Registry) -> Registry:
    """Return *registry* as if the node asked: where ACR is does not depend on who asks, and needs no pod."""
    return registry._replace(identity=Identity("nodeRole"), assume_role=())


def roles_of(identity: Identity) -> tuple[str, ...]:
    """Return which ServiceAccounts get which role, a rule a line, in the order in which the rules are tried."""
    roles = f"{(identity.oidc_provider_arn or '').partition(':oidc-provider/')[0]}:role/"
    rules = [f"{', '.join(rule.service_accounts)}: {roles}{rule.role_name}" for rule in identity.roles]
    left_out = [f"({len(rules) - MOST_ROLES} more rules)"] if len(rules) > MOST_ROLES else []
    said = {"deny": "refused", "nodeRole": "the node's role"}
    return (
        *rules[:MOST_ROLES],
        *left_out,
        f"{'others' if rules else 'all'}: {roles}NAME, with NAME from their annotation {ROLE_ANNOTATION}",
        f"without one: {said[identity.without_role]}",
        f"pods without a token: {said[identity.static_pods]}",
    )
