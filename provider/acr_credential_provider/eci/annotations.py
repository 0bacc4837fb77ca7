"""What Elastic Container Instance (ECI) needs of the settings, for no kubelet of ours runs there. Values alone.

ECI has two doors: annotations of a Pod (virtual nodes) and parameters of its API
CreateContainerGroup. Behind both it is ECI that asks ACR, as a role of its own account; so
an entry's identity cannot come along, and what that costs is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acr_credential_provider.model.acr_hosts import EnterpriseHost, recognise
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.image_reference import scope_of
from acr_credential_provider.pull_secrets.model.eci_annotations import InstanceRequest, annotations_for
from acr_credential_provider.settings.registry_matching import candidates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from acr_credential_provider.settings import BasicAuthIdentity, ProviderSettings, Registry
    from acr_credential_provider.sources.basic_auth import BasicAuth

_OWN_ROLE = "ECI asks as a role of its own account"


@dataclass(frozen=True, slots=True)
class Rendered:
    """Annotations of a Pod, parameters of CreateContainerGroup, and a line for all that cannot come along."""

    annotations: dict[str, str]
    parameters: dict[str, str] = field(repr=False)
    notes: tuple[str, ...]


def render(
    settings: ProviderSettings,
    *,
    images: Sequence[str] = (),
    service_arn: str = "",
    login_of: Callable[[BasicAuthIdentity], BasicAuth] | None = None,
) -> Rendered:
    """Return what ECI needs to pull *images*, or whatever the *settings* cover when none are given.

    *service_arn* is the role of ECI's account to ask as. Without *login_of* no password is
    read, and registries that need one are left out. Raises `ConfigurationError` where one
    Pod cannot have it all: ECI takes one pair of roles.
    """
    chosen, notes = _chosen(settings, images)
    enterprise = [each for each in chosen if each.instance_id]
    user_arn, arn_notes = _user_arn(enterprise, service_arn)
    notes += arn_notes
    comes_along = [each for each in enterprise if len(each.assume_role) <= (1 if user_arn else 0)]
    parameters: dict[str, str] = {}
    for number, registry in enumerate(comes_along, start=1):
        parameters |= _acr_registry_info(number, registry)
        if registry.identity.kind != "nodeRole":
            notes.append(
                f"{_display_name(registry)}: its identity ({registry.identity.kind}) does not come along; {_OWN_ROLE}"
            )
    logins = 0
    for registry in (each for each in chosen if not each.instance_id):
        if registry.identity.kind != "basicAuth":
            notes.append(_of_personal_edition(registry))
            continue
        if login_of is None:
            notes.append(
                f"{', '.join(registry.domains)}: needs a login: in a Pod by imagePullSecrets, in the API by "
                "ImageRegistryCredential, which --with-passwords FILE writes"
            )
            continue
        login = login_of(registry.identity)
        for host in registry.domains:
            logins += 1
            parameters |= _credential(logins, host, login)
    annotations = annotations_for(
        [InstanceRequest(each.region or "", each.instance_id) for each in comes_along],
        service_arn=service_arn,
        user_arn=user_arn,
    )
    return Rendered(annotations, parameters, tuple(dict.fromkeys(notes)))


def _chosen(settings: ProviderSettings, images: Iterable[str]) -> tuple[list[Registry], list[str]]:
    """Return the registries to render, and what there is to say about images that none is for."""
    if not images:
        return list(settings.registries), []
    chosen: dict[int, Registry] = {}
    notes = []
    for image in images:
        where = scope_of(image)
        system = recognise(where.partition("/")[0])
        found = [
            each
            for each in candidates(where, settings.registries)
            if (each.domains if system is None else each.region in (None, system.region))
        ]
        if not found:
            notes.append(
                f"{where}: no entry of the settings is for it; a custom domain belongs into domains of its entry, and "
                "what is not of ACR needs imagePullSecrets in the Pod or an ImageRegistryCredential in the API"
            )
        if len(found) > 1:
            notes.append(f"{where}: may be of any of {len(found)} entries, which name no domains; all were taken")
        chosen |= {id(each): each for each in found}
    return [each for each in settings.registries if id(each) in chosen], notes


def _user_arn(enterprise: list[Registry], service_arn: str) -> tuple[str, list[str]]:
    """Return the role in the instances' account, "" for none, and who cannot come along for want of one."""
    notes = []
    arns: dict[str, None] = {}
    for registry in enterprise:
        if len(registry.assume_role) > 1:
            notes.append(
                f"{_display_name(registry)}: left out; ECI goes by one role in another account, not by a chain of them"
            )
        elif registry.assume_role and not service_arn:
            notes.append(
                f"{_display_name(registry)}: left out; another account's: name with --service-arn the role of ECI's "
                f"own account that may assume {registry.assume_role[0].role_arn}"
            )
        elif registry.assume_role:
            arns[registry.assume_role[0].role_arn] = None
            if registry.assume_role[0].external_id or registry.assume_role[0].policy:
                notes.append(f"{_display_name(registry)}: externalId and policy of its role do not come along")
    own = [each for each in enterprise if not each.assume_role]
    if len(arns) > 1 or (arns and own):
        raise ConfigurationError(
            "these registries are of several accounts, and ECI takes one pair of roles for a Pod",
            remedy="Narrow it down with --image to what one Pod pulls, or keep its images in one account's instance.",
        )
    return next(iter(arns), ""), notes


def _of_personal_edition(registry: Registry) -> str:
    if registry.assume_role or registry.identity.kind in ("accessKey", "stsSession"):
        return (
            f"{_display_name(registry)}: left out; of the Personal Edition ECI pulls without a password from its own "
            "account only: use imagePullSecrets or ImageRegistryCredential for another's"
        )
    return (
        f"{_display_name(registry)}: needs nothing; "
        "ECI pulls its own account's images of the Personal Edition by itself"
    )


def _acr_registry_info(number: int, registry: Registry) -> dict[str, str]:
    """Return AcrRegistryInfo.*number* with all that the settings know; the ID alone is enough for ECI."""
    start = f"AcrRegistryInfo.{number}"
    info = {f"{start}.InstanceId": registry.instance_id}
    if registry.region:
        info[f"{start}.RegionId"] = registry.region
    names = {system.instance_name for host in registry.domains if isinstance(system := recognise(host), EnterpriseHost)}
    if len(names) == 1:
        info[f"{start}.InstanceName"] = names.pop()
    info |= {f"{start}.Domain.{place}": host for place, host in enumerate(registry.domains, start=1)}
    return info


def _credential(number: int, host: str, login: BasicAuth) -> dict[str, str]:
    start = f"ImageRegistryCredential.{number}"
    return {f"{start}.Server": host, f"{start}.UserName": login.username, f"{start}.Password": login.password}


def _display_name(registry: Registry) -> str:
    return registry.instance_id or f"the Personal Edition in {registry.region or 'the own region'}"
