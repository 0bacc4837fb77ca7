"""The desired state of the cluster at one moment, and of one namespace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .namespace_requests import content_for
from .plan import DesiredNamespace
from .selection import selects_account

if TYPE_CHECKING:
    from acr_credential_provider.settings.pull_secrets import PullSecrets

    from .content import Content, EntryLogins
    from .objects import Namespace
    from .owner_reference import Reference
    from .plan import Observed


@dataclass(frozen=True, slots=True)
class DesiredState:
    """*content* is for the namespaces that *spec* selects; others may ask for some of *entries*.

    Secrets named as in *retired* are to go, those in *replaced* belong to a helper that is gone. Nothing is written
    while it *is_blocked*: another helper runs.
    """

    spec: PullSecrets
    content: Content
    entries: tuple[EntryLogins, ...]
    retired: frozenset[str]
    replaced: frozenset[str]
    is_blocked: bool

    def content_for(self, namespace: Namespace) -> Content | None:
        """Return the content of the Secret in *namespace*, None if it is to have none."""
        return content_for(namespace, self.spec, self.content, self.entries)

    def known_hosts(self) -> frozenset[str]:
        """Return the hosts at which some entry has a login now."""
        return frozenset(host for entry in self.entries for host, _, _ in entry.logins)


def desired(
    state: DesiredState, content: Content | None, observed: Observed, owner: Reference | None = None
) -> DesiredNamespace:
    """Return the desired state of one namespace, whose Secret is to hold *content* (None: no Secret)."""
    is_selected = content is not None
    accounts = frozenset(
        account.name for account in observed.accounts if is_selected and selects_account(state.spec, account)
    )
    content = content or state.content
    return DesiredNamespace(
        state.spec.secret_name,
        content.content,
        content.digest,
        is_selected=is_selected,
        accounts=accounts,
        retired=state.retired,
        replaced=state.replaced,
        owner=owner,
    )
