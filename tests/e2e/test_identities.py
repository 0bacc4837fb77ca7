"""Every identity against the sandbox's STS and RAM, which check signatures, tokens and policies for real."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import guide
import pytest
import yaml
from harness import HERE_ONLY, request
from sandbox.faults import Echo, Failure, Html, Raw, Redirect, Throttle
from sandbox.pull import PullError, pull
from sandbox.server import PROVIDER_ARN
from sandbox.state import Instance, Principal, Role

ROLE = "pod-identity.alibabacloud.com/role-name"
WORKER = "KubernetesWorkerRole-sandbox"


def image_of(sandbox):
    return sandbox.image.partition(":latest")[0]


@pytest.fixture
def cluster(sandbox):
    """A cluster with RRSA; team-a/app may have the role pull-team-a."""
    policies = guide.policies()
    sandbox.state.add_role(
        Role("pull-team-a", policies["trust-service-account"], policies=(policies["pull"],), max_session_duration=7200)
    )
    return sandbox.add_cluster()


def change(program, sandbox, **registry):
    settings = sandbox.settings()
    settings["registries"][0] |= registry
    program.settings.write_text(json.dumps(settings))
    return settings


def ask_as(program, sandbox, token, role="pull-team-a", **more):
    annotations = {} if role is None else {ROLE: role}
    raw = request(image_of(sandbox), serviceAccountToken=token, serviceAccountAnnotations=annotations)
    return program.run(raw, **more)


def principal_of(sandbox, ended):
    """Return who the answer's login belongs to."""
    return sandbox.state.find_login(*ended.login(sandbox.registry.address)).principal


def assert_refused(ended, *words):
    assert (ended.code, ended.stdout) == (1, b"")
    told = ended.stderr.decode()
    for word in words:
        assert word in told
    assert [line.partition(": ")[0] for line in told.splitlines()] == ["error", "remedy"]


SERVICE_ACCOUNT = {"kind": "serviceAccount", "oidcProviderArn": PROVIDER_ARN}


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


