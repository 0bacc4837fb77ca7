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
        key = repr((base.key, self.arn, self.seconds, self.policy, self.external_id))
        return Principal(key, base.session, base=base)

    def find(self, principal: Principal) -> CloudCredential:
        """Return the session, or raise the refusal of *base* or STS."""
        # A key that was replaced in its file may have been another's: nothing of the old one is used.
        key = "\n".join((principal.key, *(file_fingerprint(path) for path in self.files())))
        wanted = WantedRole(self.arn, principal.session, self.seconds, self.policy, self.external_id)
        caller = principal.base or principal
        return self.cloud.session(key, lambda: self.cloud.sts().assume_role(wanted, caller=self.base.find(caller)))

    def files(self) -> tuple[str, ...]:
        """Return the paths of *base*."""
        return self.base.files()
