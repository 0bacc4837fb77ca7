"""STS, API version 2015-04-01: AssumeRole and AssumeRoleWithOIDC, from their documentation.

A token in a URL ends in logs of proxies and gateways: a call that has one there is refused,
and counted in `Sts.tokens_in_urls`, so that no client of ours passes by accident. Alibaba Cloud's
own SDKs send such calls, and the cloud answers them: `Sts.lenient`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import ram
from .calls import Subject
from .oidc import verified_claims
from .signature import AUTHORIZATION, verify_acs3, verify_rpc
from .state import Principal
from .wire import RefusedError, json_response, new_request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .faults import Drawn
    from .state import AccessKey, CloudState, Role
    from .wire import Request, Response

VERSION = "2015-04-01"
ROLE_ARN = re.compile(r"acs:ram::\d{1,32}:role/[A-Za-z0-9._-]{1,64}")
SESSION_NAME = re.compile(r"[A-Za-z0-9.@_-]{2,64}")
EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
SHORTEST, USUAL = 900, 3600
UNKNOWN = "sts.unknown"


@dataclass
class Sts:
    """The app behind sts[-vpc].<region>.aliyuncs.com and sts.aliyuncs.com.

    *lenient*: True if it answers as the cloud does what our own clients must never send: tokens in URLs, GET, and
    signatures by RPC 1.0.
    """

    state: CloudState
    name: str = "sts"
    operations: frozenset[str] = field(default=frozenset({UNKNOWN, "AssumeRole", "AssumeRoleWithOIDC"}))
    tokens_in_urls: int = 0
    lenient: bool = False

    def __post_init__(self) -> None:
        self._actions: dict[str, Callable[[Request, Drawn], dict[str, Any] | Response]] = {
            "AssumeRole": self._assume_role,
            "AssumeRoleWithOIDC": self._assume_role_with_oidc,
        }

    def subject(self, request: Request) -> Subject:
        action = _action(request)
        authorization = AUTHORIZATION.fullmatch(request.header("authorization"))
        operation = action if action in self.operations else UNKNOWN
        return Subject(operation, request.parameters.get("RoleArn", ""), authorization["key"] if authorization else "")

    def respond(self, request: Request, drawn: Drawn) -> Response:
        try:
            outcome = self._action(request)(request, drawn)
        except RefusedError as refused:
            return refused.response(request.header("host"))
        except ram.PolicyError as error:
            return RefusedError(500, "SandboxPolicy", f"a policy in the sandbox is wrong: {error}").response("")
        if isinstance(outcome, dict):
            return json_response(200, {"RequestId": new_request_id(), **outcome})
        return outcome

    def _action(self, request: Request) -> Callable[[Request, Drawn], dict[str, Any] | Response]:
        if dict(request.query).keys() & {"OIDCToken", "SecurityToken"}:
            self.tokens_in_urls += 1
            if not self.lenient:
                raise RefusedError(400, "InvalidParameter", "A token must not be in the URL.")
        action = self._actions.get(_action(request))
        version = request.header("x-acs-version") or request.parameters.get("Version")
        if action is None or version != VERSION:
            raise RefusedError(404, "InvalidAction.NotFound", "Specified api is not found.")
        if request.method not in (("GET", "POST") if self.lenient else ("POST",)):
            raise RefusedError(405, "UnsupportedHTTPMethod", "This http method is not supported.")
        return action

    def _assume_role(self, request: Request, drawn: Drawn) -> dict[str, Any] | Response:
        is_rpc = self.lenient and "Signature" in request.parameters
        key = verify_rpc(request, self.state) if is_rpc else verify_acs3(request, self.state)
        if drawn.answer is not None:
            return drawn.answer.response(request)
        asked = _Asked.read(request.parameters)
        caller = key.principal
        external_id = request.parameters.get("ExternalId")
        if external_id is not None and not EXTERNAL_ID.fullmatch(external_id):
            raise RefusedError(400, "InvalidParameter.ExternalId", "The parameter ExternalId is wrongly formed.")
        role = self._role(asked)
        context = {"sts:ExternalId": (external_id,)} if external_id is not None else {}
        trusted = ram.trusts(
            role.trust, ram.Caller(account=caller.account, arn=caller.arn, context=context), "sts:AssumeRole"
        )
        if not (trusted and caller.may("sts:AssumeRole", resource=role.arn)):
            raise RefusedError(
                403,
                "NoPermission",
                "You are not authorized to do this action. You should be authorized by RAM.",
            )
        return self._session(role, asked)

    def _assume_role_with_oidc(self, request: Request, drawn: Drawn) -> dict[str, Any] | Response:
        parameters = request.parameters
        if request.values("authorization"):
            raise RefusedError(400, "InvalidParameter", "This action is anonymous.")
        if drawn.answer is not None:
            return drawn.answer.response(request)
        asked = _Asked.read(parameters)
        token = parameters.get("OIDCToken", "")
        if not 4 <= len(token) <= 20000:
            raise RefusedError(400, "InvalidParameter.OIDCToken", "The parameter OIDCToken is wrongly formed.")
        provider = self.state.find_oidc_provider(parameters.get("OIDCProviderArn", ""))
        if provider is None:
            raise RefusedError(400, "AuthenticationFail.NoPermission", "No such OIDC Provider registered.")
        claims = verified_claims(token, provider.keys)
        if claims is None:
            # The documentation has no code of its own for a signature that is not the issuer's.
            raise RefusedError(400, "AuthenticationFail.OIDCToken.Invalid", "The OIDC token is invalid.")
        if claims.get("iss") != provider.issuer:
            raise RefusedError(400, "AuthenticationFail.OIDCToken.IssuerNotMatch", "The issuer does not match.")
        audiences = tuple(claims["aud"]) if isinstance(claims["aud"], list) else (claims["aud"],)
        if not set(audiences) & set(provider.client_ids):
            raise RefusedError(400, "AuthenticationFail.OIDCToken.AudienceNotMatch", "The audience does not match.")
        if not claims.get("nbf", 0) - 60 <= self.state.clock.now() < claims["exp"]:
            raise RefusedError(400, "AuthenticationFail.OIDCToken.Expired", "This OIDC token is expired.")
        role = self._role(asked)
        context = {"oidc:iss": (claims["iss"],), "oidc:aud": audiences, "oidc:sub": (claims["sub"],)}
        same_account = role.account == provider.arn.split(":")[3]
        if not (same_account and ram.trusts(role.trust, ram.Caller(federated=provider.arn, context=context))):
            raise RefusedError(403, "AuthenticationFail.NoPermission", "There is no permission.")
        return self._session(role, asked) | {
            "OIDCTokenInfo": {"Issuer": claims["iss"], "Subject": claims["sub"], "ClientIds": ",".join(audiences)}
        }

    def _role(self, asked: _Asked) -> Role:
        role = self.state.find_role(asked.role_arn)
        if role is None:
            raise RefusedError(404, "EntityNotExist.Role", "The specified Role not exists.")
        if asked.seconds > role.max_session_duration:
            raise RefusedError(
                400,
                "InvalidParameter.DurationSeconds",
                f"The Min/Max value of DurationSeconds is {SHORTEST}/{role.max_session_duration}.",
            )
        return role

    def _session(self, role: Role, asked: _Asked) -> dict[str, Any]:
        principal = Principal(
            role.name,
            kind="AssumedRoleUser",
            account=role.account,
            policies=role.policies,
            session_policy=asked.policy,
            session_name=asked.session_name,
        )
        key: AccessKey = self.state.open_session(principal, asked.seconds)
        return {
            "AssumedRoleUser": {
                "Arn": f"acs:ram::{role.account}:role/{role.name.lower()}/{asked.session_name}",
                "AssumedRoleId": f"3{role.account}:{asked.session_name}",
            },
            "Credentials": {
                "AccessKeyId": key.id,
                "AccessKeySecret": key.secret,
                "SecurityToken": key.security_token,
                "Expiration": self.state.clock.iso(key.expires_at or 0.0),
            },
        }


@dataclass(frozen=True)
class _Asked:
    """What both actions ask for, judged by its form."""

    role_arn: str
    session_name: str
    seconds: int
    policy: dict[str, Any] | None

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> _Asked:
        role_arn, name = parameters.get("RoleArn", ""), parameters.get("RoleSessionName", "")
        if not ROLE_ARN.fullmatch(role_arn):
            raise RefusedError(400, "InvalidParameter.RoleArn", "The parameter RoleArn is wrongly formed.")
        if not SESSION_NAME.fullmatch(name):
            raise RefusedError(
                400, "InvalidParameter.RoleSessionName", "The parameter RoleSessionName is wrongly formed."
            )
        seconds = parameters.get("DurationSeconds", str(USUAL))
        if not (seconds.isascii() and seconds.isdigit() and int(seconds) >= SHORTEST):
            raise RefusedError(
                400, "InvalidParameter.DurationSeconds", "The Min/Max value of DurationSeconds is 15min/12hr."
            )
        policy = parameters.get("Policy")
        if policy is not None and len(policy) > ram.LARGEST:
            raise RefusedError(400, "InvalidParameter.PolicySize", "The size of Policy is too large.")
        try:
            return cls(role_arn, name, int(seconds), ram.parse(policy) if policy is not None else None)
        except ram.PolicyError:
            raise RefusedError(
                400, "InvalidParameter.PolicyGrammar", "The parameter Policy has not passed grammar check."
            ) from None


def _action(request: Request) -> str:
    return request.header("x-acs-action") or request.parameters.get("Action", "")
