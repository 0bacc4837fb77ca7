"""The actions that bring one namespace from its observed to its desired state: values in, actions out.

The order of the actions is safe at every point where a process may die: a Secret is there before anything refers
to it, and nothing refers to it when it is deleted. Nothing is deleted to be made anew: the kubelet remembers by a
Secret's uid who may use an image (KEP-2535).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .dockerconfigjson import has_logins
from .names import SECRET_TYPE, is_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .objects import Secret, ServiceAccount
    from .owner_reference import Reference


@dataclass(frozen=True, slots=True)
class Observed:
    """A namespace as it is: the Secrets whose names concern us, and all of its ServiceAccounts.

    *uid* is the namespace's: one that was deleted and made again is another one.
    """

    namespace: str
    secrets: Mapping[str, Secret]
    accounts: Sequence[ServiceAccount]
    uid: str = ""


@dataclass(frozen=True, slots=True)
class DesiredNamespace:
    """A namespace as it should be.

    *name*, *content* and *digest* are of the Secret. *is_selected* is
    whether the namespace gets it, *accounts* are the names of those who refer to it. Secrets in *retired* are to go if
    they are ours. Those in *replaced* belong to a helper that is no more: ServiceAccounts get ours in their place, and
    they are kept alive for the pods that still name them.
    """

    name: str
    content: bytes = field(repr=False)
    digest: str
    is_selected: bool
    accounts: frozenset[str]
    retired: frozenset[str] = frozenset()
    replaced: frozenset[str] = frozenset()
    owner: Reference | None = None
    """The owner of the Secret; None: it stays as it is."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What an action brings about: *subject* is an object by its uid, *goal* the state that it gets.

    Two actions with the same effect one after the other: in between somebody undid the first one.
    """

    subject: tuple[str, ...]
    goal: str


@dataclass(frozen=True, slots=True)
class CreateSecret:
    """Make the Secret, with our labels."""

    namespace: str
    name: str
    content: bytes = field(repr=False)
    owner: Reference | None = None
    namespace_uid: str = ""

    @property
    def effect(self) -> Effect:
        """The Secret is there."""
        return Effect(("Secret", self.namespace_uid or self.namespace, self.name), "present")


@dataclass(frozen=True, slots=True)
class UpdateSecret:
    """Replace the data, add our labels and set the owner, provided *resource_version* still matches.

    *has_labels* is whether the Secret has labels now.
    """

    namespace: str
    name: str
    resource_version: str
    content: bytes = field(repr=False)
    has_labels: bool = True
    owner: Reference | None = None
    uid: str = ""
    digest: str = ""

    @property
    def effect(self) -> Effect:
        """The Secret has this content and owner."""
        return Effect(("Secret", self.uid), f"{self.digest} {self.owner.mark if self.owner else ''}")


@dataclass(frozen=True, slots=True)
class ChangeAccount:
    """Append the reference *add* to the account's list, and remove those in *remove* (index, name).

    *has_list* is whether there is a list. Nothing happens if the account changed since *resource_version*.
    """

    namespace: str
    name: str
    resource_version: str
    has_list: bool
    add: str = ""
    remove: tuple[tuple[int, str], ...] = ()
    uid: str = ""

    @property
    def effect(self) -> Effect:
        """The account refers to *add*, and no longer to the names in *remove*."""
        removed = sorted({name for _, name in self.remove})
        return Effect(("ServiceAccount", self.uid or f"{self.namespace}/{self.name}"), f"+{self.add} -{removed}")

    def patch(self) -> list[dict[str, Any]]:
        """Return the JSON patch; a merge patch would replace the whole list, with the entries of others."""
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": self.resource_version}
        ]
        for index, name in sorted(self.remove, reverse=True):
            operations.append({"op": "test", "path": f"/imagePullSecrets/{index}/name", "value": name})
            operations.append({"op": "remove", "path": f"/imagePullSecrets/{index}"})
        if self.add and self.has_list:
            operations.append({"op": "add", "path": "/imagePullSecrets/-", "value": {"name": self.add}})
        elif self.add:
            operations.append({"op": "add", "path": "/imagePullSecrets", "value": [{"name": self.add}]})
        return operations


@dataclass(frozen=True, slots=True)
class DeleteSecret:
    """Delete the Secret if it is still the one with *uid* at *resource_version*."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    namespace_uid: str = ""

    @property
    def effect(self) -> Effect:
        """No Secret of this name is there."""
        return Effect(("Secret", self.namespace_uid or self.namespace, self.name), "absent")


