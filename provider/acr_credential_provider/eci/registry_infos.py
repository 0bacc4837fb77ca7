"""Renders the settings for Elastic Container Instance (ECI), where no kubelet of ours runs. Values alone, no I/O.

ECI takes annotations of a Pod (virtual nodes) or parameters of its API. With both, ECI itself asks ACR as a role of its
own account; so the identity of a registry entry is not used, and a note says what that costs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
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


MOST_INSTANCES = 21
"""Entries that a request to the API may have."""


class Roles(Enum):
    """The roles that a form of the output has room for."""

    PAIR = "one pair for a Pod"
    EACH = "a pair for each instance"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class RegistryInfo:
    """An instance that ECI may pull from, with all that the settings know; ECI requires the ID only.

    *arn_service* is the role of ECI's account to ask as, *arn_user* the role in the instance's account that it assumes.
    """

    instance_id: str
    region: str = ""
    instance_name: str = ""
    domains: tuple[str, ...] = ()
    arn_service: str = ""
    arn_user: str = ""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What ECI gets: instances, logins by host, and a note on each setting that ECI cannot follow."""

    infos: tuple[RegistryInfo, ...]
    logins: tuple[tuple[str, BasicAuth], ...] = field(repr=False)
    notes: tuple[str, ...]

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations of a Pod, which has one pair of roles for all its instances."""
        instances = [InstanceRequest(info.region, info.instance_id) for info in self.infos]
        service_arn, user_arn = next(((info.arn_service, info.arn_user) for info in self.infos), ("", ""))
        return annotations_for(instances, service_arn=service_arn, user_arn=user_arn)


def render(
    settings: ProviderSettings,
    *,
    images: Sequence[str] = (),
    service_arn: str = "",
    login_of: Callable[[Identity], BasicAuth] | None = None,
    roles: Roles = Roles.PAIR,
) -> Rendered:
    """Return the values by which ECI pulls *images*, or all images that *settings* cover if none are given.

    *service_arn* is the role of ECI's account to ask as. Without *login_of*, no password is read and registries that
    need one are left out. Raises `ConfigurationError` if it does not fit: a Pod has one pair of *roles*, and a
    request `MOST_INSTANCES`.
    """
    chosen, notes = _chosen(settings, images)
    infos = []
    if service_arn and roles is Roles.NONE:
        notes.append("--service-arn does not come along: this form has no field for roles, the forms pod and api have")
    for registry in (registry for registry in chosen if registry.instance_id):
        info, reasons = _info(registry, service_arn, roles)
        notes += reasons
        if info is None:
            continue
        infos.append(info)
        if registry.identity.traits.session_from != IMDS:
            notes.append(
                f"{display_name(registry)}: its identity ({registry.identity.kind}) does not come along; "
                "ECI asks as a role of its own account"
            )
    _check_fits(infos, roles)
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
    return Rendered(tuple(infos), tuple(logins), tuple(dict.fromkeys(notes)))


def _check_fits(infos: Sequence[RegistryInfo], roles: Roles) -> None:
    if roles is Roles.PAIR and len({info.arn_user for info in infos}) > 1:
        raise ConfigurationError(
            "these registries are of several accounts, and ECI takes one pair of roles for a Pod",
            remedy=Remedy(
                "ArgumentInvalid",
                "Narrow it down with --image to what one Pod pulls, or keep its images in one account's instance. "
                "The API takes a pair for each instance: --form api.",
            ),
        )
    if roles is not Roles.PAIR and len(infos) > MOST_INSTANCES:
        raise ConfigurationError(
            f"these are {len(infos)} instances, and ECI takes {MOST_INSTANCES} in one request",
            remedy=Remedy("ArgumentInvalid", "Narrow it down with --image to what one container group pulls."),
        )


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


def _info(registry: Registry, service_arn: str, roles: Roles) -> tuple[RegistryInfo | None, list[str]]:
    """Return what ECI gets of an Enterprise Edition *registry* (None: nothing), and notes on what it cannot do."""
    name = display_name(registry)
    if len(registry.assume_role) > 1:
        return None, [f"{name}: left out; ECI goes by one role in another account, not by a chain of them"]
    other = registry.assume_role[0] if registry.assume_role else None
    if other and roles is Roles.NONE:
        return None, [f"{name}: left out; another account's, and this form has no field for roles; pod and api have"]
    if other and not service_arn:
        reason = (
            f"{name}: left out; another account's: name with --service-arn the role of ECI's "
            f"own account that may assume {other.role_arn}"
        )
        return None, [reason]
    notes = []
    if other and (other.external_id or other.policy):
        notes.append(f"{name}: externalId and policy of its role do not come along")
    names = {system.instance_name for host in registry.domains if isinstance(system := recognise(host), EnterpriseHost)}
    info = RegistryInfo(
        registry.instance_id,
        registry.region or "",
        names.pop() if len(names) == 1 else "",
        tuple(registry.domains),
        "" if roles is Roles.NONE else service_arn,
        other.role_arn if other else "",
    )
    return info, notes


def _personal_edition_note(registry: Registry) -> str:
    if registry.assume_role or registry.identity.key_files:
        return (
            f"{display_name(registry)}: left out; without a password ECI pulls images of the Personal Edition from its "
            "own account only: use imagePullSecrets or ImageRegistryCredential for another's"
        )
    return f"{display_name(registry)}: needs nothing; ECI pulls its own account's images by itself"
