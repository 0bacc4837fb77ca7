"""The one contract of all credential sources, and the services that they use."""

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
        """Return the identity that the source has for *request*, None when it does not apply.

        Makes no call, so a request that must be refused is refused here, first: raises `CredentialProviderError`.
        *request* is None where there is no pull, as in the controller.
        """

    def find(self, principal: Principal) -> CloudCredential:
        """Return credentials of a *principal* that `principal` returned.

        Raises `CredentialProviderError` when it cannot: a refused identity never becomes another one.
        """

    def files(self) -> tuple[str, ...]:
        """Return the paths of files whose content decides what `find` returns, whether or not they exist."""


class CloudServices(Protocol):
    """The cloud and this node's session cache, as sources use them; calls end at the deadline of the caller."""

    def metadata(self, *, allow_v1: bool) -> Imds:
        """Return the metadata service of this node."""

    def sts(self, named: str = "") -> StsApi:
        """Return STS: where the settings say, else at *named* (a base URL), else the nearest."""

    def session(self, key: str, fetch: Callable[[], CloudCredential]) -> CloudCredential:
        """Return the cached session *key*, or the result of *fetch*, which is cached then."""
