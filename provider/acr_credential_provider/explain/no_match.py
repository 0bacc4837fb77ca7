"""The reason why no registry entry serves a host, with a remedy."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from acr_credential_provider.console.checks import NoMatchError
from acr_credential_provider.model.acr_hosts import (
    PUBLIC_NAMESPACES,
    SYSTEM_NAMESPACES,
    EnterpriseHost,
    PersonalHost,
    SharedHost,
    recognise,
)
from acr_credential_provider.model.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from acr_credential_provider.settings import Registry


_NOT_OURS = "Nothing, if this is no registry of yours: such hosts get an empty answer and are pulled without a login."


def no_match(scope: str, registries: Sequence[Registry]) -> NoMatchError:
    """Return why none of *registries* serves *scope* (`lookup.cache_scope`), and which entry comes nearest."""
    host, _, namespace = scope.partition("/")
    owner = {domain: index for index, registry in enumerate(registries) for domain in registry.domains}
    spelled = _spelled_otherwise(host, owner)
    if spelled:
        source = registries[owner[spelled]].source
        return _error(
            f"{host} is not {spelled}, letter by letter (case, dot at the end, port)",
            Remedy(
                "ImageNotCovered", f"Write the image as {spelled}/..., or add {host.lower()} to domains of {source}."
            ),
            source,
        )
    system = recognise(host)
    if isinstance(system, EnterpriseHost):
        return _enterprise_reason(host, system, registries, owner)
    if isinstance(system, SharedHost):
        return _shared_reason(host, system, namespace, registries)
    if isinstance(system, PersonalHost):
        return _error(
            f"{host} is a Personal Edition instance of its own, which grants no tokens, and no entry names it",
            Remedy(
                "PersonalEditionHasNoTokens",
                f"Add an entry with domains: [{host}] and identity: kind: basicAuth, or move to the Enterprise "
                "Edition.",
            ),
            _nearest(host, owner, registries),
        )
    if host.rpartition(":")[0].lower().endswith(".aliyuncs.com") or host.lower().endswith(".aliyuncs.com"):
        return _error(
            f"{host} ends like a host of Alibaba Cloud, but has not the form of a registry of ACR",
            Remedy(
                "ImageNotCovered",
                "Compare it with the domains in the console (Enterprise: NAME-registry[-vpc].REGION.cr.aliyuncs.com).",
            ),
            _nearest(host, owner, registries),
        )
    return _error(
        f"{host} is in no entry's domains, and only those and hosts that ACR has listed get tokens",
        Remedy(
            "ImageNotCovered", f"If it is a custom domain of an instance, add it to that entry's domains. {_NOT_OURS}"
        ),
        _nearest(host, owner, registries),
    )


def _error(problem: str, remedy: Remedy, nearest: str = "") -> NoMatchError:
    return NoMatchError(problem + (f"; nearest: {nearest}" if nearest else ""), remedy=remedy)


def _shared_reason(host: str, system: SharedHost, namespace: str, registries: Sequence[Registry]) -> NoMatchError:
    if namespace in PUBLIC_NAMESPACES:
        own = "" if namespace in SYSTEM_NAMESPACES else f"If {namespace} is this account's, add it to namespaces. "
        return _error(
            f"the images in {namespace} on {host} are Alibaba Cloud's own, and public",
            Remedy("ImageNotCovered", own + _NOT_OURS),
        )
    personal = [(index, registry) for index, registry in enumerate(registries) if not registry.instance_id]
    here = [index for index, registry in personal if registry.region in (None, system.region)]
    if here:
        return _error(
            f"the Personal Edition entries in {system.region} have other namespaces or domains than {host}/{namespace}",
            Remedy(
                "ImageNotCovered", f"If {namespace} is this account's, add it to namespaces of that entry. {_NOT_OURS}"
            ),
            ", ".join(registries[index].source for index in here),
        )
    return _error(
        f"no entry is for the Personal Edition in {system.region}, the region of {host}",
        Remedy("ImageNotCovered", f"Add an entry without instanceId and with region: {system.region}. {_NOT_OURS}"),
        ", ".join(registry.source for _, registry in personal),
    )


def _enterprise_reason(
    host: str, enterprise: EnterpriseHost, registries: Sequence[Registry], owner: Mapping[str, int]
) -> NoMatchError:
    editions = [(index, registry) for index, registry in enumerate(registries) if registry.instance_id]
    in_region = [index for index, registry in editions if registry.region in (None, enterprise.region)]
    limited = [index for index in in_region if registries[index].domains]
    if not in_region:
        regions = sorted({registry.region for registry in registries if registry.region})
        same_name = [
            f"{registries[index].source} has {domain}"
            for domain, index in owner.items()
            if (other := EnterpriseHost.recognise(domain)) and other.instance_name == enterprise.instance_name
        ]
        return _error(
            f"no entry is in {enterprise.region}, the region of {host}; there are entries in {', '.join(regions)}",
            Remedy(
                "ImageNotCovered",
                "Correct region: in the entry of that instance, or add an entry for the one in this region.",
            ),
            "; ".join(same_name) or _nearest(host, owner, registries),
        )
    if len(limited) == len(in_region):
        listed = ", ".join(registries[index].source for index in limited)
        return _error(
            f"the entries in {enterprise.region} name their domains, and {host} is not among them ({listed})",
            Remedy("ImageNotCovered", f"Add {host} to domains of the entry of that instance."),
            _nearest(host, owner, registries) or registries[limited[0]].source,
        )
    return _error(
        f"ACR does not list {host} as a host of any entry in {enterprise.region}, as an earlier pull has kept",
        Remedy(
            "HostNotListed",
            "Check the instance's name and that this entrance (public or VPC) is on; to ask again: cache clear.",
        ),
        _nearest(host, owner, registries) or registries[in_region[0]].source,
    )


def _spelled_otherwise(host: str, owner: Mapping[str, int]) -> str:
    """Return the domain that *host* would be if case, a last dot or the port did not count."""
    bare = re.sub(r":[0-9]+$", "", host.lower()).rstrip(".")
    return next((domain for domain in owner if re.sub(r":[0-9]+$", "", domain) == bare), "")


def _nearest(host: str, owner: Mapping[str, int], registries: Sequence[Registry]) -> str:
    close = difflib.get_close_matches(host, list(owner)[:1000], n=1, cutoff=0.75)
    return f"{registries[owner[close[0]]].source} has {close[0]}" if close else ""
