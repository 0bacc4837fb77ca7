"""The kubelet's matchImages, from the settings. Pure.

A kubelet reads them once, at its start. So hosts of ACR's own forms become one pattern for each number of
labels, which stays right when registries come and go; only other domains are listed by name. Hosts that
pods pull from as their own ServiceAccounts are a second list, by name, for a provider that gets their
tokens; then the first list is narrow, so that the node's identity is not used for those hosts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acr_credential_provider.fastpath.lookup import ROLE_ANNOTATION
from acr_credential_provider.kubelet.image_match import explain_mismatch
from acr_credential_provider.model.acr_hosts import P2P_PORT, EnterpriseHost, PersonalHost, SharedHost, recognise
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .runtime import ProviderSettings, Registry

NETWORKS = ("", "-vpc", "-internal", "-intl", "-intl-vpc")
"""Of the Personal Edition's shared hosts."""


@dataclass(frozen=True, slots=True)
class MatchImages:
    """The patterns of a node's own identities and of pods' ServiceAccounts, each in a stable order.

    *audience* and *requires_account* are for the tokens of the latter: a provider has one audience,
    and without *requires_account* it is asked for pods without a ServiceAccount too (static ones).
    *notes* are sentences for an operator.
    """

    node: tuple[str, ...]
    token: tuple[str, ...] = ()
    audience: str = ""
    requires_account: bool = True
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it with the fields of a CredentialProviderConfig."""
        attributes = {
            "serviceAccountTokenAudience": self.audience,
            "cacheType": "ServiceAccount",
            "requireServiceAccount": self.requires_account,
            "optionalServiceAccountAnnotationKeys": [ROLE_ANNOTATION],
        }
        token = {"matchImages": list(self.token), "tokenAttributes": attributes} if self.token else None
        return {"matchImages": list(self.node), "tokenMode": token}


def match_images(settings: ProviderSettings) -> MatchImages:
    """Return the patterns; raise `ConfigurationError` for settings that patterns cannot express."""
    by_account = [registry for registry in settings.registries if registry.identity.traits.is_of_pods]
    by_node = [registry for registry in settings.registries if not registry.identity.traits.is_of_pods]
    is_wide = not by_account
    patterns = {pattern for registry in by_node for pattern in _patterns(registry, is_wide=is_wide)}
    # A host of an unreadable entry is listed too, because only a pull of it reports what is wrong.
    for host in settings.quarantined_hosts:
        patterns.add(_pattern(host, is_wide=is_wide))
    if settings.personal_quarantined:
        patterns.update(_shared("*"))
    node = tuple(sorted(patterns, key=_order))
    return _with_tokens(node, by_account, settings) if by_account else MatchImages(node)


def _with_tokens(node: tuple[str, ...], by_account: Sequence[Registry], settings: ProviderSettings) -> MatchImages:
    for registry in by_account:
        if not registry.domains:
            index = settings.registries.index(registry)
            raise ConfigurationError(
                f"registries[{index}].domains is missing: a kubelet hands out tokens of pods for hosts by name only",
                remedy=Remedy("SettingsFieldMissing", "Add domains: [HOST], the hosts of the images."),
            )
    audiences = sorted({registry.identity.audience for registry in by_account})
    if len(audiences) > 1:
        raise ConfigurationError(
            f"registries want ServiceAccount tokens for {len(audiences)} audiences ({', '.join(audiences)}), "
            "and a kubelet's provider has one",
            remedy=Remedy("SettingsContradiction", "Give them the same audience."),
        )
    token = tuple(sorted({host for registry in by_account for host in registry.domains}))
    for_static_pods = {host for r in by_account if r.identity.static_pods != "deny" for host in r.domains}
    notes = []
    for host in token:
        pattern = next((pattern for pattern in node if not explain_mismatch(pattern, f"{host}/x")), None)
        if pattern is None:
            continue
        if host in for_static_pods:
            raise ConfigurationError(
                f"{host} is for ServiceAccounts, but {pattern} of another registry matches it too, so that every pod "
                "would get the node's login there",
                remedy=Remedy(
                    "SettingsContradiction", "Give the other registries domains, or this one staticPods: deny."
                ),
            )
        notes.append(f"{pattern} matches {host} too: the kubelet logs a refusal there for each pull, and goes on.")
    return MatchImages(node, token, audiences[0], requires_account=not for_static_pods, notes=tuple(notes))


def _patterns(registry: Registry, *, is_wide: bool) -> Iterator[str]:
    """Yield the patterns of all hosts that are *registry*'s by name or by form."""
    if registry.domains:
        yield from (_pattern(host, is_wide=is_wide) for host in registry.domains)
        return
    region = "*" if is_wide or not registry.region else registry.region
    if registry.instance_id:
        yield f"*.{region}.cr.aliyuncs.com"
        yield f"*.distributed.{region}.cr.aliyuncs.com:{P2P_PORT}"
    else:
        yield from _shared(region)


def _pattern(host: str, *, is_wide: bool) -> str:
    """Return the pattern of the form that *host* has, or *host* itself."""
    system = recognise(host) if is_wide else None
    if isinstance(system, EnterpriseHost):
        return f"*.distributed.*.cr.aliyuncs.com:{P2P_PORT}" if system.p2p else "*.*.cr.aliyuncs.com"
    if isinstance(system, SharedHost):
        return f"registry{'-' if system.network else ''}{system.network}.*.aliyuncs.com"
    return "*.*.personal.cr.aliyuncs.com" if isinstance(system, PersonalHost) else host


def _shared(region: str) -> tuple[str, ...]:
    return tuple(f"registry{network}.{region}.aliyuncs.com" for network in NETWORKS)


def _order(pattern: str) -> tuple[bool, bool, str]:
    """Put the forms of the Enterprise Edition first, then those of the Personal one, then single hosts."""
    return "*" not in pattern, not pattern.startswith("*.*.cr"), pattern
