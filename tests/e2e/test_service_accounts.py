"""Pods' ServiceAccounts against the sandbox's STS, which checks tokens and trust policies for real."""

import pytest
from e2e.identity_requests import (
    SERVICE_ACCOUNT,
    WORKER,
    ask_as,
    assert_refused,
    change,
    forget_failures,
    image_of,
    principal_of,
    trusting_cluster,
)
from sandbox.faults import Echo, Failure, Html, Raw, Redirect, Throttle
from sandbox.pull import pull
from sandbox.server import PROVIDER_ARN
from support import guide


@pytest.fixture
def cluster(sandbox):
    return trusting_cluster(sandbox)


def test_a_pod_pulls_with_its_own_role(program, sandbox, cluster):
    change(program, sandbox, identity=SERVICE_ACCOUNT)
    ended = ask_as(program, sandbox, cluster.token("team-a", "app"))
    assert (ended.code, ended.stderr) == (0, b"")
    who = principal_of(sandbox, ended)
    assert (who.name, who.session_name) == ("pull-team-a", "acr-sa-team-a.app")
    assert pull(sandbox.image, *ended.login(sandbox.registry.address), ca_file=sandbox.ca_file)
    again = ask_as(program, sandbox, cluster.token("team-a", "app"))
    assert again.stdout == ended.stdout
    assert sandbox.calls.counts() == {"AssumeRoleWithOIDC": 1, "GetAuthorizationToken": 1} | {
        name: count for name, count in sandbox.calls.counts().items() if name.startswith("registry")
    }
    assert sandbox.sts_app.tokens_in_urls == 0


def test_a_pod_without_the_role_in_its_trust_policy_is_refused(program, sandbox, cluster):
    change(program, sandbox, identity={**SERVICE_ACCOUNT, "withoutRole": "nodeRole"})
    refused = ask_as(program, sandbox, cluster.token("team-b", "app"))
    assert_refused(refused, "AuthenticationFail.NoPermission", "system:serviceaccount:team-b:app", "trust policy")
    assert sandbox.calls.count("metadata.credentials") == 0
    assert sandbox.calls.count("GetAuthorizationToken") == 0


def test_the_settings_name_a_role_before_the_annotation_does(program, sandbox, cluster):
    rules = [{"serviceAccounts": ["team-*/app"], "roleName": "pull-team-a"}]
    change(program, sandbox, identity={**SERVICE_ACCOUNT, "roles": rules})
    ended = ask_as(program, sandbox, cluster.token("team-a", "app"), role="another")
    assert ended.code == 0
    assert principal_of(sandbox, ended).name == "pull-team-a"
    assert_refused(ask_as(program, sandbox, cluster.token("other", "app"), role=None), "has no RAM role")


@pytest.mark.parametrize("allowed", [(), ("withoutRole",), ("staticPods",), ("withoutRole", "staticPods")])
def test_who_has_no_role_gets_what_the_settings_say(program, sandbox, cluster, allowed):
    change(program, sandbox, identity={**SERVICE_ACCOUNT, **dict.fromkeys(allowed, "nodeRole")})
    static_pod = program.ask(image_of(sandbox))
    unannotated = ask_as(program, sandbox, cluster.token("team-a", "app"), role=None)
    if "staticPods" in allowed:
        assert principal_of(sandbox, static_pod).name == WORKER
    else:
        assert_refused(static_pod, "no ServiceAccount token", "staticPods: nodeRole")
    if "withoutRole" in allowed:
        assert principal_of(sandbox, unannotated).name == WORKER
    else:
        assert_refused(unannotated, "team-a/app has no RAM role", "withoutRole: nodeRole")
    if not allowed:
        assert sandbox.calls.counts() == {}


FAILURES = {
    "AuthenticationFail.OIDCToken.Expired": "clock",
    "AuthenticationFail.OIDCToken.AudienceNotMatch": "client IDs",
    "AuthenticationFail.OIDCToken.IssuerNotMatch": "OIDC provider of this cluster",
    "AuthenticationFail.OIDCToken.IssuerConfigurationBroken": ".well-known",
    "AuthenticationFail.NoPermission": "registered in RAM",
    "EntityNotExist.Role": "Create the role",
    "InvalidParameter.DurationSeconds": "maximum session duration",
}


