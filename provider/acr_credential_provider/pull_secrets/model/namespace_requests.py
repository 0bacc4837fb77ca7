"""Namespaces that ask for instances by the annotation that Elastic Container Instance reads.

A namespace that the settings do not select gets the logins of the instances that it asks for, if the settings have
them. The same annotation on a Pod asks for nothing here: ECI reads it itself, and the right to start a Pod is not the
right to decide where logins go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .content import Content
from .eci_annotations import requests_of
from .selection import is_left_out, selects_namespace

if TYPE_CHECKING:
    from acr_credential_provider.settings.pull_secrets import PullSecrets

    from .content import EntryLogins
    from .eci_annotations import InstanceRequest
    from .objects import Namespace


def content_for(
    namespace: Namespace, spec: PullSecrets, everything: Content, entries: tuple[EntryLogins, ...]
) -> Content | None:
    """Return the content of the Secret in *namespace*, None if it is to have none.

    *everything* is for the namespaces that the settings select.
    """
    if selects_namespace(spec, namespace):
        return everything
    if is_left_out(spec, namespace):
        return None
    requests = requests_of(namespace.annotations).instances if namespace.annotations else ()
    mine = [entry for entry in entries if any(_fits(entry, request) for request in requests)]
    return Content.of_entries(mine) if mine else None


def _fits(entry: EntryLogins, request: InstanceRequest) -> bool:
    # Without a region the cluster's own is meant, which an entry may spell out or leave out.
    return entry.instance_id == request.instance_id and (request.region in ("", entry.region) or not entry.region)


def unmet(namespace: Namespace, spec: PullSecrets, entries: tuple[EntryLogins, ...]) -> list[str]:
    """Return the problems with requests of *namespace*."""
    if not namespace.annotations or is_left_out(spec, namespace):
        return []
    requests = requests_of(namespace.annotations)
    unknown = [request for request in requests.instances if not any(_fits(entry, request) for entry in entries)]
    return [*requests.problems, *(f"{request} is not an instance of the configuration" for request in unknown)]
