"""The pod's own ServiceAccount: the kubelet's token of it (KEP-4412) becomes a session of a RAM role."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from acr_credential_provider.cloud.sts import WantedRole
from acr_credential_provider.fastpath.lookup import ROLE_ANNOTATION
from acr_credential_provider.model.errors import IdentityUnavailableError, ServiceAccountTokenRefusedError
from acr_credential_provider.model.remedy import Remedy

from .oidc_token import AUDIENCE, OidcToken
from .principal import Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from acr_credential_provider.model.cloud_credential import CloudCredential
    from acr_credential_provider.model.protocol import CredentialProviderRequest
    from acr_credential_provider.settings.runtime import RoleRule

    from .interface import CloudServices, CredentialSource

_ROLE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ServiceAccountSource:
    """A session of the role that belongs to the pod's ServiceAccount, in *provider_arn*'s account.

    The first of *rules* that fits names the role, else the ServiceAccount's annotation does.
    Nothing else in a request counts: no annotation can name an account, a host or a
    provider. A ServiceAccount without a role gets *node*'s credentials if *without_role* is set, and is
    refused otherwise; *static_pods* is the same for requests without a token. The two are apart, because a
    request without a token may be any pod's, a refused one's too, if another provider of the kubelet asks.
    """

    cloud: CloudServices
    provider_arn: str
    rules: Sequence[RoleRule] = ()
    node: CredentialSource | None = None
    without_role: bool = False
    static_pods: bool = False
    audience: str = AUDIENCE
    issuer: str | None = None
    seconds: int = 3600
    clock: Callable[[], float] = time.time

    def principal(self, request: CredentialProviderRequest | None) -> Principal | None:
        """Return the ServiceAccount, or the node in its place; None without a request.

        Raises `ServiceAccountTokenRefusedError` or `IdentityUnavailableError`.
        """
        if request is None:
            return None
        token, role = self._token_and_role(request)
        if token is None or role is None:
            return self._substitute(token).principal(request)
        key = ("serviceAccount", token.uid, token.issuer, role, self.provider_arn, self.seconds)
        return Principal.service_account(token, role, *key)

    def find(self, principal: Principal) -> CloudCredential:
        """Return the session, or raise why there is none."""
        if principal.token is None and self.node is not None:
            return self.node.find(principal)
        token = principal.proof()
        wanted = WantedRole(principal.role, principal.session, self.seconds)
        return self.cloud.session(
            principal.key,
            lambda: self.cloud.sts().assume_role_with_oidc(
                wanted, provider_arn=self.provider_arn, token=token.text, subject=token.subject
            ),
        )

    def files(self) -> tuple[str, ...]:
        """Return nothing: the request brings the token."""
        return ()

    def _token_and_role(self, request: CredentialProviderRequest) -> tuple[OidcToken | None, str | None]:
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
            raise ServiceAccountTokenRefusedError(
                f"the annotation {ROLE_ANNOTATION} of ServiceAccount {account} is not the name of a RAM role",
                remedy=Remedy(
                    "RoleInvalid",
                    "Write the bare name of a role of the cluster's own account there, no ARN; for a role of "
                    "another account use assumeRole in the settings.",
                ),
            )
        return name

    def _substitute(self, token: OidcToken | None) -> CredentialSource:
        """Return the node's source where the settings allow it; raise `IdentityUnavailableError` elsewhere."""
        if self.node is not None and (self.static_pods if token is None else self.without_role):
            return self.node
        if token is None:
            raise IdentityUnavailableError(
                "the kubelet sent no ServiceAccount token, and the settings give nothing to those without one",
                remedy=Remedy(
                    "TokenAttributesMissing",
                    "Give the provider tokenAttributes in the kubelet's CredentialProviderConfig (Kubernetes 1.34 "
                    "or newer). If another provider there has them for these hosts, this is of no account. For static "
                    "pods alone: staticPods: nodeRole in the settings.",
                ),
            )
        raise IdentityUnavailableError(
            f"ServiceAccount {token.namespace}/{token.name} has no RAM role to pull with",
            remedy=Remedy(
                "ServiceAccountHasNoRole",
                f"Annotate it with {ROLE_ANNOTATION} and list that key in the kubelet's tokenAttributes, or name "
                "its role in the settings (roles), or allow withoutRole: nodeRole there.",
            ),
        )
