"""Cloud credentials, which sign requests to Alibaba Cloud (never registry logins)."""

from __future__ import annotations

from dataclasses import dataclass, field

from alibabacloud_credentials_api import ICredentials, ICredentialsProvider


@dataclass(frozen=True, slots=True)
class CloudCredential(ICredentials):  # type: ignore[misc]  # the official interface is untyped
    """An access key, with the security token of a session if it belongs to one.

    `expires_in` is in seconds from the moment it was fetched, by the cloud's own clock; ``None`` if it does not expire.

    >>> CloudCredential("LTAI-1", "secret", "token", expires_in=3600.0)
    CloudCredential(access_key_id='LTAI-1', expires_in=3600.0)
    """

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)
    expires_in: float | None = None

    def get_access_key_id(self) -> str:
        """Return the access key id."""
        return self.access_key_id

    def get_access_key_secret(self) -> str:
        """Return the access key secret."""
        return self.access_key_secret

    def get_security_token(self) -> str:
        """Return the session's security token, "" for a permanent access key."""
        return self.security_token

    def get_provider_name(self) -> str:
        """Return the official name of the credential type."""
        return "static_sts" if self.security_token else "static_ak"


@dataclass(frozen=True, slots=True)
class FixedCredential(ICredentialsProvider):  # type: ignore[misc]  # the official interface is untyped
    """The official provider interface over a credential that a source has found."""

    credential: CloudCredential

    def get_credentials(self) -> CloudCredential:
        """Return the credential."""
        return self.credential

    async def get_credentials_async(self) -> CloudCredential:
        """Return the credential without waiting."""
        return self.credential

    def get_provider_name(self) -> str:
        """Return the official name of the credential type."""
        return self.credential.get_provider_name()
