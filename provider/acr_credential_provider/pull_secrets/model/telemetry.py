"""How the controller reports its work: Events for operators, metrics for their monitoring.

Every method returns at once, never raises, and is called from any thread. No argument holds a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acr_credential_provider.model.connection_table import ClientFault


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An object of the cluster that an Event is about; *namespace* is empty for cluster-scoped ones."""

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


class Telemetry:
    """Receives metrics and Events. This one drops them."""

    def event(self, about: ObjectRef, reason: str, message: str, *, is_warning: bool = True) -> None:
        """Report *message* about an object; *reason* is one CamelCase word, always the same."""

    def event_sent(self, outcome: str) -> None:
        """Count an Event: ``sent``, ``repeated`` (within five minutes), ``dropped`` (too many) or ``failed``."""

    def configuration(self, outcome: str, *, problems: int) -> None:
        """Set the state of the configuration: ``loaded``, ``partial``, ``last_good`` or ``absent``."""

    def edited(self, outcome: str, loss: str) -> None:
        """Count an edit of the configuration: ``taken`` or ``refused``, and how much it takes away (`Loss.extent`)."""

    def tokens(self, states: Sequence[TokenState]) -> None:
        """Set the times of each entry's token; entries that are not among *states* any more go."""

    def renewed(self, entry: str) -> None:
        """Count a token that was fetched."""

    def renewal_failed(self, entry: str, reason: str) -> None:
        """Count a token that was not; *reason* is the name of the error's class."""

    def wrote(self, kind: str, verb: str, outcome: str) -> None:
        """Count a write: *kind* Secret or ServiceAccount, *outcome* ``ok`` or a `kube.refusals.Cause`."""

    def called(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Count a call of the API server; *code* is the HTTP status, or ``none`` if there was no answer."""

    def watch_ended(self, resource: str, reason: str) -> None:
        """Count the end of a watch: ``timeout`` (regular), ``gone`` (410), ``idle_timeout`` or ``failed``."""

    def managed(self, *, secrets: int, service_accounts: int) -> None:
        """Set how many objects have our content or entry."""

    def queue(self, depth: int) -> None:
        """Set how many namespaces wait for work."""

    def leading(self, is_leader: bool) -> None:
        """Set whether this replica is the one that writes."""

    def admitted(self, outcome: str, seconds: float) -> None:
        """Count an admission: ``patched``, ``unchanged``, ``skipped``, ``secret_pending`` or ``refused``."""

    def client_fault(self, fault: ClientFault) -> None:
        """Count what a client of our servers did wrong."""

    def webhook(self, is_configured: bool) -> None:
        """Set whether the API server is configured to ask the webhook."""

    def admission_policy(self, is_in_force: bool) -> None:
        """Set whether the API server's own policy adds the entry to new ServiceAccounts."""

    def certificate(self, *, leaf: float, authority: float) -> None:
        """Set when the serving certificate and its authority expire, in seconds since the epoch."""
