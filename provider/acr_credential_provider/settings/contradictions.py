"""Contradictions: fields of a registry that do not go together, registries that claim the same, and the wrong place."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic.alias_generators import to_camel

from acr_credential_provider.model.acr_hosts import (
    EnterpriseHost,
    PersonalHost,
    SharedHost,
    is_of_alibaba_cloud,
    meant_host,
    recognise,
)
from acr_credential_provider.model.remedy import Remedy

from .field_types import ContradictionError
from .identity_kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from acr_credential_provider.model.acr_hosts import AcrHost

    from .cluster_origin import ClusterJudge
    from .models import RegistryModel


def contradictions(
    registry: RegistryModel, unknown: Collection[str], limits: ClusterJudge | None
) -> Iterator[ContradictionError]:
    """Yield all contradictions in *registry*, of which the fields *unknown* (as in the file) are wrong themselves.

    *limits* are those of settings from a cluster.
    """
    is_known = "identity" not in unknown
    is_login = is_known and not KINDS[registry.identity.kind].asks_cloud
    if is_login and not registry.domains and "domains" not in unknown:
        problem = "is missing: a login says nothing about hosts"
        yield ContradictionError(
            problem, Remedy("SettingsFieldMissing", "Add domains: [HOST], the host of the images."), "domains"
        )
    if is_login and registry.assume_role:
        problem = "has no meaning for a login, which asks nothing of the cloud"
        yield ContradictionError(problem, Remedy("SettingsContradiction", "Remove this field."), "assumeRole")
    is_personal = not registry.instance_id and "instanceId" not in unknown
    if is_known and is_personal and not is_login and "token_duration" in registry.model_fields_set:
        problem = "has no meaning for the Personal Edition, whose tokens have one life"
        yield ContradictionError(problem, Remedy("SettingsContradiction", "Remove this field."), "tokenDuration")
    if registry.namespaces and registry.instance_id:
        problem = "are for the Personal Edition's shared hosts only"
        yield ContradictionError(problem, Remedy("SettingsContradiction", "Remove this field."), "namespaces")
    seen: list[AcrHost] = []
    for index, host in enumerate(registry.domains):
        error = _of_domain(registry, host, seen, unknown, is_login=is_login)
        if error is None and is_login and limits and (refusal := limits.login_host(host)):
            error = ContradictionError(*refusal)
        if error is not None:
            yield ContradictionError(str(error), error.remedy, "domains", index)
        elif system := recognise(host):
            seen.append(system)


def _of_domain(
    registry: RegistryModel,
    host: str,
    seen: Sequence[AcrHost],
    unknown: Collection[str],
    *,
    is_login: bool,
) -> ContradictionError | None:
    """Return what is wrong with the domain *host*, given the system domains that were *seen* before it."""
    system = recognise(host)
    if system is None and is_of_alibaba_cloud(host):
        return ContradictionError(
            "is a host of Alibaba Cloud, but no registry of an instance", Remedy("HostInvalid", meant_host(host))
        )
    if registry.namespaces and not isinstance(system, SharedHost):
        problem = "is not a shared host, so that namespaces mean nothing there"
        return ContradictionError(problem, Remedy("SettingsContradiction", "Remove it, or the namespaces."))
    if system is None:
        return None
    error = _of_region(registry, system, seen, is_known="region" not in unknown)
    if error is not None or is_login or "identity" in unknown:
        return error
    return _of_edition(registry, system, seen, is_known="instanceId" not in unknown)


def _of_region(
    registry: RegistryModel, system: AcrHost, seen: Sequence[AcrHost], *, is_known: bool
) -> ContradictionError | None:
    if registry.region is not None and system.region != registry.region:
        return ContradictionError(
            f"is in {system.region}, not in the registry's region",
            Remedy("SettingsContradiction", "Correct one of the two."),
        )
    other = next((each.region for each in seen if each.region != system.region), None)
    if other is None or not is_known:
        return None
    problem = f"is in {system.region}, and a domain above it in {other}"
    return ContradictionError(problem, Remedy("SettingsContradiction", "Write an entry of its own for each region."))


def _of_edition(
    registry: RegistryModel, system: AcrHost, seen: Sequence[AcrHost], *, is_known: bool
) -> ContradictionError | None:
    if isinstance(system, PersonalHost):
        return ContradictionError(
            "belongs to the new Personal Edition, which grants no temporary tokens",
            Remedy(
                "PersonalEditionHasNoTokens",
                "Give the registry identity: {kind: basicAuth, usernameFile: ..., passwordFile: ...}.",
            ),
        )
    if isinstance(system, SharedHost):
        problem, remedy = "belongs to the Personal Edition", "Move it to a registry without instanceId."
        return ContradictionError(problem, Remedy("SettingsContradiction", remedy)) if registry.instance_id else None
    if not registry.instance_id and is_known:
        problem = "belongs to an instance of the Enterprise Edition"
        return ContradictionError(problem, Remedy("SettingsContradiction", "Add the instanceId of that instance."))
    others = {each.instance_name for each in seen if isinstance(each, EnterpriseHost)} - {system.instance_name}
    if not others:
        return None
    problem = f"is of the instance {system.instance_name}, and a domain above it of {min(others)}"
    return ContradictionError(problem, Remedy("SettingsContradiction", "Write an entry of its own for each instance."))


def wrong_place(place: str, registry: RegistryModel) -> Iterator[ContradictionError]:
    """Yield why the identity of *registry* does not work at *place*: ``node``, ``controller`` or ``laptop``."""
    identity = registry.identity
    traits = KINDS[identity.kind]
    refusal = {"node": traits.not_on_node, "controller": traits.not_in_controller}.get(place)
    if refusal:
        why, alternative = refusal
        yield ContradictionError(
            f"{identity.kind} does not work on a {place}: {why}",
            Remedy("IdentityDoesNotApply", alternative),
            "identity",
            "kind",
        )
    for name in traits.needed_on_node if place == "node" else ():
        if getattr(identity, name) is None:
            yield ContradictionError(
                "is missing: no webhook sets it in a kubelet's environment",
                Remedy(
                    "SettingsFieldMissing",
                    "Add it, with a token file that something on this host renews; or use serviceAccount.",
                ),
                "identity",
                to_camel(name),
            )


class Conflict(NamedTuple):
    """The registry at *position* claims what the *earlier* one has; *error* is None if both are one."""

    position: int
    earlier: int
    error: ContradictionError | None


def conflicts(registries: Sequence[RegistryModel | None]) -> Iterator[Conflict]:
    """Yield one conflict at most for each of *registries* (None: one that cannot be used)."""
    claimed: dict[tuple[str, ...], int] = {}
    for index, registry in enumerate(registries):
        if registry is None:
            continue
        for claim, steps in _claims(registry):
            other = claimed.setdefault(claim, index)
            earlier = registries[other]
            if other == index or earlier is None:
                continue
            error = ContradictionError(
                "is claimed by a registry above too",
                Remedy(
                    "SettingsContradiction",
                    "Keep one of the two; two accounts on the Personal Edition's shared hosts need namespaces.",
                ),
                *steps,
            )
            yield Conflict(index, other, None if _is_repetition(registry, earlier) else error)
            break


def merged(earlier: RegistryModel, repetition: RegistryModel) -> RegistryModel:
    """Return *earlier* with the domains and namespaces of its *repetition*."""
    union = {
        name: tuple(dict.fromkeys([*getattr(earlier, name), *getattr(repetition, name)]))
        for name in ("domains", "namespaces")
    }
    return earlier.model_copy(update=union)


def _is_repetition(registry: RegistryModel, earlier: RegistryModel) -> bool:
    """True if *registry* asks for the same tokens as the *earlier* one, as the same identity."""
    # An entry without domains has the hosts that ACR lists, one with domains those and no others: they do not add up.
    return bool(registry.domains) == bool(earlier.domains) and all(
        getattr(registry, name) == getattr(earlier, name)
        for name in ("instance_id", "effective_region", "identity", "assume_role")
    )


def _claims(registry: RegistryModel) -> list[tuple[tuple[str, ...], tuple[str | int, ...]]]:
    """Return what only one registry may have, and the steps to the field that claims it."""
    namespaces = registry.namespaces or ("",)
    claims: list[tuple[tuple[str, ...], tuple[str | int, ...]]] = [
        ((host, namespace), ("domains", index))
        for index, host in enumerate(registry.domains)
        for namespace in namespaces
    ]
    region = registry.effective_region or "own"
    if registry.instance_id:
        claims.append(((registry.instance_id, region, ""), ("instanceId",)))
    elif not registry.domains:
        claims += [(("personal", region, namespace), ()) for namespace in namespaces]
    return claims
