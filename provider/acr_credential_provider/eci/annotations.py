"""Renders the settings for Elastic Container Instance (ECI), where no kubelet of ours runs. Values alone, no I/O.

ECI takes annotations of a Pod (virtual nodes) or parameters of its API CreateContainerGroup. With both, ECI itself
asks ACR as a role of its own account; so the identity of a registry entry is not used, and a note says what that costs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acr_credential_provider.model.acr_hosts import EnterpriseHost, recognise
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.image_reference import scope_of
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.pull_secrets.model.eci_annotations import InstanceRequest, annotations_for
from acr_credential_provider.settings.identity_kinds import IMDS
from acr_credential_provider.settings.registry_matching import candidates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from acr_credential_provider.settings import Identity, ProviderSettings, Registry
    from acr_credential_provider.sources.basic_auth import BasicAuth


@dataclass(frozen=True, slots=True)
class Rendered:
    """Annotations of a Pod, parameters of CreateContainerGroup, and a note on each setting that ECI cannot follow."""

    annotations: dict[str, str]
    parameters: dict[str, str] = field(repr=False)
    notes: tuple[str, ...]


def render(
    settings: ProviderSettings,
    *,
    images: Sequence[str] = (),
    service_arn: str = "",
    login_of: Callable[[Identity], BasicAuth] | None = None,
) -> Rendered:
    """Return the values by which ECI pulls *images*, or all images that *settings* cover if none are given.

    *service_arn* is the role of ECI's account to ask as. Without *login_of*, no password is read and registries that
    need one are left out. Raises `ConfigurationError` if one Pod cannot have it all: ECI takes one pair of roles.
    """
    chosen, notes = _chosen(settings, images)
    enterprise = [registry for registry in chosen if registry.instance_id]
    user_arn, arn_notes = _user_arn(enterprise, service_arn)
    notes += arn_notes
    rendered = [registry for registry in enterprise if len(registry.assume_role) <= (1 if user_arn else 0)]
    parameters: dict[str, str] = {}
    for number, registry in enumerate(rendered, start=1):
        parameters |= _acr_registry_info(number, registry)
        if registry.identity.traits.session_from != IMDS:
            notes.append(
                f"{display_name(registry)}: its identity ({registry.identity.kind}) does not come along; "
                "ECI asks as a role of its own account"
            )
    logins: list[tuple[str, BasicAuth]] = []  # by host
    for registry in (registry for registry in chosen if not registry.instance_id):
        if registry.identity.traits.asks_cloud:
            notes.append(_personal_edition_note(registry))
        elif login_of is None:
            notes.append(
                f"{', '.join(registry.domains)}: needs a login: in a Pod by imagePullSecrets, in the API by "
                "ImageRegistryCredential, which --with-passwords FILE writes"
            )
        else:
            login = login_of(registry.identity)
            logins += [(host, login) for host in registry.domains]
    for number, (host, login) in enumerate(logins, start=1):
        fields = {"Server": host, "UserName": login.username, "Password": login.password}
        parameters |= {f"ImageRegistryCredential.{number}.{name}": value for name, value in fields.items()}
    instances = [InstanceRequest(registry.region or "", registry.instance_id) for registry in rendered]
    annotations = annotations_for(instances, service_arn=service_arn, user_arn=user_arn)
    return Rendered(annotations, parameters, tuple(dict.fromkeys(notes)))


def _chosen(settings: ProviderSettings, images: Iterable[str]) -> tuple[list[Registry], list[str]]:
    """Return the registries that serve *images*, and notes on images with none or several."""
    if not images:
        return list(settings.registries), []
    chosen: set[int] = set()
    notes = []
    for image in images:
        scope = scope_of(image)
        system = recognise(scope.partition("/")[0])
        matches = [
            registry
            for registry in candidates(scope, settings.registries)
            if (registry.domains if system is None else registry.region in (None, system.region))
        ]
        if not matches:
            notes.append(
                f"{scope}: no entry of the settings is for it; a custom domain belongs into domains of its entry, and "
                "an image that is not ACR's needs imagePullSecrets in the Pod or an ImageRegistryCredential in the API"
            )
        if len(matches) > 1:
            notes.append(f"{scope}: may be of any of {len(matches)} entries, which name no domains; all were taken")
        chosen |= {id(registry) for registry in matches}
    return [registry for registry in settings.registries if id(registry) in chosen], notes


def _user_arn(enterprise: list[Registry], service_arn: str) -> tuple[str, list[str]]:
    """Return the role in the instances' account ("" for none), and notes on registries that it cannot serve."""
    notes = []
    arns = set()
    for registry in enterprise:
        name = display_name(registry)
        if len(registry.assume_role) > 1:
            notes.append(f"{name}: left out; ECI goes by one role in another account, not by a chain of them")
        elif registry.assume_role and not service_arn:
            notes.append(
                f"{name}: left out; another account's: name with --service-arn the role of ECI's "
                f"own account that may assume {registry.assume_role[0].role_arn}"
            )
        elif registry.assume_role:
            arns.add(registry.assume_role[0].role_arn)
            if registry.assume_role[0].external_id or registry.assume_role[0].policy:
                notes.append(f"{name}: externalId and policy of its role do not come along")
    if len(arns) > 1 or (arns and not all(registry.assume_role for registry in enterprise)):
        raise ConfigurationError(
            "these registries are of several accounts, and ECI takes one pair of roles for a Pod",
            remedy=Remedy(
                "ArgumentInvalid",
                "Narrow it down with --image to what one Pod pulls, or keep its images in one account's instance.",
            ),
        )
    return next(iter(arns), ""), notes


def _personal_edition_note(registry: Registry) -> str:
    if registry.assume_role or registry.identity.key_files:
        return (
            f"{display_name(registry)}: left out; without a password ECI pulls images of the Personal Edition from its "
            "own account only: use imagePullSecrets or ImageRegistryCredential for another's"
        )
    return f"{display_name(registry)}: needs nothing; ECI pulls its own account's images by itself"


def _acr_registry_info(number: int, registry: Registry) -> dict[str, str]:
    """Return AcrRegistryInfo.*number* with all that the settings know; ECI requires the ID only."""
    start = f"AcrRegistryInfo.{number}"
    info = {f"{start}.InstanceId": registry.instance_id}
    if registry.region:
        info[f"{start}.RegionId"] = registry.region
    names = {system.instance_name for host in registry.domains if isinstance(system := recognise(host), EnterpriseHost)}
    if len(names) == 1:
        info[f"{start}.InstanceName"] = names.pop()
    info |= {f"{start}.Domain.{index}": host for index, host in enumerate(registry.domains, start=1)}
    return info
