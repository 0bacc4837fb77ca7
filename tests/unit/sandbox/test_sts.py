"""The sandbox's STS and RAM: asked by a client that shares nothing with ours."""

import json
import time
import uuid
from urllib.parse import urlencode

import pytest
from sandbox import ram
from sandbox.faults import Throttle
from sandbox.oidc import verified_claims
from sandbox.server import ISSUER, PROVIDER_ARN
from sandbox.state import Principal, Role

ROLE = "acs:ram::1234567890123456:role/Pull"
PULL = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "cr:*", "Resource": "*"}]}


def trust(**conditions):
    return {
        "Version": "1",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Federated": [PROVIDER_ARN]},
                "Condition": conditions or {"StringEquals": {"oidc:sub": "system:serviceaccount:team:app"}},
            }
        ],
    }


@pytest.fixture
def cluster(sandbox):
    sandbox.state.add_role(Role("Pull", trust(), policies=(PULL,), max_session_duration=7200))
    return sandbox.add_cluster()


@pytest.fixture
def with_oidc(sandbox, send):
    def ask(token, *, in_url=False, **changes):
        query = {
            "Action": "AssumeRoleWithOIDC",
            "Version": "2015-04-01",
            "Format": "JSON",
            "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "SignatureNonce": uuid.uuid4().hex,
            "RoleArn": ROLE,
            "OIDCProviderArn": PROVIDER_ARN,
            "RoleSessionName": "me",
            **changes,
        }
        form = {"OIDCToken": token}
        if in_url:
            query, form = query | form, {}
        return send(
            f"{sandbox.sts.url}/?{urlencode(query)}",
            method="POST",
            headers={"content-type": "application/x-www-form-urlencoded"},
            body=urlencode(form),
            tls=sandbox.client_context(),
        )

    return ask


def code(answer):
    return answer.status, answer.document.get("Code")


def test_a_token_becomes_a_session_that_the_openapi_knows(sandbox, api, cluster, with_oidc):
    answer = with_oidc(cluster.token("team", "app"), DurationSeconds="900")
    assert answer.status == 200
    document = answer.document
    assert document["AssumedRoleUser"]["Arn"] == f"{ROLE.lower()}/me"
    key = sandbox.state.find_key(document["Credentials"]["AccessKeyId"])
    assert key.expires_at == pytest.approx(time.time() + 900, abs=2)
    assert api.call(key=key).document["IsSuccess"] is True


@pytest.mark.parametrize(
    ("token", "changes", "refusal"),
    [
        (lambda c: c.token("team", "app", audience="x"), {}, (400, "AuthenticationFail.OIDCToken.AudienceNotMatch")),
        (lambda c: c.token("team", "app", life=-1), {}, (400, "AuthenticationFail.OIDCToken.Expired")),
        (lambda c: c.token("team", "app", iss="https://x"), {}, (400, "AuthenticationFail.OIDCToken.IssuerNotMatch")),
        (lambda c: c.token("team", "app")[:-3], {}, (400, "AuthenticationFail.OIDCToken.Invalid")),
        (lambda c: c.token("team", "other"), {}, (403, "AuthenticationFail.NoPermission")),
        (
            lambda c: c.token("team", "app"),
            {"OIDCProviderArn": "acs:ram::1:x"},
            (400, "AuthenticationFail.NoPermission"),
        ),
        (lambda c: c.token("team", "app"), {"RoleArn": ROLE + "x"}, (404, "EntityNotExist.Role")),
        (lambda c: c.token("team", "app"), {"RoleArn": "x"}, (400, "InvalidParameter.RoleArn")),
        (lambda c: c.token("team", "app"), {"RoleSessionName": "x"}, (400, "InvalidParameter.RoleSessionName")),
        (lambda c: c.token("team", "app"), {"RoleSessionName": "x y"}, (400, "InvalidParameter.RoleSessionName")),
        (lambda c: c.token("team", "app"), {"DurationSeconds": "899"}, (400, "InvalidParameter.DurationSeconds")),
        (lambda c: c.token("team", "app"), {"DurationSeconds": "7201"}, (400, "InvalidParameter.DurationSeconds")),
        (lambda c: c.token("team", "app"), {"Policy": "{}"}, (400, "InvalidParameter.PolicyGrammar")),
        (lambda c: c.token("team", "app"), {"Policy": " " * 2049}, (400, "InvalidParameter.PolicySize")),
        (lambda c: "", {}, (400, "InvalidParameter.OIDCToken")),
        (lambda c: c.token("team", "app"), {"Version": "2014-05-26"}, (404, "InvalidAction.NotFound")),
    ],
    ids=range(16),
)
def test_what_is_wrong_is_refused_as_documented(cluster, with_oidc, token, changes, refusal):
    assert code(with_oidc(token(cluster), **changes)) == refusal


def test_a_token_in_the_url_is_refused_and_counted(sandbox, cluster, with_oidc):
    assert code(with_oidc(cluster.token("team", "app"), in_url=True)) == (400, "InvalidParameter")
    assert sandbox.sts_app.tokens_in_urls == 1


def test_a_throttled_call_says_so(sandbox, cluster, with_oidc):
    sandbox.faults.add("AssumeRoleWithOIDC", Throttle(), times=1)
    assert code(with_oidc(cluster.token("team", "app"))) == (400, "Throttling.User")
    assert with_oidc(cluster.token("team", "app")).status == 200