FAILURES = {
    "AuthenticationFail.OIDCToken.Expired": "clock",
    "AuthenticationFail.OIDCToken.AudienceNotMatch": "client IDs",
    "AuthenticationFail.OIDCToken.IssuerNotMatch": "this very cluster",
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


# Other accounts.
@pytest.fixture
def account_b(sandbox):
    """An instance of account B with a registry of its own, and B's role that account A may assume."""

    def make(asking, **role):
        policies = guide.policies(ROLE_OF_A=asking.lower())
        pulling = guide.policies(INSTANCE_ID="cri-ofaccountb")["pull"]
        instance = replace(Instance.usual("cri-ofaccountb", name="bee"), account=guide.ACCOUNT_B)
        host = sandbox.add_registry(instance, "127.0.0.2")
        trust = guide.without_condition(policies["trust-role"])
        role = {"policies": (pulling,), "max_session_duration": 43200, **role}
        sandbox.state.add_role(Role("acr-pull", trust, account=guide.ACCOUNT_B, **role))
        return host

    return make


ROLE_B = f"acs:ram::{guide.ACCOUNT_B}:role/acr-pull"


def of_b(host, sandbox, **more):
    return {
        "instanceId": "cri-ofaccountb",
        "region": "cn-hangzhou",
        "domains": [host],
        "endpoints": {"acr": sandbox.openapi.url},
        **more,
    }


def write(program, sandbox, *registries):
    settings = {**sandbox.settings(), "registries": list(registries)}
    program.settings.write_text(json.dumps(settings))


def pulled(sandbox, ended, host):
    assert (ended.code, ended.stderr) == (0, b"")
    assert pull(f"{host}/team/app", *ended.login(host), ca_file=sandbox.ca_file)
    return sandbox.state.find_login(*ended.login(host)).principal


def test_the_worker_role_pulls_from_account_b(program, sandbox, account_b):
    host = account_b(WORKER)
    sandbox.node.role = replace(sandbox.node.role, policies=(guide.policies()["assume"],))
    hop = {"roleArn": ROLE_B, "sessionDuration": "12h"}
    write(program, sandbox, of_b(host, sandbox, identity={"kind": "nodeRole"}, assumeRole=[hop]))
    ended = program.ask(f"{host}/team/app")
    who = pulled(sandbox, ended, host)
    assert (who.name, who.account) == ("acr-pull", guide.ACCOUNT_B)
    assert who.session_name.startswith("acr-node-")
    life = sandbox.state.find_login(*ended.login(host)).expires_at - sandbox.clock.now()
    assert life > 11.9 * 3600, "the token lives as long as the chain's session"


def test_rrsa_of_account_a_pulls_from_account_b(program, sandbox, account_b, tmp_path):
    host = account_b("rrsa-a")
    policies = guide.policies()
    subject = "kube-system/aliyun-acr-credential-helper"
    trust = guide.with_subjects(policies["trust-service-account"], subject)
    sandbox.state.add_role(Role("rrsa-a", trust, policies=(policies["assume"],)))
    token = tmp_path / "token"
    identity = {
        "kind": "rrsa",
        "roleArn": f"acs:ram::{PROVIDER_ARN.split(':')[3]}:role/rrsa-a",
        "oidcProviderArn": PROVIDER_ARN,
        "tokenFile": str(token),
    }
    write(program, sandbox, of_b(host, sandbox, identity=identity, assumeRole=[{"roleArn": ROLE_B}]))
    before = program.ask(f"{host}/team/app")
    assert_refused(before, "RRSA is not set up here", "Switch RRSA on")
    issuer = sandbox.add_cluster()
    token.write_text(issuer.token(*subject.split("/")) + "\n")
    forget_failures(program)
    who = pulled(sandbox, program.ask(f"{host}/team/app"), host)
    assert (who.name, who.account) == ("acr-pull", guide.ACCOUNT_B)
    assert who.session_name == "acr-sa-kube-system.aliyun-acr-credential-helper"


def forget_failures(program):
    for each in program.cache.rglob("*.failed"):
        each.unlink()


def test_the_webhooks_environment_is_enough_for_rrsa(program, sandbox, tmp_path, monkeypatch):
    policies = guide.policies()
    subject = "kube-system/aliyun-acr-credential-helper"
    trust = guide.with_subjects(policies["trust-service-account"], subject)
    sandbox.state.add_role(Role("rrsa-a", trust, policies=(policies["pull"],)))
    token = tmp_path / "token"
    token.write_text(sandbox.add_cluster().token(*subject.split("/")) + "\n")
    settings = change(program, sandbox, identity={"kind": "rrsa"})
    del settings["endpoints"]["sts"]
    program.settings.write_text(json.dumps(settings))
    monkeypatch.setenv("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1234567890123456:role/rrsa-a")
    monkeypatch.setenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", PROVIDER_ARN)
    monkeypatch.setenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE", str(token))
    monkeypatch.setenv("ALIBABA_CLOUD_STS_ENDPOINT", sandbox.sts.address)
    ended = program.ask(image_of(sandbox))
    assert principal_of(sandbox, ended).name == "rrsa-a"
    monkeypatch.setenv("ALIBABA_CLOUD_STS_ENDPOINT", "sts.example.com/?x=")
    program.run(b"", "cache", "clear", "--cache", str(program.cache))
    assert_refused(program.ask(image_of(sandbox)), "ALIBABA_CLOUD_STS_ENDPOINT")


def test_a_service_account_pulls_from_account_b_through_its_own_role(program, sandbox, account_b, cluster):
    host = account_b("pull-team-a")
    policies = guide.policies()
    sandbox.state.add_role(Role("pull-team-a", policies["trust-service-account"], policies=(policies["assume"],)))
    write(program, sandbox, of_b(host, sandbox, identity=SERVICE_ACCOUNT, assumeRole=[{"roleArn": ROLE_B}]))
    raw = request(
        f"{host}/team/app",
        serviceAccountToken=cluster.token("team-a", "app"),
        serviceAccountAnnotations={ROLE: "pull-team-a"},
    )
    who = pulled(sandbox, program.run(raw), host)
    assert (who.name, who.account, who.session_name) == ("acr-pull", guide.ACCOUNT_B, "acr-sa-team-a.app")


def test_the_access_key_of_bs_user_pulls_from_account_b(program, sandbox, account_b):
    host = account_b(WORKER)
    key = sandbox.state.add_key(Principal("puller", account=guide.ACCOUNT_B))
    sandbox.key_id_file.write_text(key.id)
    sandbox.key_secret_file.write_text(key.secret)
    identity = sandbox.settings()["registries"][0]["identity"]
    write(program, sandbox, of_b(host, sandbox, identity=identity))
    assert pulled(sandbox, program.ask(f"{host}/team/app"), host).name == "puller"


def test_one_list_may_mix_accounts_regions_and_identities(program, sandbox, account_b, cluster):
    host_b = account_b(WORKER)
    sandbox.node.role = replace(sandbox.node.role, policies=(guide.policies()["assume"],))
    beijing = Instance.usual("cri-beijing", name="north", region="cn-beijing")
    host_north = sandbox.add_registry(beijing, "127.0.0.3")
    own = {**sandbox.settings()["registries"][0], "identity": SERVICE_ACCOUNT}
    north = {
        **sandbox.settings()["registries"][0],
        "instanceId": "cri-beijing",
        "region": "cn-beijing",
        "domains": [host_north],
        "endpoints": {"acr": sandbox.acr("cn-beijing")},
    }
    of_account_b = of_b(host_b, sandbox, identity={"kind": "nodeRole"}, assumeRole=[{"roleArn": ROLE_B}])
    write(program, sandbox, own, north, of_account_b)
    assert ask_as(program, sandbox, cluster.token("team-a", "app")).code == 0
    assert pulled(sandbox, program.ask(f"{host_north}/team/app"), host_north).name == "sandbox-user"
    assert pulled(sandbox, program.ask(f"{host_b}/team/app"), host_b).name == "acr-pull"


def test_several_hops_are_taken_in_turn_and_their_sessions_are_shared(program, sandbox, account_b):
    host = account_b("middle")
    policies = guide.policies(ROLE_OF_A=WORKER.lower())
    sandbox.state.add_role(
        Role("middle", guide.without_condition(policies["trust-role"]), policies=(policies["assume"],))
    )
    may_ask = {
        "Version": "1",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "acs:ram::*:role/middle"}],
    }
    sandbox.node.role = replace(sandbox.node.role, policies=(may_ask,))
    hops = [{"roleArn": "acs:ram::1234567890123456:role/middle"}, {"roleArn": ROLE_B}]
    second = sandbox.add_registry(
        replace(Instance.usual("cri-secondofb", name="two"), account=guide.ACCOUNT_B), "127.0.0.4"
    )
    first_entry = of_b(host, sandbox, identity={"kind": "nodeRole"}, assumeRole=hops)
    write(program, sandbox, first_entry, {**first_entry, "instanceId": "cri-secondofb", "domains": [second]})
    assert program.ask(f"{host}/team/app").code == 0
    assert program.ask(f"{second}/team/app").code == 0
    assert sandbox.calls.count("AssumeRole") == 2, "two hops, for both instances together"
    assert sandbox.calls.count("GetAuthorizationToken") == 2


