"""The one contract of all credential sources, and what they are given to work with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.cloud.imds import Imds
    from acr_credential_provider.cloud.sts import StsApi
    from acr_credential_provider.model.cloud_credential import CloudCredential
    from acr_credential_provider.model.protocol import CredentialProviderRequest

    from .principal import Principal


class CredentialSource(Protocol):
    """One place that cloud credentials come from: the ECS RAM role, an access key in files.

    What it finds is an official ``ICredentials``; `FixedCredential` makes it the
    ``ICredentialsProvider`` that the official client signs with.
    """

    def principal(self, request: CredentialProviderRequest | None) -> Principal | None:
        """Return whose credentials `find` would return; None, or an error, where it would be so too.

        Nothing is called for it, so a request that must be refused is refused here, first.
        """

    def find(self, request: CredentialProviderRequest | None) -> CloudCredential | None:
        """Return credentials, or ``None`` when this source does not apply to *request*.

        Raises `CredentialProviderError` when it applies and cannot deliver: an identity that
        was asked for and refused must never quietly become another one. *request* is
        ``None`` where there is no pull, as in the controller.
        """

    def files(self) -> tuple[str, ...]:
        """Return the paths whose content decides what `find` returns, whether or not they exist."""


class CloudServices(Protocol):
    """What sources reach the cloud and this node's memory with."""

    def metadata(self, *, allow_v1: bool) -> Imds:
        """Return the metadata service of this node."""

    def sts(self, named: str = "") -> StsApi:
        """Return STS: where the settings say, else at *named* (a base URL), else the nearest."""

    def keep(self, key: str, fetch: Callable[[], CloudCredential]) -> CloudCredential:
        """Return the session that is kept under *key*, or what *fetch* brings, which is kept then."""
