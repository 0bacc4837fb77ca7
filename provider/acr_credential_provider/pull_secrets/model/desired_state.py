"""What should be everywhere at one moment, and in one namespace. Values alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .plan import Desired
from .selection import selects_account

if TYPE_CHECKING:
    from acr_credential_provider.settings import PullSecrets

    from .content import Content, EntryLogins
    from .owner_reference import Reference
    from .plan import Observed


@dataclass(frozen=True, slots=True)
class DesiredState:
    """*everything* is what namespaces get that the settings mean, *entries* what others may ask for parts of.

    Secrets called as in *retired* are to go, those as in *replaced* belong to a helper that is no more. While it
    *is_blocked* nothing is written: another helper is at work.
    """

    wanted: PullSecrets
    everything: Content
    entries: tuple[EntryLogins, ...]
    retired: frozenset[str]
    replaced: frozenset[str]
    is_blocked: bool

    def filled(self) -> frozenset[str]:
        """Return the places that some entry has a login for now."""
        return frozenset(place for each in self.entries for place, _, _ in each.logins)


def desired(
    snapshot: DesiredState, content: Content | None, observed: Observed, owner: Reference | None = None
) -> Desired:
    """Return what a namespace should be like, where its Secret is to hold *content* (None: it is to have none)."""
    is_selected = content is not None
    accounts = frozenset(
        each.name for each in observed.accounts if is_selected and selects_account(snapshot.wanted, each)
    )
    filling = content or snapshot.everything
    return Desired(
        snapshot.wanted.secret_name,
        filling.content,
        filling.digest,
        is_selected=is_selected,
        accounts=accounts,
        retired=snapshot.retired,
        replaced=snapshot.replaced,
        owner=owner,
    )