def test_an_external_id_and_a_session_policy_reach_the_role(program, sandbox, account_b):
    host = account_b(WORKER)
    sandbox.node.role = replace(sandbox.node.role, policies=(guide.policies()["assume"],))
    policies = guide.policies(ROLE_OF_A=WORKER.lower(), TICKET="a ticket/1".replace(" ", "-"))
    role = sandbox.state.find_role(ROLE_B)
    sandbox.state.add_role(replace(role, trust=policies["trust-role"]))
    hop = {"roleArn": ROLE_B}
    entry = of_b(host, sandbox, identity={"kind": "nodeRole"}, assumeRole=[hop])
    write(program, sandbox, entry)
    assert_refused(program.ask(f"{host}/team/app"), "NoPermission", "trust policy")
    hop |= {"externalId": "a-ticket/1", "policy": guide.policies(INSTANCE_ID="cri-ofaccountb")["session"]}
    write(program, sandbox, entry)
    ended = program.ask(f"{host}/team/app")
    assert ended.code == 0
    with pytest.raises(PullError, match="insufficient_scope"):
        pull(f"{host}/team/app", *ended.login(host), ca_file=sandbox.ca_file)  # the session is for team-a/*


def test_sessions_and_tokens_outlive_a_rotated_node_role_key(program, sandbox, account_b):
    host = account_b(WORKER)
    sandbox.node.role = replace(sandbox.node.role, policies=(guide.policies()["assume"],))
    write(program, sandbox, of_b(host, sandbox, identity={"kind": "nodeRole"}, assumeRole=[{"roleArn": ROLE_B}]))
    assert program.ask(f"{host}/team/app").code == 0
    sandbox.node.role = replace(sandbox.node.role, actions=frozenset())  # a new session of the same role
    sandbox.state.token_life = None
    for memo in (program.cache / "memo").glob("*.memo"):
        memo.unlink()
    assert program.ask(f"{host}/team/app").code == 0
    assert sandbox.calls.count("AssumeRole") == 1


