"""ACR and its registry: the hosts of an instance, a token, and a login with it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from acr_credential_provider.cloud.registry_login import log_in
from acr_credential_provider.console.checks import CheckSkippedError, NoMatchError
from acr_credential_provider.explain.candidates import candidates
from acr_credential_provider.kubelet.image_match import strip_tag
from acr_credential_provider.model.acr_hosts import EnterpriseHost
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.model.remedy import Remedy

from .context import CHECK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .context import DoctorContext


def check_hosts(context: DoctorContext) -> str:
    """Ask ACR for the instance's hosts, unless the settings name them."""
    if context.host in context.registry.domains:
        raise CheckSkippedError("the settings name the host")
    if not context.host:
        raise CheckSkippedError("no IMAGE was given")
    context.skip_without_pod(f"; name {context.host} in domains, and ACR is not asked for it")
    registry = context.token_service().match(context.scope, settings_path=context.settings_path).registry
    if registry is None:
        raise unlisted(context.host, _listed(context))
    context.known_registry = registry
    context.known_route = context.token_service().route(registry)
    if not registry.instance_id:
        raise CheckSkippedError("all accounts of a region share this host")
    return f"ACR lists {context.host} as one of {registry.instance_id}'s"


def unlisted(host: str, listed: Sequence[str]) -> NoMatchError:
    """Return the error for *host*, which is not among those that ACR has *listed*: its other entrance may be."""
    system = EnterpriseHost.recognise(host)
    other = replace(system, vpc=not system.vpc, p2p=False).listed_as if system else ""
    entrance = "VPC" if system and system.vpc else "public"
    remedy = "Check the host, the entry's instanceId, and that this entrance (public or VPC) is on."
    if other in listed:
        remedy = f"Use {other}, or turn the {entrance} entrance of the instance on (console: Access Control)."
    what = f"; it lists {', '.join(listed)}" if listed else "; it lists none"
    return NoMatchError(
        f"ACR does not list {host} as a host of any entry that may serve it{what}",
        remedy=Remedy("HostNotListed", remedy),
    )


def _listed(context: DoctorContext) -> list[str]:
    """Return the hosts that ACR lists for the entries that may serve the image."""
    hosts: list[str] = []
    for index in candidates(context.scope, context.settings.registries):
        try:
            hosts += context.token_service().hosts(context.settings.registries[index]).names
        except CredentialProviderError:  # one entry's failure says nothing about the others
            continue
    return list(dict.fromkeys(hosts))


def check_token(context: DoctorContext) -> str:
    """Get a token from ACR."""
    _ = context.route
    context.skip_without_pod()
    with context.token_service().token(context.registry) as (token, _files):
        context.login = token.username, token.password
    return f"of {display_name(context.registry)}, usable for {(token.expires_at - time.time()) / 60:.0f} min"


def check_login(context: DoctorContext) -> str:
    """Log in to the registry, and ask for the image."""
    if not context.host:
        raise CheckSkippedError("no IMAGE was given, and the settings name no host")
    context.skip_without_pod()
    path = context.image.partition("/")[2]
    return log_in(
        context.endpoints().transport(CHECK_SECONDS),
        context.host,
        context.login,
        repository=strip_tag(context.image).partition("/")[2],
        reference=path.partition("@")[2] or path.rpartition("/")[2].partition(":")[2] or "latest",
    )