def test_only_the_issuers_own_signature_counts(sandbox, cluster):
    other = sandbox.add_cluster("https://other", "acs:ram::1:oidc-provider/other")
    token = cluster.token("team", "app")
    assert verified_claims(token, cluster.keys)["iss"] == ISSUER
    assert verified_claims(token, other.keys) is None
    head, claims, _ = token.split(".")
    for forged in (f"{head}.{claims}.", f"{head}.{claims}", f"{head}.{claims}.AAAA", "..", token + "A", token[1:]):
        assert verified_claims(forged, cluster.keys) is None
    none = cluster.sign({"alg": "none", "kid": cluster.key_id}, {})
    assert verified_claims(none, cluster.keys) is None


OF_A = "acs:ram::1234567890123456:user/asker"


@pytest.mark.parametrize(
    ("principal", "may", "condition", "external_id", "is_let_in"),
    [
        ("acs:ram::1234567890123456:root", True, {}, None, True),
        (OF_A, True, {}, None, True),
        (OF_A, False, {}, None, False),
        ("acs:ram::1234567890123456:user/another", True, {}, None, False),
        ("acs:ram::1:root", True, {}, None, False),
        (OF_A, True, {"StringEquals": {"sts:ExternalId": "x1"}}, "x1", True),
        (OF_A, True, {"StringEquals": {"sts:ExternalId": "x1"}}, "x2", False),
        (OF_A, True, {"StringEquals": {"sts:ExternalId": "x1"}}, None, False),
    ],
)
def test_both_sides_must_allow_a_role_to_be_assumed(  # noqa: PLR0917
    sandbox, api, principal, may, condition, external_id, is_let_in
):
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"RAM": [principal]},
        "Condition": condition,
    }
    role = sandbox.state.add_role(Role("b", {"Version": "1", "Statement": [statement]}, account="9999"))
    own = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role.arn}]}
    key = sandbox.state.add_key(Principal("asker", policies=(own,) if may else (PULL,)))
    parameters = {"RoleArn": role.arn, "RoleSessionName": "me"} | ({"ExternalId": external_id} if external_id else {})
    answer = api.call("AssumeRole", key, service="sts", **parameters)
    assert code(answer) == ((200, None) if is_let_in else (403, "NoPermission"))


def test_a_session_policy_only_narrows(sandbox, api, cluster, with_oidc):
    def may(policy):
        answer = with_oidc(cluster.token("team", "app"), Policy=json.dumps(policy))
        key = sandbox.state.find_key(answer.document["Credentials"]["AccessKeyId"])
        return api.call(key=key).status == 200, key.principal.may("sts:AssumeRole")

    def only(action):
        return {"Version": "1", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}

    assert may(only("cr:GetAuthorizationToken")) == (True, False)
    assert may(only("cr:ListInstanceEndpoint")) == (False, False)
    assert may(only("*")) == (True, False)


def policy(*statements):
    return {"Version": "1", "Statement": [{"Resource": "*", **statement} for statement in statements]}


@pytest.mark.parametrize(
    ("statements", "is_allowed"),
    [
        ([{"Effect": "Allow", "Action": "cr:Get*"}], True),
        ([{"Effect": "Allow", "Action": ["ecs:*", "cr:GetX"]}], True),
        ([{"Effect": "Allow", "Action": "cr:GetY"}], False),
        ([{"Effect": "Allow", "Action": "*"}, {"Effect": "Deny", "Action": "cr:GetX"}], False),
        ([{"Effect": "Allow", "Action": "*", "Resource": "acs:cr:*:1:instance/a"}], True),
        ([{"Effect": "Allow", "Action": "*", "Resource": "acs:cr:*:1:instance/b"}], False),
        ([{"Effect": "Allow", "Action": "*", "Resource": "acs:cr:*:1:instance/[a]"}], False),
    ],
)
def test_policies_are_judged_as_ram_does(statements, is_allowed):
    assert ram.allows([policy(*statements)], "cr:GetX", "acs:cr:cn-x:1:instance/a") is is_allowed


@pytest.mark.parametrize(
    ("condition", "is_trusted"),
    [
        ({"StringLike": {"oidc:sub": "system:serviceaccount:team:*"}}, True),
        ({"StringLike": {"oidc:sub": "system:serviceaccount:tea:*"}}, False),
        ({"StringEquals": {"oidc:sub": "system:serviceaccount:team:*"}}, False),
        ({"StringEquals": {"oidc:aud": ["x", "sts"], "oidc:iss": "i"}}, True),
        ({"StringEquals": {"oidc:aud": "sts", "oidc:iss": "j"}}, False),
        ({"StringNotEquals": {"oidc:sub": "system:serviceaccount:team:app"}}, False),
        ({"StringNotLike": {"oidc:sub": "*:other"}}, True),
        ({"StringEquals": {"oidc:absent": "x"}}, False),
    ],
)
def test_trust_conditions_are_judged_as_ram_does(condition, is_trusted):
    context = {"oidc:sub": ("system:serviceaccount:team:app",), "oidc:aud": ("sts",), "oidc:iss": ("i",)}
    caller = ram.Caller(federated=PROVIDER_ARN, context=context)
    assert ram.trusts(trust(**condition), caller) is is_trusted
    assert not ram.trusts(trust(**condition), ram.Caller(federated="another", context=context))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"Version": "2", "Statement": [{}]},
        {"Version": "1", "Statement": {}},
        {"Version": "1", "Statement": [{"Effect": "Maybe", "Action": "x"}]},
        {"Version": "1", "Statement": [{"Effect": "Allow", "NotAction": "x"}]},
        {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "x", "Resource": "*", "Condition": {"Bool": {}}}]},
        {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "x"}]},
    ],
    ids=range(7),
)
def test_what_the_sandbox_cannot_judge_it_does_not_judge(document):
    with pytest.raises(ram.PolicyError):
        ram.allows([document], "x", "*")