def test_an_sts_session_in_files_is_used_and_read_again_when_it_changes(program, sandbox, tmp_path):
    names = {"accessKeyIdFile": "id", "accessKeySecretFile": "secret", "securityTokenFile": "token"}

    def renew():
        session = sandbox.state.open_session(Principal("robot", kind="AssumedRoleUser"), 3600)
        for name, value in zip(names.values(), (session.id, session.secret, session.security_token), strict=True):
            (tmp_path / name).write_text(value + "\n")
            (tmp_path / name).chmod(0o600)
        return session

    identity = {"kind": "sts", **{field: str(tmp_path / name) for field, name in names.items()}}
    change(program, sandbox, identity=identity)
    used = []
    for _ in range(2):
        used.append(renew().id)
        assert program.ask(image_of(sandbox)).code == 0
    assert [call.access_key_id for call in sandbox.calls.all("GetAuthorizationToken")] == used


def test_a_refused_session_is_not_used_again(program, sandbox, cluster):
    change(program, sandbox, identity=SERVICE_ACCOUNT)
    sandbox.faults.add("GetAuthorizationToken", Failure(400, "InvalidSecurityToken.Expired", "no"), times=1)
    assert_refused(ask_as(program, sandbox, cluster.token("team-a", "app")), "InvalidSecurityToken")
    forget_failures(program)
    assert ask_as(program, sandbox, cluster.token("team-a", "app")).code == 0
    assert sandbox.calls.count("AssumeRoleWithOIDC") == 2


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        ({"kind": "managedRole"}, ("managedRole", "controller")),
        ({"kind": "profile"}, ("profile", "pip")),
    ],
)
def test_what_the_program_on_nodes_lacks_it_says(frozen, sandbox, identity, words):
    change(frozen, sandbox, identity=identity)
    assert_refused(frozen.ask(image_of(sandbox)), *words)


def test_the_frozen_program_does_not_ship_what_only_the_controller_needs(frozen):
    assert not list(Path(frozen.command[0]).parent.rglob("*cryptography*"))


def test_the_worker_role_pulls_from_the_personal_edition_of_account_b(program, sandbox):
    sandbox.node.role = replace(sandbox.node.role, policies=(guide.policies()["assume"],))
    trust = guide.without_condition(guide.policies(ROLE_OF_A=WORKER.lower())["trust-role"])
    may_ask = {
        "Version": "1",
        "Statement": [{"Effect": "Allow", "Action": "cr:GetAuthorizationToken", "Resource": "*"}],
    }
    sandbox.state.add_role(Role("acr-pull", trust, account=guide.ACCOUNT_B, policies=(may_ask,)))
    personal = {
        "instanceId": "",
        "region": "cn-hangzhou",
        "identity": {"kind": "nodeRole"},
        "assumeRole": [{"roleArn": ROLE_B}],
        "endpoints": {"acr": sandbox.openapi.url},
    }
    write(program, sandbox, personal)
    ended = program.ask("registry.cn-hangzhou.aliyuncs.com/team/app")
    assert (ended.code, ended.stderr) == (0, b"")
    (login,) = ended.document["auth"].values()
    who = sandbox.state.find_login(login["username"], login["password"]).principal
    assert (who.name, who.account) == ("acr-pull", guide.ACCOUNT_B)


def convert(program, sandbox, tmp_path, *entries, place="node", **keys):
    """Convert an acr-configuration of *entries*, and point what comes out at the sandbox."""
    configuration = tmp_path / "acr-configuration.yaml"
    data = {"acr-registry-info": yaml.safe_dump(list(entries)), **keys}
    configuration.write_text(yaml.safe_dump({"kind": "ConfigMap", "apiVersion": "v1", "data": data}))
    configuration.chmod(0o600)
    ended = program.run(b"", "settings", "convert", "--for", place, str(configuration))
    assert ended.code == 0, ended.stderr
    document = yaml.safe_load(ended.stdout)
    write(program, sandbox, *(each | {"endpoints": {"acr": sandbox.openapi.url}} for each in document["registries"]))
    return document["registries"]


