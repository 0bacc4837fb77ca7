"""The cases that every SDK runs: what is asked of the sandbox, and what the SDK must make of the answer.

A case is a function of a `Cloud`. Its name is in docs/tested-with-sdks.md as it stands here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sandbox.faults import Failure, Throttle

from .cloud import failed, refused, result

if TYPE_CHECKING:
    from collections.abc import Callable

    from .cloud import Cloud

ODD = "a b+c*d~e/é'(!)&=%"
"""Characters that encoders of URLs treat in ways of their own, and that a signature must survive."""


@dataclass(frozen=True)
class Case:
    subject: str
    name: str
    run: Callable[[Cloud], None]


CASES: list[Case] = []


def case(subject: str, name: str) -> Callable[[Callable[[Cloud], None]], Callable[[Cloud], None]]:
    def added(run: Callable[[Cloud], None]) -> Callable[[Cloud], None]:
        CASES.append(Case(subject, name, run))
        return run

    return added


SIGNATURE = "Signature"


@case(SIGNATURE, "an access key's is accepted")
def _(cloud: Cloud) -> None:
    cloud.granted(cloud.token(cloud.key()))


@case(SIGNATURE, "a session's is accepted, with its security token")
def _(cloud: Cloud) -> None:
    cloud.granted(cloud.token(cloud.session()))


@case(SIGNATURE, "it survives characters that encoders treat in their own ways")
def _(cloud: Cloud) -> None:
    body = result(cloud.endpoints(cloud.key(), ModuleName=ODD))
    assert body["IsSuccess"]
    assert not body.get("Endpoints")


@case(SIGNATURE, "a wrong secret is SignatureDoesNotMatch")
def _(cloud: Cloud) -> None:
    wrong = replace(cloud.key(), secret="not-the-secret")
    refused(cloud.token(wrong), 400, "SignatureDoesNotMatch", "Specified signature does not match our calculation.")


@case(SIGNATURE, "an unknown key is InvalidAccessKeyId.NotFound")
def _(cloud: Cloud) -> None:
    unknown = replace(cloud.key(), id="LTAI5tUnknown")
    refused(cloud.token(unknown), 404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")


@case(SIGNATURE, "another session's token is InvalidSecurityToken.Malformed")
def _(cloud: Cloud) -> None:
    mixed = replace(cloud.session(), security_token=cloud.session().security_token)
    refused(cloud.token(mixed), 400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")


@case(SIGNATURE, "an ended session is InvalidSecurityToken.Expired")
def _(cloud: Cloud) -> None:
    refused(cloud.token(cloud.session(life=-1.0)), 400, "InvalidSecurityToken.Expired")


@case(SIGNATURE, "a clock that is an hour off is InvalidTimeStamp.Expired")
def _(cloud: Cloud) -> None:
    cloud.sandbox.clock.skew = 3600.0
    refused(cloud.token(cloud.key()), 400, "InvalidTimeStamp.Expired")


ENTERPRISE = "Enterprise Edition"


@case(ENTERPRISE, "ListInstanceEndpoint lists entrances with their domains")
def _(cloud: Cloud) -> None:
    body = result(cloud.endpoints(cloud.key()))
    seen = {each["EndpointType"]: [domain["Domain"] for domain in each["Domains"]] for each in body["Endpoints"]}
    assert seen == {each.kind: [domain for domain, _ in each.domains] for each in cloud.sandbox.instance.endpoints}


@case(ENTERPRISE, "an unknown instance is INSTANCE_NOT_EXIST in an answer of HTTP 200")
def _(cloud: Cloud) -> None:
    body = result(cloud.token(cloud.key(), "cri-unknown"))
    assert (body["IsSuccess"], body["Code"]) == (False, "INSTANCE_NOT_EXIST")


@case(ENTERPRISE, "no instance is MissingInstanceId")
def _(cloud: Cloud) -> None:
    refused(cloud.token(cloud.key(), ""), 400, "MissingInstanceId", "InstanceId is mandatory for this action.")


@case(ENTERPRISE, "a missing permission is NoPermission, with its AccessDeniedDetail")
def _(cloud: Cloud) -> None:
    poor = cloud.key("poor", actions=frozenset())
    error = refused(cloud.token(poor), 403, "NoPermission", "You are not authorized to do this action.")
    assert error["denied"]["AuthAction"] == "cr:GetAuthorizationToken"
    assert error["denied"]["AuthPrincipalDisplayName"] == "poor"


@case(ENTERPRISE, "too many calls are Throttling.User")
def _(cloud: Cloud) -> None:
    cloud.sandbox.faults.add("GetAuthorizationToken", Throttle(retry_after_ms=1500))
    refused(cloud.token(cloud.key()), 400, "Throttling.User", "Request was denied due to user flow control.")


@case(ENTERPRISE, "the cloud's own failure is ServiceUnavailable")
def _(cloud: Cloud) -> None:
    cloud.sandbox.faults.add("GetAuthorizationToken", Failure())
    refused(cloud.token(cloud.key()), 503, "ServiceUnavailable")


PERSONAL = "Personal Edition"


@case(PERSONAL, "GetAuthorizationToken grants a login")
def _(cloud: Cloud) -> None:
    cloud.granted_personal(cloud.personal_token(cloud.key()))


@case(PERSONAL, "a session gets one too")
def _(cloud: Cloud) -> None:
    cloud.granted_personal(cloud.personal_token(cloud.session()))


@case(PERSONAL, "a missing permission is USER_NOT_AUTHORIZED")
def _(cloud: Cloud) -> None:
    refused(cloud.personal_token(cloud.key(actions=frozenset())), 403, "USER_NOT_AUTHORIZED")


@case(PERSONAL, "a wrong secret is SignatureDoesNotMatch")
def _(cloud: Cloud) -> None:
    wrong = replace(cloud.key(), secret="not-the-secret")
    refused(cloud.personal_token(wrong), 400, "SignatureDoesNotMatch")


STS = "STS"


@case(STS, "AssumeRole opens a session, which gets a login")
def _(cloud: Cloud) -> None:
    role = cloud.role_of_account()
    cloud.granted(cloud.token(cloud.opened(cloud.assume_role(cloud.user(), role.arn), role)))


@case(STS, "AssumeRole takes a session of another role")
def _(cloud: Cloud) -> None:
    role, first = cloud.role_of_account(), cloud.state.open_session(cloud.user().principal, 3600.0)
    cloud.opened(cloud.assume_role(first, role.arn), role)


@case(STS, "AssumeRole carries an external ID, a policy and a duration")
def _(cloud: Cloud) -> None:
    role = cloud.role_of_account({"StringEquals": {"sts:ExternalId": ["a+b=c@d/e"]}})
    policy = '{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "cr:PullRepository", "Resource": "*"}]}'
    answer = cloud.assume_role(cloud.user(), role.arn, ExternalId="a+b=c@d/e", Policy=policy, DurationSeconds=900)
    session = cloud.opened(answer, role)
    assert (session.expires_at or 0.0) - cloud.sandbox.clock.now() <= 900
    refused(cloud.token(session), 403, "NoPermission")
    refused(cloud.assume_role(cloud.user(), role.arn, ExternalId="another"), 403, "NoPermission")


@case(STS, "AssumeRole: a wrong secret is SignatureDoesNotMatch")
def _(cloud: Cloud) -> None:
    wrong = replace(cloud.user(), secret="not-the-secret")
    refused(cloud.assume_role(wrong, cloud.role_of_account().arn), 400, "SignatureDoesNotMatch")


@case(STS, "AssumeRole: a role that does not trust is NoPermission")
def _(cloud: Cloud) -> None:
    role = cloud.role("sdk-closed", {"RAM": ["acs:ram::9999999999999999:root"]})
    answer = cloud.assume_role(cloud.user(), role.arn)
    refused(answer, 403, "NoPermission", "You are not authorized to do this action. You should be authorized by RAM.")


@case(STS, "AssumeRole: an unknown role is EntityNotExist.Role")
def _(cloud: Cloud) -> None:
    answer = cloud.assume_role(cloud.user(), "acs:ram::1234567890123456:role/unknown")
    refused(answer, 404, "EntityNotExist.Role", "The specified Role not exists.")


@case(STS, "AssumeRole: too many calls are Throttling.User, and when to come back")
def _(cloud: Cloud) -> None:
    cloud.sandbox.faults.add("AssumeRole", Throttle(retry_after_ms=1500))
    error = refused(cloud.assume_role(cloud.user(), cloud.role_of_account().arn), 400, "Throttling.User")
    assert error.get("retry_after") == (1500 if cloud.sdk.reads_retry_after else None)


@case(STS, "AssumeRoleWithOIDC opens a session, which gets a login")
def _(cloud: Cloud) -> None:
    role = cloud.role_of_cluster()
    answer = cloud.assume_role_with_oidc(role.arn, cloud.issuer.token("team", "app"))
    assert result(answer)["OIDCTokenInfo"]["Subject"] == "system:serviceaccount:team:app"
    cloud.granted(cloud.token(cloud.opened(answer, role)))


@case(STS, "AssumeRoleWithOIDC: an ended token is AuthenticationFail.OIDCToken.Expired")
def _(cloud: Cloud) -> None:
    answer = cloud.assume_role_with_oidc(cloud.role_of_cluster().arn, cloud.issuer.token("team", "app", life=-60.0))
    refused(answer, 400, "AuthenticationFail.OIDCToken.Expired", "This OIDC token is expired.")


@case(STS, "AssumeRoleWithOIDC: another audience is AuthenticationFail.OIDCToken.AudienceNotMatch")
def _(cloud: Cloud) -> None:
    token = cloud.issuer.token("team", "app", audience="https://elsewhere.example")
    answer = cloud.assume_role_with_oidc(cloud.role_of_cluster().arn, token)
    refused(answer, 400, "AuthenticationFail.OIDCToken.AudienceNotMatch", "The audience does not match.")


LIBRARY = "Credentials library"


@case(LIBRARY, "ram_role_arn assumes a role, whose session gets a login")
def _(cloud: Cloud) -> None:
    role = cloud.role_of_account({"StringEquals": {"sts:ExternalId": ["a+b=c@d/e"]}})
    credential = cloud.role_arn(cloud.user(), role.arn, external_id="a+b=c@d/e")
    cloud.found(result(cloud.credential(credential)), role.name)
    cloud.granted(cloud.token(credential))


@case(LIBRARY, "ram_role_arn begins with a session")
def _(cloud: Cloud) -> None:
    role, first = cloud.role_of_account(), cloud.state.open_session(cloud.user().principal, 3600.0)
    cloud.found(result(cloud.credential(cloud.role_arn(first, role.arn))), role.name)


@case(LIBRARY, "ram_role_arn: a role that does not trust is NoPermission")
def _(cloud: Cloud) -> None:
    role = cloud.role("sdk-closed", {"RAM": ["acs:ram::9999999999999999:root"]})
    failed(cloud.credential(cloud.role_arn(cloud.user(), role.arn)), "NoPermission", "You should be authorized by RAM.")


@case(LIBRARY, "ram_role_arn: a wrong secret is said to be that")
def _(cloud: Cloud) -> None:
    wrong = replace(cloud.user(), secret="not-the-secret")
    failed(cloud.credential(cloud.role_arn(wrong, cloud.role_of_account().arn)), cloud.sdk.wrong_secret)


@case(LIBRARY, "oidc_role_arn (RRSA) assumes a role, whose session gets a login")
def _(cloud: Cloud) -> None:
    role = cloud.role_of_cluster()
    credential = cloud.oidc_role_arn(role.arn, cloud.token_file())
    cloud.found(result(cloud.credential(credential)), role.name)
    cloud.granted(cloud.token(credential))


@case(LIBRARY, "oidc_role_arn (RRSA): another issuer is AuthenticationFail.OIDCToken.IssuerNotMatch")
def _(cloud: Cloud) -> None:
    file = cloud.token_file(iss="https://elsewhere.example")
    answer = cloud.credential(cloud.oidc_role_arn(cloud.role_of_cluster().arn, file))
    failed(answer, "AuthenticationFail.OIDCToken.IssuerNotMatch", "The issuer does not match.")


@case(LIBRARY, "ecs_ram_role finds the role by metadata v1, where there is no v2")
def _(cloud: Cloud) -> None:
    cloud.sandbox.node.tokens_offered = False
    role = cloud.sandbox.node.role
    assert role is not None
    cloud.found(result(cloud.credential({"type": "ecs_ram_role"})), role.name)
    assert cloud.sandbox.calls.count("metadata.role") == 1


@case(LIBRARY, "ecs_ram_role finds the role by metadata v2, where v1 is off")
def _(cloud: Cloud) -> None:
    cloud.sandbox.node.hardened = True
    role = cloud.sandbox.node.role
    assert role is not None
    credential = {"type": "ecs_ram_role", "disable_imds_v1": True}
    cloud.found(result(cloud.credential(credential)), role.name)
    cloud.granted(cloud.token({**credential, "role_name": role.name}))


@case(LIBRARY, "ecs_ram_role finds v2 by itself, where v1 is off")
def _(cloud: Cloud) -> None:
    cloud.sandbox.node.hardened = True
    cloud.granted(cloud.token({"type": "ecs_ram_role"}))
    assert cloud.sandbox.calls.count("metadata.token") >= 1


@case(LIBRARY, "ecs_ram_role that wants v2 fails where there is none")
def _(cloud: Cloud) -> None:
    cloud.sandbox.node.tokens_offered = False
    failed(cloud.credential({"type": "ecs_ram_role", "disable_imds_v1": True}))
    assert cloud.sandbox.calls.count("metadata.credentials") == 0


@case(LIBRARY, "ecs_ram_role fails on a node without a role")
def _(cloud: Cloud) -> None:
    cloud.sandbox.node.role = None
    failed(cloud.credential({"type": "ecs_ram_role"}), cloud.sdk.no_role)
