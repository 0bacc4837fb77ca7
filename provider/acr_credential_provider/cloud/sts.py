"""STS: sessions of RAM roles, got with a key (AssumeRole) or with a cluster's token (AssumeRoleWithOIDC).

A valid OIDC token is as good as a password, so it is sent in the body: the official packages put it into the URL,
which proxies log.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acr_credential_provider.model.acr_hosts import check_region
from acr_credential_provider.model.errors import RoleRefusedError
from acr_credential_provider.model.remedy import NONE, Remedy

from .responses import REPORT, RefusalRules, parse, parse_session, server_time
from .retry import call_with_retry
from .signing import ApiCall, anonymous, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from acr_credential_provider.model.cloud_credential import CloudCredential

    from .transport import HttpRequest, Transport

VERSION = "2015-04-01"
_LONGEST_SESSION = 13 * 3600.0
_GLOBAL = "https://sts.aliyuncs.com"
_SERVED_BY = {"cn-hangzhou-finance": "cn-hangzhou"}
"""Regions that are served by the STS of another one."""


def sts_endpoints(region: str, *, vpc_first: bool) -> tuple[str, ...]:
    """Return the base URLs of STS for a caller in *region* ("" if unknown), in the order in which to try them.

    Any STS gives sessions of any account's roles, so the nearest comes first; the global one comes last, for the few
    regions that have none of their own.

    >>> sts_endpoints("cn-hangzhou", vpc_first=True)[:2]
    ('https://sts-vpc.cn-hangzhou.aliyuncs.com', 'https://sts.cn-hangzhou.aliyuncs.com')
    >>> sts_endpoints("", vpc_first=True)
    ('https://sts.aliyuncs.com',)
    """
    if not region:
        return (_GLOBAL,)
    check_region(region)
    served = _SERVED_BY.get(region, region)
    public = (f"https://sts.{served}.aliyuncs.com", _GLOBAL)
    return (f"https://sts-vpc.{served}.aliyuncs.com", *public) if vpc_first else public


@dataclass(frozen=True, slots=True)
class WantedRole:
    """The role of a session; *seconds* is the session's life, *policy* (JSON) narrows its rights.

    RAM's audit logs show *session_name*: 2 to 64 of ``[A-Za-z0-9.@_-]``.
    """

    arn: str
    session_name: str
    seconds: int = 3600
    policy: str = ""
    external_id: str = field(default="", repr=False)


class StsApi:
    """STS at *endpoints* (base URLs in the order in which to try them).

    All calls raise `RoleRefusedError` if STS refuses, `ThrottledError` if STS asks for a later call, and
    `CloudUnreachableError` if no usable answer came within the transport's deadline.
    """

    def __init__(
        self, transport: Transport, *, endpoints: Sequence[str], clock: Callable[[], float] = time.time
    ) -> None:
        self._transport = transport
        self.endpoints = tuple(endpoints)
        self._clock = clock

    def assume_role(self, role: WantedRole, *, caller: CloudCredential) -> CloudCredential:
        """Return a session of *role* for *caller*."""
        query = _parameters(role)
        if role.policy:
            query["Policy"] = role.policy
        if role.external_id:
            query["ExternalId"] = role.external_id
        call = ApiCall("AssumeRole", VERSION)
        service = RefusalRules(RoleRefusedError, "STS", lambda code: _key_remedy(code, role))
        return self._session(
            role, call, lambda endpoint, now: sign(endpoint, call, query, caller, now=now), service=service
        )

    def assume_role_with_oidc(
        self, role: WantedRole, *, provider_arn: str, token: str, subject: str = ""
    ) -> CloudCredential:
        """Return a session of *role* for the OIDC *token*; *subject* is the token's ServiceAccount, for errors."""
        query = _parameters(role) | {"OIDCProviderArn": provider_arn}
        form = {"OIDCToken": token} | ({"Policy": role.policy} if role.policy else {})
        call = ApiCall("AssumeRoleWithOIDC", VERSION)
        service = RefusalRules(RoleRefusedError, "STS", lambda code: _oidc_remedy(code, role, provider_arn, subject))
        return self._session(
            role, call, lambda endpoint, now: anonymous(endpoint, call, query, form=form, now=now), service=service
        )

    def _session(
        self, role: WantedRole, call: ApiCall, request: Callable[[str, float], HttpRequest], *, service: RefusalRules
    ) -> CloudCredential:
        name = f"{call.action} of {role.arn}"

        def attempt(endpoint: str) -> CloudCredential | None:
            now = self._clock()
            response = self._transport.send(request(endpoint, now))
            session = parse(response, call=name, now=now, service=service).get("Credentials")
            date = server_time(response)
            return parse_session(session, now=now if date is None else date, longest=_LONGEST_SESSION)

        credential = call_with_retry(self.endpoints, attempt, time_left=self._transport.time_left)
        if credential is None:
            raise RoleRefusedError(f"the answer to {name} holds no valid session", remedy=REPORT)
        return credential


