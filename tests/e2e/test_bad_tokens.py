"""Tokens and annotations that are not what they should be: refused with a remedy, and nothing of them is kept."""

import re

import pytest
from e2e.identity_requests import (
    ROLE,
    SERVICE_ACCOUNT,
    ask_as,
    assert_refused,
    change,
    forget_failures,
    image_of,
    trusting_cluster,
)
from support.harness import request


@pytest.fixture
def cluster(sandbox):
    return trusting_cluster(sandbox)


BAD_TOKENS = {
    "another audience": lambda cluster, other: cluster.token("team-a", "app", audience="https://kubernetes.default"),
    "no audience": lambda cluster, other: cluster.token("team-a", "app", aud=[]),
    "expired": lambda cluster, other: cluster.token("team-a", "app", life=-5),
    "not valid yet": lambda cluster, other: cluster.token("team-a", "app", nbf=4e9),
    "another cluster": lambda cluster, other: other.token("team-a", "app"),
    "unsigned": lambda cluster, other: cluster.token("team-a", "app").rpartition(".")[0] + ".",
    "signed by nobody": lambda cluster, other: cluster.sign({"alg": "none"}, {"sub": "x"}),
    "cut off in the claims": lambda cluster, other: cluster.token("team-a", "app")[:200],
    "two parts": lambda cluster, other: cluster.token("team-a", "app").rpartition(".")[0],
    "a newline inside": lambda cluster, other: cluster.token("team-a", "app").replace(".", ".\n"),
    "another subject than its account": lambda cluster, other: cluster.token(
        "team-a", "app", sub="system:serviceaccount:kube-system:admin"
    ),
    "a subject that is none": lambda cluster, other: cluster.token("team-a", "app", sub="admin"),
    "no text": lambda cluster, other: "....",
    "too long": lambda cluster, other: cluster.token("team-a", "app", padding="x" * 30_000),
}
REASONS = {
    "another audience": "is not for the audience sts.aliyuncs.com",
    "no audience": "is not for the audience sts.aliyuncs.com",
    "expired": "expired",
    "not valid yet": "is not valid yet",
    "another cluster": "was issued by another cluster",
}
"""What is told of a token; of the others, that they are none."""
FORGED_TOKENS = {
    "another key's": lambda cluster, other: replace_signature(cluster.token("team-a", "app"), other),
    "cut off in the signature": lambda cluster, other: cluster.token("team-a", "app")[:-20],
    "changed claims": lambda cluster, other: change_claims(cluster, cluster.token("team-b", "app")),
}


def replace_signature(token, other):
    head, claims, _ = token.split(".")
    return f"{head}.{claims}.{other.token('team-a', 'app').rpartition('.')[2]}"


def change_claims(cluster, token):
    head, _, signature = token.split(".")
    return f"{head}.{cluster.token('team-a', 'app').split('.')[1]}.{signature}"


@pytest.fixture
def other_cluster(sandbox):
    name = "cffffffffffffffffffffffffffffffff"
    url = f"https://oidc-ack-cn-hangzhou.oss-cn-hangzhou.aliyuncs.com/{name}"
    return sandbox.add_cluster(url, f"acs:ram::1234567890123456:oidc-provider/ack-rrsa-{name}")


def nothing_is_kept(program):
    left = [each for each in program.cache.rglob("*") if each.suffix in (".memo", ".failed")]
    store = program.cache / "store/cache.db"
    return not left and (not store.exists() or b"session/" not in store.read_bytes())


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_token_that_cannot_be_right_is_refused_before_any_call(frozen, sandbox, cluster, other_cluster, name):
    change(frozen, sandbox, identity={**SERVICE_ACCOUNT, "withoutRole": "nodeRole"})
    token = BAD_TOKENS[name](cluster, other_cluster)
    refused = ask_as(frozen, sandbox, token)
    assert_refused(refused)
    assert re.search(REASONS.get(name, "is not a (signed )?token of a Kubernetes"), refused.stderr.decode())
    assert sandbox.calls.counts() == {}
    assert nothing_is_kept(frozen)


@pytest.mark.parametrize("name", FORGED_TOKENS)
def test_a_forged_token_is_refused_by_sts_and_leaves_nothing(frozen, sandbox, cluster, other_cluster, name):
    change(frozen, sandbox, identity={**SERVICE_ACCOUNT, "withoutRole": "nodeRole"})
    token = FORGED_TOKENS[name](cluster, other_cluster)
    assert_refused(ask_as(frozen, sandbox, token), "AuthenticationFail.OIDCToken")
    assert sandbox.calls.counts() == {"AssumeRoleWithOIDC": 1}
    assert not list(frozen.cache.rglob("*.memo"))
    assert not any(token.encode() in each.read_bytes() for each in frozen.cache.rglob("*") if each.is_file())
    forget_failures(frozen)
    assert nothing_is_kept(frozen)


@pytest.mark.parametrize(
    "role",
    [
        "",
        " pull-team-a",
        "pull-team-a\n",
        "pull team",
        "acs:ram::9876543210987654:role/pull-team-a",
        "../role/admin",
        "pull-team-a&RoleArn=acs:ram::1:role/x",
        "x" * 65,
        "x" * 100_000,
        "röle",
    ],
    ids=lambda role: repr(role[:40]),
)
def test_an_annotation_that_is_no_role_name_is_refused_before_any_call(frozen, sandbox, cluster, role):
    change(frozen, sandbox, identity={**SERVICE_ACCOUNT, "withoutRole": "nodeRole"})
    assert_refused(ask_as(frozen, sandbox, cluster.token("team-a", "app"), role=role), "not the name of a RAM role")
    assert sandbox.calls.counts() == {}
    assert nothing_is_kept(frozen)


def test_no_other_annotation_and_no_other_field_changes_the_answer(frozen, sandbox, cluster):
    change(frozen, sandbox, identity=SERVICE_ACCOUNT)
    token = cluster.token("team-a", "app")
    plain = ask_as(frozen, sandbox, token)
    redirected = frozen.run(
        request(
            image_of(sandbox),
            serviceAccountToken=token,
            serviceAccountAnnotations={
                ROLE: "pull-team-a",
                "pod-identity.alibabacloud.com/sts-endpoint": "https://127.0.0.9",
                "pod-identity.alibabacloud.com/role-arn": "acs:ram::9876543210987654:role/x",
                "big": "x" * 100_000,
            },
            region="cn-beijing",
            stsEndpoint="https://127.0.0.9",
        )
    )
    assert redirected.stdout == plain.stdout
    assert sandbox.calls.count("AssumeRoleWithOIDC") == 1
