"""Instances of another account or region: by role, by key, by token file, through several hops, from a ConfigMap."""

import json
import os
from dataclasses import replace

import pytest
import yaml
from e2e.asking import ROLE, SERVICE_ACCOUNT, WORKER, ask_as, assert_refused, forget_failures, trusting_cluster
from sandbox.pull import PullError, pull
from sandbox.server import PROVIDER_ARN
from sandbox.state import Instance, Principal, Role
from support import guide
from support.harness import HERE_ONLY, request


@pytest.fixture
def cluster(sandbox):
    return trusting_cluster(sandbox)


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
    ended = program.run(b"", "settings", "convert", "--target", place, str(configuration))
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