Action = CreateSecret | UpdateSecret | ChangeAccount | DeleteSecret


def is_foreign(secret: Secret | None) -> bool:
    """True if *secret*, which has the name of ours, is somebody else's."""
    return secret is not None and (not secret.is_ours or secret.type != SECRET_TYPE)


def plan(observed: Observed, desired: DesiredNamespace) -> list[Action]:
    """Return the actions in order; none if all is well.

    Without any login in the content nothing new is made: a Secret that exists gets it, for expired logins are worse
    than none. A Secret of our name that is not ours stays as it is, and is not referred to.
    """
    present = observed.secrets.get(desired.name)
    is_ours_to_use = desired.is_selected and not is_foreign(present)
    actions: list[Action] = []
    is_there = False
    if is_ours_to_use:
        is_there = present is not None or has_logins(desired.content)
        if present is None and is_there:
            actions.append(CreateSecret(observed.namespace, desired.name, desired.content, desired.owner, observed.uid))
        elif present is not None and not _is_right(present, desired):
            actions.append(_update(present, desired))
        actions += [
            _update(secret, desired)
            for name, secret in sorted(observed.secrets.items())
            if name in desired.replaced
            and secret.type == SECRET_TYPE
            and not (secret.is_ours and _is_right(secret, desired))
            and has_logins(desired.content)
        ]
    refers = frozenset({desired.name} if is_there else ())
    changes = _changes(observed, desired, refers, is_foreign_name=is_foreign(present))
    # Where ours can't take their place, entries with an old name stay, and what they lead to stays alive.
    in_use = _in_use(observed, changes)
    for name, secret in sorted(observed.secrets.items()):
        is_old = name in desired.retired and name in in_use and not is_foreign(secret)
        if is_old and desired.is_selected and not _is_right(secret, desired) and has_logins(desired.content):
            actions.append(_update(secret, desired))
    actions += changes
    actions += [
        DeleteSecret(secret.namespace, secret.name, secret.uid, secret.resource_version, observed.uid)
        for name, secret in sorted(observed.secrets.items())
        if not is_foreign(secret)
        and not secret.terminating
        and name not in in_use
        and (name in desired.retired or (name == desired.name and not desired.is_selected))
    ]
    return actions


def _is_right(secret: Secret, desired: DesiredNamespace) -> bool:
    """True if *secret* has the desired content and owner, and our label."""
    is_owned = desired.owner is None or secret.owner == desired.owner.mark
    return secret.digest == desired.digest and is_owned and secret.has_our_label


def _in_use(observed: Observed, changes: Sequence[ChangeAccount]) -> set[str]:
    """Return the names that accounts refer to once *changes* were made."""
    removed = {change.name: {index for index, _ in change.remove} for change in changes}
    return {
        name
        for account in observed.accounts
        if not account.terminating
        for index, name in enumerate(account.pull_secrets or ())
        if index not in removed.get(account.name, ())
    }


def _update(secret: Secret, desired: DesiredNamespace) -> UpdateSecret:
    return UpdateSecret(
        secret.namespace,
        secret.name,
        secret.resource_version,
        desired.content,
        secret.has_labels,
        desired.owner,
        secret.uid,
        desired.digest,
    )


def _changes(
    observed: Observed, desired: DesiredNamespace, refers: frozenset[str], *, is_foreign_name: bool
) -> list[ChangeAccount]:
    ours_to_remove = {
        name for name in desired.retired if name != desired.name and not is_foreign(observed.secrets.get(name))
    }
    changes = []
    for account in observed.accounts:
        if account.terminating:
            continue
        names = account.pull_secrets or ()
        is_wanted = desired.is_selected and account.name in desired.accounts
        gone = set(ours_to_remove)
        if is_wanted and refers:
            gone |= desired.replaced
        if not is_wanted and not is_foreign_name:
            gone.add(desired.name)
        if is_wanted and not refers:
            gone = set()  # nothing is there to take their place
        add = desired.name if is_wanted and refers and desired.name not in names else ""
        remove = tuple((index, name) for index, name in enumerate(names) if name in gone and is_name(name))
        if add or remove:
            changes.append(
                ChangeAccount(
                    observed.namespace,
                    account.name,
                    account.resource_version,
                    has_list=account.pull_secrets is not None,
                    add=add,
                    remove=remove,
                    uid=account.uid,
                )
            )
    return changes
