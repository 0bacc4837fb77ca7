"""A RAM role that another identity assumes: one hop of a chain, to another account or to fewer rights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.cloud.sts import WantedRole
from acr_credential_provider.memo import stamp

from .who import Who

if TYPE_CHECKING:
    from acr_credential_provider.cloud.credential import CloudCredential
    from acr_credential_provider.protocol import CredentialProviderRequest

    from .interface import Cloud, CredentialSource


@dataclass(frozen=True, slots=True)
class AssumedRoleSource:
    """A session of the role *arn* for *seconds*, narrowed by *policy* (JSON, "" for none), asked for by *base*."""

    cloud: Cloud
    base: CredentialSource
    arn: str
    seconds: int = 3600
    policy: str = ""
    external_id: str = ""

    def who(self, request: CredentialProviderRequest | None) -> Who | None:
        """Return the identity that *base* is, in this role."""
        base = self.base.who(request)
        if base is None:
            return None
        return Who(repr((base.key, self.arn, self.seconds, self.policy, self.external_id)), base.session)

    def find(self, request: CredentialProviderRequest | None) -> CloudCredential | None:
        """Return the session, or raise what *base* or STS had against it."""
        who = self.who(request)
        if who is None:
            return None
        # A key that was replaced in its file may have been another's: nothing of the old one is used.
        key = "\n".join((who.key, *(stamp(path) for path in self.files())))
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
