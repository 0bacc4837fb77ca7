"""A profile of Alibaba Cloud's command line, for people at a shell; read by the official package.

Profiles come in a dozen modes, logins by browser among them, and change with that command
line; so this one source lets the official package do its own calls. No node or controller
uses it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.cloud.sdk_guard import sdk_import
from acr_credential_provider.model.cloud_credential import CloudCredential
from acr_credential_provider.model.errors import IdentityUnavailableError

from .principal import Principal

if TYPE_CHECKING:
    from acr_credential_provider.model.protocol import CredentialProviderRequest


@dataclass(frozen=True, slots=True)
class ProfileSource:
    """The profile *name* ("" is the current one) of the configuration at *path*."""

    path: str
    name: str = ""

    def principal(self, request: CredentialProviderRequest | None) -> Principal | None:  # noqa: ARG002  # the same for all
        """Return the owner of the profile."""
        return Principal.node("profile", self.path, self.name)

    def find(self, request: CredentialProviderRequest | None) -> CloudCredential | None:  # noqa: ARG002  # the same for all
        """Return the profile's credentials, or raise `IdentityUnavailableError`."""
        found = self._found()
        if found is None:
            raise IdentityUnavailableError(
                f"the profile {self.name or '(current)'} of {self.path} gives no credentials",
                remedy="Try it with the command line itself: aliyun sts GetCallerIdentity"
                + (f" --profile {self.name}." if self.name else "."),
            )
        return found

    def files(self) -> tuple[str, ...]:
        """Return the configuration's path."""
        return (self.path,)

    def _found(self) -> CloudCredential | None:
        if not os.path.exists(self.path):
            return None
        try:
            with sdk_import():
                from alibabacloud_credentials.provider import CLIProfileCredentialsProvider  # noqa: PLC0415 - costly

                provider = CLIProfileCredentialsProvider(profile_name=self.name or None, profile_file=self.path)
                found = provider.get_credentials()
            parts = (found.get_access_key_id(), found.get_access_key_secret(), found.get_security_token() or "")
        except Exception:  # noqa: BLE001  # their texts quote URLs, and those hold tokens
            return None
        return CloudCredential(*parts) if all(isinstance(part, str) for part in parts) and parts[0] else None
