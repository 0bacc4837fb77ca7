"""Namespaces that ask for instances by the annotation that Elastic Container Instance reads.

A namespace that the settings do not select gets the logins of the instances that it asks for, if the settings have
them. The same annotation on a Pod asks for nothing here: ECI reads it itself, and the right to start a Pod is not the
right to decide where logins go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from .content import Content
from .eci_annotations import requests_of
from .selection import is_left_out, selects_namespace

if TYPE_CHECKING:
    from acr_credential_provider.settings.pull_secrets import PullSecrets

    from .content import EntryLogins
    from .eci_annotations import InstanceRequest
    from .objects import Namespace


class Instance(Protocol):
    """An entry, as far as a namespace can ask for it."""

    @property
    def instance_id(self) -> str:
        """The ID of the instance, "" for none."""

    @property
    def region(self) -> str | None:
        """Its region; "" or None while that is unknown."""


E = TypeVar("E", bound=Instance)


def content_for(
    namespace: Namespace, spec: PullSecrets, everything: Content, entries: tuple[EntryLogins, ...]
) -> Content | None:
    """Return the content of the Secret in *namespace*, None if it is to have none.

    *everything* is for the namespaces that the settings select.
    """
    if selects_namespace(spec, namespace):
        return everything
    mine = entries_for(namespace, spec, entries)
    return Content.of_entries(mine) if mine else None


def entries_for(namespace: Namespace, spec: PullSecrets, entries: tuple[E, ...]) -> tuple[E, ...]:
    """Return the ones of *entries* whose logins *namespace* is to have."""
    if selects_namespace(spec, namespace):
        return entries
    if not namespace.annotations or is_left_out(spec, namespace):
        return ()
    requests = requests_of(namespace.annotations).instances
    return tuple(entry for entry in entries if any(_fits(entry, request) for request in requests))


def _fits(entry: Instance, request: InstanceRequest) -> bool:
    # Without a region the cluster's own is meant, which an entry may spell out or leave out.
    return entry.instance_id == request.instance_id and (request.region in ("", entry.region) or not entry.region)


def unmet(namespace: Namespace, spec: PullSecrets, entries: tuple[EntryLogins, ...]) -> list[str]:
    """Return the problems with requests of *namespace*."""
    if not namespace.annotations or is_left_out(spec, namespace):
        return []
    requests = requests_of(namespace.annotations)
    unknown = [request for request in requests.instances if not any(_fits(entry, request) for entry in entries)]
    return [*requests.problems, *(f"{request} is not an instance of the configuration" for request in unknown)]
