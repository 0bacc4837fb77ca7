"""The pull secret of a namespace, and the view of a replica that the webhook asks for it."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from .names import LABELS, SECRET_KEY, SECRET_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from acr_credential_provider.settings.pull_secrets import PullSecrets

    from .owner_reference import Reference


@dataclass(frozen=True, slots=True)
class PullSecret:
    """The Secret that a namespace should have: its docker configuration and its owner."""

    name: str
    content: bytes = field(repr=False)
    owner: Reference | None = None

    def data(self) -> dict[str, str]:
        """Return the Secret's data."""
        return {SECRET_KEY: b64encode(self.content).decode("ascii")}

    def manifest(self, namespace: str) -> dict[str, Any]:
        """Return the Secret's manifest for *namespace*."""
        owners = {} if self.owner is None else {"ownerReferences": [self.owner.document()]}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "namespace": namespace, "labels": dict(LABELS), **owners},
            "type": SECRET_TYPE,
            "data": self.data(),
        }


class PullSecretProvider(Protocol):
    """Answers from memory, because the webhook must never wait for the cloud."""

    def pull_secret_for(
        self,
        namespace: str,
        service_account: str,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> PullSecret | None:
        """Return the Secret that *service_account*, with its *labels* and *annotations*, is to have in *namespace*.

        None: it is not selected, opted out, or there is no valid token (no configuration yet, or the cloud never
        answered).
        """

    def knows(self, namespace: str) -> bool:
        """True if the watch has told of *namespace*, whose labels and annotations count."""

    def has_secret(self, namespace: str, name: str) -> bool:
        """True if the watch shows a Secret called *name* in *namespace*; the controller sees to its content."""

    def spec(self) -> PullSecrets | None:
        """Return the settings' section for the controller, with the webhook's part; None: there are no settings."""

    def is_ready(self) -> bool:
        """True if configuration, tokens and namespaces are known, so that `pull_secret_for` is right."""
