"""A RAM role that another identity assumes: one hop of a chain, to another account or to fewer rights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.cloud.sts import WantedRole
from acr_credential_provider.fastpath.response_cache import file_fingerprint

from .principal import Principal

if TYPE_CHECKING:
    from acr_credential_provider.model.cloud_credential import CloudCredential
    from acr_credential_provider.model.protocol import CredentialProviderRequest

    from .interface import CloudServices, CredentialSource


@dataclass(frozen=True, slots=True)
class AssumedRoleSource:
    """A session of the role *arn* for *seconds*, narrowed by *policy* (JSON, "" for none), asked for by *base*."""

    cloud: CloudServices
    base: CredentialSource
    arn: str
    seconds: int = 3600
    policy: str = ""
    external_id: str = ""

    def principal(self, request: CredentialProviderRequest | None) -> Principal | None:
        """Return the identity that *base* is, in this role."""
        base = self.base.principal(request)
        if base is None:
            return None
        return Principal(repr((base.key, self.arn, self.seconds, self.policy, self.external_id)), base.session)

    def find(self, request: CredentialProviderRequest | None) -> CloudCredential | None:
        """Return the session, or raise what *base* or STS had against it."""
        who = self.principal(request)
        if who is None:
            return None
        # A key that was replaced in its file may have been another's: nothing of the old one is used.
        key = "\n".join((who.key, *(file_fingerprint(path) for path in self.files())))
        wanted = WantedRole(self.arn, who.session, self.seconds, self.policy, self.external_id)

        def fetch() -> CloudCredential:
            caller = self.base.find(request)
            if caller is None:
                raise AssertionError  # `who` said that it applies
            return self.cloud.sts().assume_role(wanted, caller=caller)

        return self.cloud.keep(key, fetch)

    def files(self) -> tuple[str, ...]:
        """Return the paths of *base*."""
        return self.base.files()
