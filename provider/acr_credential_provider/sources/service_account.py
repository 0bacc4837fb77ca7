"""The pod's own ServiceAccount: the kubelet's token of it (KEP-4412) becomes a session of a RAM role."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol

from acr_credential_provider.cloud.sts import WantedRole
from acr_credential_provider.fastpath.lookup import ROLE_ANNOTATION
from acr_credential_provider.model.errors import IdentityUnavailableError, TokenRefusedError

from .oidc_token import AUDIENCE, OidcToken
from .principal import Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from acr_credential_provider.model.cloud_credential import CloudCredential
    from acr_credential_provider.model.protocol import CredentialProviderRequest

    from .interface import CloudServices, CredentialSource

_ROLE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class RoleRule(Protocol):
    """Which ServiceAccounts (``NAMESPACE/NAME``, ``*`` for any part) the settings give which role."""

    @property
    def service_accounts(self) -> Sequence[str]:
        """The patterns."""

    @property
    def role_name(self) -> str:
        """The role's name."""


@dataclass(frozen=True, slots=True)
class ServiceAccountSource:
    """A session of the role that belongs to the pod's ServiceAccount, in *provider_arn*'s account.

    The first of *rules* that fits names the role, else the ServiceAccount's annotation does.
    Nothing else of a request has a say: no annotation can name an account, a host or a
    provider. Who has no role gets *without_role*'s credentials, or is refused when that is None; so
    it is with *static_pods* where there is no token. The two are apart, for a request without a token
    may be any pod's, one that was refused as itself included, if another provider of the kubelet asks.
    """

    cloud: CloudServices
    provider_arn: str
    rules: Sequence[RoleRule] = ()
    without_role: CredentialSource | None = None
    static_pods: CredentialSource | None = None
    audience: str = AUDIENCE
    issuer: str | None = None
    seconds: int = 3600
    clock: Callable[[], float] = time.time

    def principal(self, request: CredentialProviderRequest | None) -> Principal | None:
        """Return the ServiceAccount, or raise `TokenRefusedError` or `IdentityUnavailableError`."""
        if request is None:
            return None
        token, role = self._judged(request)
        if token is None or role is None:
            return self._instead(token).principal(request)
        return self._who(token, role)

    def find(self, request: CredentialProviderRequest | None) -> CloudCredential | None:
        """Return the session, or raise what kept it from being had; None without a request."""
        if request is None:
            return None
        token, role = self._judged(request)
        if token is None or role is None:
            return self._instead(token).find(request)
        who = self._who(token, role)
        wanted = WantedRole(role, who.session, self.seconds)
        return self.cloud.keep(
            who.key,
            lambda: self.cloud.sts().assume_role_with_oidc(
                wanted, provider_arn=self.provider_arn, token=token.text, subject=token.subject
            ),
        )

    def role_of(self, request: CredentialProviderRequest) -> str | None:
        """Return the ARN of the role that *request*'s ServiceAccount has, if it has one; errors as `who`."""
        return self._judged(request)[1]

    def files(self) -> tuple[str, ...]:
        """Return nothing: the request brings the token."""
        return ()

    def _who(self, token: OidcToken, role: str) -> Principal:
        return Principal.service_account(
            token.namespace,
            token.name,
            "serviceAccount",
            token.uid,
            token.issuer,
            role,
            self.provider_arn,
            self.seconds,
        )

    def _judged(self, request: CredentialProviderRequest) -> tuple[OidcToken | None, str | None]:
        """Return the token, if there is one, and the role's ARN, if there is one; raise when one is wrong."""
        if not request.service_account_token:
            return None, None
        token = OidcToken.parse(request.service_account_token)
        token.check(audience=self.audience, issuer=self.issuer, provider_arn=self.provider_arn, now=self.clock())
        name = self._role_name(token, request.annotations)
        return token, None if name is None else f"{self.provider_arn.partition(':oidc-provider/')[0]}:role/{name}"

    def _role_name(self, token: OidcToken, annotations: dict[str, str]) -> str | None:
        account = f"{token.namespace}/{token.name}"
        for rule in self.rules:
            if any(fnmatchcase(account, pattern) for pattern in rule.service_accounts):
                return rule.role_name
        name = annotations.get(ROLE_ANNOTATION)
        if name is not None and not _ROLE_NAME.fullmatch(name):
            raise TokenRefusedError(
                f"the annotation {ROLE_ANNOTATION} of ServiceAccount {account} is not the name of a RAM role",
                remedy="Write the bare name of a role of the cluster's own account there, no ARN; for a role of "
                "another account use assumeRole in the settings.",
            )
        return name

    def _instead(self, token: OidcToken | None) -> CredentialSource:
        if token is None:
            if self.static_pods is not None:
                return self.static_pods
            raise IdentityUnavailableError(
                "the kubelet sent no ServiceAccount token, and the settings give nothing to those without one",
                remedy="Give the provider tokenAttributes in the kubelet's CredentialProviderConfig (Kubernetes 1.34 "
                "or newer). If another provider there has them for these hosts, this is of no account. For static pods "
                "alone: staticPods: nodeRole in the settings.",
            )
        if self.without_role is not None:
            return self.without_role
        raise IdentityUnavailableError(
            f"ServiceAccount {token.namespace}/{token.name} has no RAM role to pull with",
            remedy=f"Annotate it with {ROLE_ANNOTATION} and list that key in the kubelet's tokenAttributes, or name "
            "its role in the settings (roles), or allow withoutRole: nodeRole there.",
        )