@pytest.mark.parametrize("code", FAILURES)
def test_each_refusal_of_sts_has_its_remedy(frozen, sandbox, cluster, code):
    change(frozen, sandbox, identity=SERVICE_ACCOUNT)
    sandbox.faults.add("AssumeRoleWithOIDC", Failure(403, code, "no"))
    assert_refused(ask_as(frozen, sandbox, cluster.token("team-a", "app")), code, FAILURES[code])


def test_a_provider_that_is_not_registered_is_told(frozen, sandbox, cluster):
    sandbox.state.remove_oidc_provider(PROVIDER_ARN)
    change(frozen, sandbox, identity=SERVICE_ACCOUNT)
    assert_refused(ask_as(frozen, sandbox, cluster.token("team-a", "app")), "registered", PROVIDER_ARN)


def test_a_session_longer_than_the_role_allows_is_told(program, sandbox, cluster):
    change(program, sandbox, identity={**SERVICE_ACCOUNT, "sessionDuration": "3h"})
    refused = ask_as(program, sandbox, cluster.token("team-a", "app"))
    assert_refused(refused, "InvalidParameter.DurationSeconds", "10800 s", "sessionDuration")


def test_a_throttled_sts_is_left_alone_for_as_long_as_it_asked(frozen, sandbox, cluster):
    change(frozen, sandbox, identity=SERVICE_ACCOUNT)
    sandbox.faults.add("AssumeRoleWithOIDC", Throttle(retry_after_ms=60_000))
    first = ask_as(frozen, sandbox, cluster.token("team-a", "app"))
    assert_refused(first, "throttled")
    assert ask_as(frozen, sandbox, cluster.token("team-a", "app")).stderr == first.stderr
    assert sandbox.calls.counts() == {"AssumeRoleWithOIDC": 1}


def test_a_token_lives_as_long_as_the_session_that_asked(program, sandbox, cluster):
    change(program, sandbox, identity={**SERVICE_ACCOUNT, "sessionDuration": "1h30m"})
    ended = ask_as(program, sandbox, cluster.token("team-a", "app"))
    login = sandbox.state.find_login(*ended.login(sandbox.registry.address))
    assert 5390 < login.expires_at - sandbox.clock.now() <= 5400


def test_a_refused_session_is_not_used_again(program, sandbox, cluster):
    change(program, sandbox, identity=SERVICE_ACCOUNT)
    sandbox.faults.add("GetAuthorizationToken", Failure(400, "InvalidSecurityToken.Expired", "no"), times=1)
    assert_refused(ask_as(program, sandbox, cluster.token("team-a", "app")), "InvalidSecurityToken")
    forget_failures(program)
    assert ask_as(program, sandbox, cluster.token("team-a", "app")).code == 0
    assert sandbox.calls.count("AssumeRoleWithOIDC") == 2


@pytest.mark.parametrize(
    "fault",
    [
        Echo(),
        Html(page="<p>log in</p>"),
        Failure(403, "NoPermission", "no"),
        Raw(body="{}"),
        Redirect("https://127.0.0.9/"),
    ],
    ids=lambda fault: type(fault).__name__,
)
@pytest.mark.parametrize("call", ["AssumeRoleWithOIDC", "AssumeRole"])
def test_a_failing_sts_brings_no_token_and_no_key_to_light(frozen, sandbox, cluster, call, fault):
    change(
        frozen, sandbox, identity=SERVICE_ACCOUNT, assumeRole=[{"roleArn": f"acs:ram::{guide.ACCOUNT_B}:role/acr-pull"}]
    )
    token = cluster.token("team-a", "app")
    sandbox.faults.add(call, fault)
    ended = ask_as(frozen, sandbox, token)
    assert_refused(ended)
    keys = sandbox.state.all_keys()
    secrets = [*token.split("."), *(key.secret for key in keys), *(filter(None, (key.security_token for key in keys)))]
    traces = [ended.stderr, *(each.read_bytes() for each in frozen.cache.rglob("*.failed"))]
    assert not [secret for secret in secrets if any(secret.encode() in trace for trace in traces)]
