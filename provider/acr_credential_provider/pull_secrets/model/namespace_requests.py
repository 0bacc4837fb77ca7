"""Namespaces that ask for instances by the annotation that Elastic Container Instance reads. Values alone.

A namespace that the settings do not name gets the logins of the instances that it asks for, and no others. Only those
of the settings can be asked for; whoever may write a Namespace decides it, as he decides its labels. The same
annotation on a Pod asks for nothing here: whoever may start a Pod is not who decides where logins go, and ECI reads it
itself.
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
    namespace: Namespace, wanted: PullSecrets, everything: Content, entries: tuple[EntryLogins, ...]
) -> Content | None:
    """Return what the Secret in *namespace* is to hold, None where it is to have none.

    *everything* is for the namespaces that the settings mean.
    """
    if selects_namespace(wanted, namespace):
        return everything
    if is_left_out(wanted, namespace):
        return None
    requests = requests_of(namespace.annotations).instances if namespace.annotations else ()
    mine = [each for each in entries if any(_fits(each, request) for request in requests)]
    return Content.of_entries(mine) if mine else None


def _fits(entry: EntryLogins, request: InstanceRequest) -> bool:
    # Without a region the cluster's own is meant, which an entry may spell out or leave out.
    return entry.instance_id == request.instance_id and (request.region in ("", entry.region) or not entry.region)


def unmet(namespace: Namespace, wanted: PullSecrets, entries: tuple[EntryLogins, ...]) -> list[str]:
    """Return what there is to say about requests of *namespace* that come to nothing."""
    if not namespace.annotations or is_left_out(wanted, namespace):
        return []
    requests = requests_of(namespace.annotations)
    unknown = [each for each in requests.instances if not any(_fits(entry, each) for entry in entries)]
    return [*requests.problems, *(f"{each} is not an instance of the configuration" for each in unknown)]
