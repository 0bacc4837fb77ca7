"""Facts about registry entries from the settings alone: which may serve a host, and with which roles."""

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
_FALLBACKS = {"deny": "refused", "nodeRole": "the node's role"}


def candidates(scope: str, registries: Sequence[Registry]) -> list[int]:
    """Return the indexes of the entries that may serve *scope* (`lookup.cache_scope`); without a region in any."""
    system = recognise(scope.partition("/")[0])
    return [
        registries.index(registry)
        for registry in registry_matching.candidates(scope, registries)
        if registry.domains or (system is not None and (registry.region or system.region) == system.region)
    ]


def is_for_pods_only(registry: Registry) -> bool:
    """True if only a pod's ServiceAccount token gets credentials for *registry*."""
    return registry.identity.traits.is_of_pods and registry.identity.static_pods == "deny"


def with_node_role(registry: Registry) -> Registry:
    """Return *registry* with the node's identity: where ACR is does not depend on the identity, and needs no pod."""
    return registry._replace(identity=Identity("nodeRole"), assume_role=())


def role_rules(identity: Identity) -> list[str]:
    """Return which ServiceAccounts get which role, a rule a line, in the order in which the rules are tried."""
    roles = f"{(identity.oidc_provider_arn or '').partition(':oidc-provider/')[0]}:role/"
    rules = [f"{', '.join(rule.service_accounts)}: {roles}{rule.role_name}" for rule in identity.roles]
    more = [f"({len(rules) - MOST_ROLES} more rules)"] if len(rules) > MOST_ROLES else []
    return [
        *rules[:MOST_ROLES],
        *more,
        f"{'others' if rules else 'all'}: {roles}NAME, with NAME from their annotation {ROLE_ANNOTATION}",
        f"without one: {_FALLBACKS[identity.without_role]}",
        f"pods without a token: {_FALLBACKS[identity.static_pods]}",
    ]