def test_a_converted_acr_configuration_pulls_from_account_b_with_its_role(program, sandbox, account_b, tmp_path):
    host = account_b(WORKER)
    may_ask = {
        "Version": "1",
        "Statement": [{"Effect": "Allow", "Action": "cr:GetAuthorizationToken", "Resource": "*"}],
    }
    role = sandbox.state.find_role(ROLE_B)
    sandbox.state.add_role(replace(role, policies=(*role.policies, may_ask)))
    sandbox.node.role = replace(sandbox.node.role, policies=(guide.policies()["assume"],))
    chain = {"regionId": "cn-hangzhou", "assumeRoleARN": ROLE_B}
    enterprise = {"instanceId": "cri-ofaccountb", "domains": host, "expireDuration": 43200, **chain}
    personal = {"instanceId": "", "domains": "registry.cn-hangzhou.aliyuncs.com", "expireDuration": "7200", **chain}
    first, second = convert(program, sandbox, tmp_path, enterprise, personal)
    assert first["assumeRole"] == [{"roleArn": ROLE_B, "sessionDuration": "43200s"}]
    assert second["assumeRole"] == [{"roleArn": ROLE_B, "sessionDuration": "7200s"}]
    ended = program.ask(f"{host}/team/app")
    who = pulled(sandbox, ended, host)
    assert (who.name, who.account) == ("acr-pull", guide.ACCOUNT_B)
    assert sandbox.state.find_login(*ended.login(host)).expires_at - sandbox.clock.now() > 11.9 * 3600
    ended = program.ask("registry.cn-hangzhou.aliyuncs.com/team/app")
    assert (ended.code, ended.stderr) == (0, b"")
    (login,) = ended.document["auth"].values()
    who = sandbox.state.find_login(login["username"], login["password"]).principal
    assert (who.name, who.account) == ("acr-pull", guide.ACCOUNT_B)
    nobody = guide.without_condition(guide.policies(ROLE_OF_A="nobody")["trust-role"])
    sandbox.state.add_role(replace(role, trust=nobody))
    program.run(b"", "cache", "clear", "--cache", str(program.cache))
    assert_refused(program.ask(f"{host}/team/app"))
    assert sandbox.calls.count("GetAuthorizationToken") == 1, "the worker role itself never asks"


def test_a_converted_acr_configuration_with_rrsa_pulls_from_account_b(program, sandbox, account_b, tmp_path):
    host = account_b("rrsa-a")
    subject = "kube-system/aliyun-acr-credential-helper"
    trust = guide.with_subjects(guide.policies()["trust-service-account"], subject)
    sandbox.state.add_role(Role("rrsa-a", trust, policies=(guide.policies()["assume"],)))
    token = tmp_path / "token"
    token.write_text(sandbox.add_cluster().token(*subject.split("/")) + "\n")
    entry = {
        "instanceId": "cri-ofaccountb",
        "regionId": "cn-hangzhou",
        "domains": host,
        "rrsaRoleARN": f"acs:ram::{PROVIDER_ARN.split(':')[3]}:role/rrsa-a",
        "rrsaOIDCProviderRoleARN": PROVIDER_ARN,
        "assumeRoleARN": ROLE_B,
    }
    convert(program, sandbox, tmp_path, entry, place="controller", rrsa="enable: true\n")
    environment = {**os.environ, **HERE_ONLY, "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(token)}  # the webhook's part
    who = pulled(sandbox, program.ask(f"{host}/team/app", env=environment), host)
    assert (who.name, who.account) == ("acr-pull", guide.ACCOUNT_B)
    assert who.session_name == "acr-sa-kube-system.aliyun-acr-credential-helper"


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
    change(frozen, sandbox, identity=SERVICE_ACCOUNT, assumeRole=[{"roleArn": ROLE_B}])
    token = cluster.token("team-a", "app")
    sandbox.faults.add(call, fault)
    ended = ask_as(frozen, sandbox, token)
    assert_refused(ended)
    keys = sandbox.state.all_keys()
    secrets = [*token.split("."), *(key.secret for key in keys), *(filter(None, (key.security_token for key in keys)))]
    traces = [ended.stderr, *(each.read_bytes() for each in frozen.cache.rglob("*.failed"))]
    assert not [secret for secret in secrets if any(secret.encode() in trace for trace in traces)]
