"""What the controller tells of itself while it works: Events for operators, figures for their monitoring.

The core knows this contract only. Every method returns at once, never raises, and is called
from any thread. No argument ever holds a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An object of the cluster that something is said about; *namespace* is empty for a Namespace."""

    kind: str
    namespace: str
    name: str
    uid: str = ""
    api_version: str = "v1"


@dataclass(frozen=True, slots=True)
class TokenState:
    """The times of one entry's token, in seconds since the epoch; 0 where there is none.

    *entry* is the entry's name in messages (``cri-... in cn-hangzhou``).
    """

    entry: str
    issued_at: float
    expires_at: float


class Reporter(Protocol):
    """Who is told."""

    def event(self, about: ObjectRef, reason: str, message: str, *, is_warning: bool = True) -> None:
        """Say something to those who look at the object *about*; *reason* is one CamelCase word, always the same."""

    def configuration(self, outcome: str, *, problems: int) -> None:
        """Set the state of the configuration: ``loaded``, ``partial``, ``last_good`` or ``absent``."""

    def tokens(self, states: Sequence[TokenState]) -> None:
        """Tell how the token of each entry stands now."""

    def renewed(self, entry: str) -> None:
        """Count a token that was fetched."""

    def renewal_failed(self, entry: str, reason: str) -> None:
        """Count a token that was not; *reason* is the name of the error's class."""

    def wrote(self, kind: str, verb: str, outcome: str) -> None:
        """Count a write: *kind* Secret or ServiceAccount, *outcome* ``ok``, ``conflict``, ``gone`` or ``failed``."""

    def called(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Count a call of the API server; *code* is the HTTP status, or ``none`` when there was no answer."""

    def watch_ended(self, resource: str, why: str) -> None:
        """Count the end of a watch: ``timeout`` (regular), ``gone`` (410), ``idle_timeout`` or ``failed``."""

    def managed(self, *, secrets: int, service_accounts: int) -> None:
        """Tell how many objects carry what is ours."""

    def queue(self, depth: int) -> None:
        """Tell how many namespaces wait for work."""

    def leading(self, is_leader: bool) -> None:
        """Tell whether this replica is the one that writes."""


class NullReporter:
    """A `Reporter` that nobody listens to."""

    def event(self, about: ObjectRef, reason: str, message: str, *, is_warning: bool = True) -> None:
        """Say nothing."""

    def configuration(self, outcome: str, *, problems: int) -> None:
        """Say nothing."""

    def tokens(self, states: Sequence[TokenState]) -> None:
        """Say nothing."""

    def renewed(self, entry: str) -> None:
        """Say nothing."""

    def renewal_failed(self, entry: str, reason: str) -> None:
        """Say nothing."""

    def wrote(self, kind: str, verb: str, outcome: str) -> None:
        """Say nothing."""

    def called(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Say nothing."""

    def watch_ended(self, resource: str, why: str) -> None:
        """Say nothing."""

    def managed(self, *, secrets: int, service_accounts: int) -> None:
        """Say nothing."""

    def queue(self, depth: int) -> None:
        """Say nothing."""

    def leading(self, is_leader: bool) -> None:
        """Say nothing."""
