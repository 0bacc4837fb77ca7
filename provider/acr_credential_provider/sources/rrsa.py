"""RRSA: a projected ServiceAccount token in a file becomes a session of a RAM role."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acr_credential_provider.cloud.sts import WantedRole
from acr_credential_provider.model.errors import (
    ConfigurationError,
    IdentityUnavailableError,
    ServiceAccountTokenRefusedError,
)
from acr_credential_provider.model.remedy import Remedy

from .oidc_token import AUDIENCE, LARGEST, OidcToken
from .principal import Principal
from .secret_file import NOT_WRITTEN_BY_OTHERS, read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from acr_credential_provider.model.cloud_credential import CloudCredential
    from acr_credential_provider.model.protocol import CredentialProviderRequest

    from .interface import CloudServices

USUAL_FILE = "/var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token"
"""Where ack-pod-identity-webhook mounts it."""

_ROLE = re.compile(r"acs:ram::\d{1,32}:role/[A-Za-z0-9._-]{1,64}", re.ASCII)
_PROVIDER = re.compile(r"acs:ram::\d{1,32}:oidc-provider/[A-Za-z0-9._-]{1,128}", re.ASCII)
_ENDPOINT = re.compile(r"(?:https://)?[A-Za-z0-9.-]+(?::\d{1,5})?", re.ASCII)
_SWITCH_ON = Remedy(
    "RrsaNotSetUp",
    "Switch RRSA on in the cluster (security settings), install ack-pod-identity-webhook, and label the namespace "
    "pod-identity.alibabacloud.com/injection=on; or set roleArn, oidcProviderArn and tokenFile in the settings.",
)


@dataclass(frozen=True, slots=True)
class RrsaSource:
    """A session of one role for the ServiceAccount whose token a file holds.

    Fields that the settings leave out come from the environment, set by ack-pod-identity-webhook. The file is
    read for each `Principal`: it is renewed every hour, and may appear only after we started.
    """

    cloud: CloudServices
    role_arn: str = ""
    provider_arn: str = ""
    token_file: str = ""
    audience: str = AUDIENCE
    issuer: str | None = None
    seconds: int = 3600
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    clock: Callable[[], float] = time.time

    def principal(self, request: CredentialProviderRequest | None) -> Principal:  # noqa: ARG002  # the same for all
        """Return the ServiceAccount of the file, or raise `IdentityUnavailableError`."""
        token, role = self._token(), self._role()
        return Principal.service_account(token, role, "rrsa", token.issuer, role, self._provider(), self.seconds)

    def find(self, principal: Principal) -> CloudCredential:
        """Return the session, or raise why there is none."""
        token = principal.proof()
        wanted = WantedRole(principal.role, principal.session, self.seconds)
        return self.cloud.session(
            principal.key,
            lambda: self.cloud.sts(self._endpoint()).assume_role_with_oidc(
                wanted, provider_arn=self._provider(), token=token.text, subject=token.subject
            ),
        )

    def files(self) -> tuple[str, ...]:
        """Return nothing: the file's content changes every hour, but its identity does not."""
        return ()

    def _role(self) -> str:
        return self._named(self.role_arn, "ALIBABA_CLOUD_ROLE_ARN", _ROLE)

    def _provider(self) -> str:
        return self._named(self.provider_arn, "ALIBABA_CLOUD_OIDC_PROVIDER_ARN", _PROVIDER)

    def _named(self, value: str, variable: str, form: re.Pattern[str]) -> str:
        value = value or self.environ.get(variable, "")
        if not value:
            raise IdentityUnavailableError(
                f"RRSA is not set up here: neither the settings nor {variable} say which one to use", remedy=_SWITCH_ON
            )
        if not form.fullmatch(value):
            raise ConfigurationError(
                f"{variable} does not have the form of an ARN",
                remedy=Remedy("RrsaNotSetUp", "Set it as the webhook does, or use the settings."),
            )
        return value

    def _endpoint(self) -> str:
        """Return STS's base URL as the webhook's environment has it, "" without."""
        named = self.environ.get("ALIBABA_CLOUD_STS_ENDPOINT", "")
        if not named:
            return ""
        if not _ENDPOINT.fullmatch(named):
            raise ConfigurationError(
                "ALIBABA_CLOUD_STS_ENDPOINT is not a host name",
                remedy=Remedy(
                    "RrsaNotSetUp", "Set it to a host such as sts-vpc.cn-hangzhou.aliyuncs.com, or remove it."
                ),
            )
        return "https://" + named.removeprefix("https://")

    def _token(self) -> OidcToken:
        path = self.token_file or self.environ.get("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "") or USUAL_FILE
        if not os.path.exists(path):
            raise IdentityUnavailableError(f"RRSA is not set up here: there is no token at {path}", remedy=_SWITCH_ON)
        content = read_secret(
            path, what="a ServiceAccount token", largest=LARGEST, forbidden_mode_bits=NOT_WRITTEN_BY_OTHERS
        )
        try:
            token = OidcToken.parse(content.decode("ascii", "replace"))
            token.check(audience=self.audience, issuer=self.issuer, provider_arn=self._provider(), now=self.clock())
        except ServiceAccountTokenRefusedError as refused:
            outcome = IdentityUnavailableError(f"{path}: {refused.problem}", remedy=refused.remedy)
        else:
            return token
        raise outcome
