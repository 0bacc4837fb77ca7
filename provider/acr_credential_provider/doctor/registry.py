"""What ACR and its registry say: the hosts of an instance, a token, and a login with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from acr_credential_provider.cloud.registry_login import log_in
from acr_credential_provider.console.checks import SkippedError
from acr_credential_provider.kubelet.image_match import as_kubelet_sees
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.errors import ConfigurationError

from .context import NEEDS_A_POD, STEP_SECONDS

if TYPE_CHECKING:
    from .context import DoctorContext


def check_hosts(case: DoctorContext) -> str:
    """Ask ACR for the instance's hosts, where the settings do not name them."""
    if case.host in case.registry.domains:
        raise SkippedError("the settings name the host")
    if not case.host:
        raise SkippedError("no IMAGE was given")
    if case.needs_pod():
        raise SkippedError(f"{NEEDS_A_POD}; name {case.host} in domains, and ACR is not asked for it")
    found = case.new_cloud().match(case.where, settings_path=case.settings_path).registry
    if found is None:
        raise ConfigurationError(
            f"ACR does not list {case.host} as a host of any entry that it may belong to",
            remedy="Check the host, the entry's instanceId, and that this entrance (public or VPC) is on.",
        )
    case.registry = found
    case.way = case.new_cloud().route(found)
    if not found.instance_id:
        raise SkippedError("all accounts of a region share this host")
    return f"ACR lists {case.host} as one of {found.instance_id}'s"


def get_token(case: DoctorContext) -> str:
    """Get a token from ACR."""
    case.acr()
    if case.needs_pod():
        raise SkippedError(NEEDS_A_POD)
    with case.new_cloud().token(case.registry) as (token, _):
        case.login = token.username, token.password
    return f"of {display_name(case.registry)}, usable for {(token.expires_at - time.time()) / 60:.0f} min"


def log_in_to_it(case: DoctorContext) -> str:
    """Log in to the registry with it, and ask for the image."""
    if not case.host:
        raise SkippedError("no IMAGE was given, and the settings name no host")
    if case.needs_pod():
        raise SkippedError(NEEDS_A_POD)
    path = case.image.partition("/")[2]
    reference = path.partition("@")[2] or path.rpartition("/")[2].partition(":")[2] or "latest"
    return log_in(
        case.new_cloud().endpoints.transport(STEP_SECONDS),
        case.host,
        case.login,
        repository=as_kubelet_sees(case.image).partition("/")[2],
        reference=reference,
    )