def _parameters(role: WantedRole) -> dict[str, str]:
    return {"RoleArn": role.arn, "RoleSessionName": role.session_name, "DurationSeconds": str(role.seconds)}


def _key_remedy(code: str, role: WantedRole) -> Remedy:
    """Return the remedy for a refusal of AssumeRole with *code*."""
    if code.lower().startswith(("nopermission", "forbidden")):
        return Remedy(
            "RoleRefused",
            f"Two things are needed: a RAM policy with sts:AssumeRole on {role.arn} for the calling identity, and "
            f"that identity (or its account) as a principal in the trust policy of {role.arn}"
            + (", whose condition on sts:ExternalId must equal externalId." if role.external_id else "."),
        )
    return _common_remedy(code, role)


def _oidc_remedy(code: str, role: WantedRole, provider_arn: str, subject: str) -> Remedy:
    """Return the remedy for a refusal of AssumeRoleWithOIDC with *code*."""
    account = account_of(provider_arn)
    if code.lower() == "authenticationfail.nopermission" and account_of(role.arn) != account:
        return Remedy(
            "RoleRefused",
            f"Use a role of account {account}: a cluster's tokens are good only for roles of the account of "
            f"{provider_arn}. That role may then assume {role.arn} (assumeRole).",
        )
    remedies = {
        "authenticationfail.oidctoken.expired": Remedy(
            "ClockWrong", "Correct this node's clock (chrony or ntp): the kubelet renews tokens in time."
        ),
        "authenticationfail.oidctoken.audiencenotmatch": Remedy(
            "AudienceMismatch",
            f"Add the token's audience to the client IDs of {provider_arn}, or ask for its audience "
            "(serviceAccountTokenAudience in the kubelet's CredentialProviderConfig).",
        ),
        "authenticationfail.oidctoken.issuernotmatch": Remedy(
            "IssuerMismatch",
            f"Name the OIDC provider of this cluster: {provider_arn} has another issuer than the token.",
        ),
        "authenticationfail.oidctoken.issuerconfigurationbroken": Remedy(
            "OidcProviderRefused",
            f"Check that the issuer URL of {provider_arn} serves /.well-known/openid-configuration to the Internet.",
        ),
        "authenticationfail.nopermission": Remedy(
            "RoleRefused",
            f"Check that {provider_arn} is registered in RAM (if not, switch RRSA on in the cluster's security "
            f"settings), and let the trust policy of {role.arn} allow it: as the principal Federated, with conditions "
            f"on oidc:iss, oidc:aud (sts.aliyuncs.com) and oidc:sub that fit {subject or 'the ServiceAccount'}.",
        ),
    }
    return remedies.get(code.lower()) or _common_remedy(code, role)


def account_of(arn: str) -> str:
    """Return the account in *arn*.

    >>> account_of("acs:ram::1234567890123456:role/acr-pull")
    '1234567890123456'
    """
    return arn.split(":")[3] if arn.count(":") > 3 else ""


def _common_remedy(code: str, role: WantedRole) -> Remedy:
    start = code.lower()
    known = (
        (
            "entitynotexist.role",
            Remedy("RoleRefused", f"Create the role {role.arn}, or correct its name and account in the settings."),
        ),
        (
            "invalidparameter.durationseconds",
            Remedy(
                "SessionTooLong",
                f"Raise the maximum session duration of {role.arn} to {role.seconds} s, or lower sessionDuration.",
            ),
        ),
        (
            "invalidsecuritytoken",
            Remedy("SessionRefused", "The calling session is expired or incomplete: try again, or renew its source."),
        ),
    )
    return next((remedy for beginning, remedy in known if start.startswith(beginning)), NONE)
