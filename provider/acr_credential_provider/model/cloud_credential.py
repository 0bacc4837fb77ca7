"""Cloud credentials: what a request to Alibaba Cloud is signed with (never a registry login)."""

from __future__ import annotations

from dataclasses import dataclass, field

from alibabacloud_credentials_api import ICredentials, ICredentialsProvider


@dataclass(frozen=True, slots=True)
class CloudCredential(ICredentials):  # type: ignore[misc]  # the official interface is untyped
    """An access key, and the security token that goes with it when it is a session's.

    `expires_in` is in seconds from the moment it was fetched, by the cloud's own clock;
    ``None`` when it does not expire.

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
        """Return the secret that signs."""
        return self.access_key_secret

    def get_security_token(self) -> str:
        """Return the session's token, "" for a permanent access key."""
        return self.security_token

    def get_provider_name(self) -> str:
        """Return the official name for where such credentials come from."""
        return "static_sts" if self.security_token else "static_ak"


@dataclass(frozen=True, slots=True)
class FixedCredential(ICredentialsProvider):  # type: ignore[misc]  # the official interface is untyped
    """The official provider interface over credentials that a source has already found."""

    credential: CloudCredential

    def get_credentials(self) -> CloudCredential:
        """Return the credentials."""
        return self.credential

    async def get_credentials_async(self) -> CloudCredential:
        """Return the credentials; there is nothing to wait for."""
        return self.credential

    def get_provider_name(self) -> str:
        """Return the official name for where the credentials come from."""
        return self.credential.get_provider_name()
