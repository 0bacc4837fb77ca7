"""The one contract of all credential sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from acr_credential_provider.cloud.credential import CloudCredential
    from acr_credential_provider.protocol import CredentialProviderRequest


class CredentialSource(Protocol):
    """One place that cloud credentials come from: the ECS RAM role, an access key in files.

    What it finds is an official ``ICredentials``; `FixedCredential` makes it the
    ``ICredentialsProvider`` that the official client signs with.
    """

    def find(self, request: CredentialProviderRequest | None) -> CloudCredential | None:
        """Return credentials, or ``None`` when this source does not apply to *request*.

        Raises `CredentialProviderError` when it applies and cannot deliver: an identity that
        was asked for and refused must never quietly become another one. *request* is
        ``None`` where there is no pull, as in the controller.
        """

    def files(self) -> tuple[str, ...]:
        """Return the paths whose content decides what `find` returns, whether or not they exist."""
