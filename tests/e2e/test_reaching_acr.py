"""How the plugin finds its identity, its region and ACR, with the metadata service where it is in life."""

import json
import time
from dataclasses import replace

import pytest
from sandbox.netns import NetworkNamespace
from sandbox.state import Instance, Role

HOSTS = """127.0.0.1 localhost
{vpc} cr-vpc.cn-hangzhou.aliyuncs.com
127.0.0.1 cr.cn-hangzhou.aliyuncs.com
{vpc_of_sts} sts-vpc.cn-hangzhou.aliyuncs.com
127.0.0.5 sts.cn-hangzhou.aliyuncs.com
"""
WITH_HOSTS = 'mount --bind "$1" /etc/hosts; shift; exec "$@"'


@pytest.fixture
def node(sandbox, program, tmp_path):
    """The program on a node of its own: the cloud's names and addresses lead to the sandbox."""
    with NetworkNamespace() as namespace:
        sandbox.listen_in(namespace)
        namespace.call(lambda: sandbox.openapi.listen("127.0.0.1", 443))
        namespace.call(lambda: sandbox.sts.listen("127.0.0.5", 443))
        settings = sandbox.settings()
        settings["registries"][0] |= {"identity": {"kind": "nodeRole"}, "endpoints": {}}
        settings["endpoints"] = {}
        yield Node(namespace, program, settings, tmp_path / "hosts")


class Node:
    def __init__(self, namespace, program, settings, hosts):
        self.namespace, self.program, self.settings, self.hosts = namespace, program, settings, hosts
        self.registry = settings["registries"][0]

    def ask(self, image, *, vpc="127.0.0.1", vpc_of_sts="127.0.0.5"):
        self.program.settings.write_text(json.dumps(self.settings))
        self.hosts.write_text(HOSTS.format(vpc=vpc, vpc_of_sts=vpc_of_sts))
        under = self.namespace.command(["unshare", "--mount", "sh", "-ec", WITH_HOSTS, "sh", str(self.hosts)])
        return self.program.ask(image, under=tuple(under))


def image_of(sandbox):
    return sandbox.image.partition(":latest")[0]


@pytest.mark.parametrize("hardened", [False, True], ids=["usual", "hardened"])
def test_the_nodes_role_is_found_by_itself(node, sandbox, hardened):
    sandbox.node.hardened = hardened
    ended = node.ask(image_of(sandbox))
    assert (ended.code, ended.stderr) == (0, b"")
    keys = {call.access_key_id for call in sandbox.calls.all("GetAuthorizationToken")}
    assert all(key.startswith("STS.") for key in keys)


def test_metadata_v1_is_used_only_where_the_settings_allow_it(node, sandbox):
    sandbox.node.tokens_offered = False
    refused = node.ask(image_of(sandbox))
    assert (refused.code, refused.stdout) == (1, b"")
    assert b"metadata" in refused.stderr
    node.registry["identity"]["allowImdsV1"] = True
    assert node.ask(image_of(sandbox)).code == 0


def test_a_node_without_a_role_is_told_what_to_do(node, sandbox):
    sandbox.node.role = None
    ended = node.ask(image_of(sandbox))
    assert (ended.code, ended.stdout) == (1, b"")
    assert b"no RAM role is attached" in ended.stderr
    assert b"remedy: Attach a RAM role" in ended.stderr


def test_a_registry_without_a_region_is_in_the_nodes_own(node, sandbox):
    del node.registry["region"]
    assert node.ask(image_of(sandbox)).code == 0


def test_the_nodes_region_is_told_where_the_instance_is_in_another(node, sandbox):
    sandbox.state.add_instance(replace(sandbox.instance, region="cn-beijing"))
    del node.registry["region"]
    ended = node.ask(image_of(sandbox))
    assert (ended.code, ended.stdout) == (1, b"")
    error, remedy = ended.stderr.decode().splitlines()
    assert "(INSTANCE_NOT_EXIST, " in error
    assert error.endswith(" in cn-hangzhou: there is no such instance [InstanceUnknown]")
    assert "or region in the settings (without region it is the node's)" in remedy


def test_the_metadata_service_is_never_asked_through_a_proxy(node, sandbox, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert node.ask(image_of(sandbox)).code == 0


def test_in_its_own_region_the_vpc_endpoint_is_asked(node, sandbox):
    node.registry["network"] = "vpc"
    assert node.ask(image_of(sandbox)).code == 0


@pytest.mark.parametrize("vpc", ["127.0.0.9", "192.0.2.1"], ids=["refuses", "is not routed"])
def test_the_public_endpoint_is_asked_when_the_vpc_endpoint_does_not_answer(node, sandbox, vpc):
    ended = node.ask(image_of(sandbox), vpc=vpc)
    assert (ended.code, ended.stderr) == (0, b"")
    node.program.run(b"", "cache", "clear", "--cache", str(node.program.cache))
    node.registry["network"] = "vpc"
    ended = node.ask(image_of(sandbox), vpc=vpc)
    assert (ended.code, ended.stdout) == (1, b"")
    assert b"cr-vpc.cn-hangzhou.aliyuncs.com" in ended.stderr


def test_without_domains_acr_is_asked_once_which_hosts_an_instance_has(node, sandbox):
    del node.registry["domains"]
    for host in ("sandbox-registry", "sandbox-registry-vpc"):
        ended = node.ask(f"{host}.cn-hangzhou.cr.aliyuncs.com/team/app")
        assert (ended.code, ended.stderr) == (0, b"")
        assert list(ended.document["auth"]) == [f"{host}.cn-hangzhou.cr.aliyuncs.com"]
    other = node.ask("other-registry.cn-hangzhou.cr.aliyuncs.com/team/app")
    assert (other.code, other.document["auth"]) == (0, {})
    elsewhere = node.ask("sandbox-registry.cn-beijing.cr.aliyuncs.com/team/app")
    assert (elsewhere.code, elsewhere.document["auth"]) == (0, {})
    assert sandbox.calls.count("ListInstanceEndpoint") == 1
    assert sandbox.calls.count("GetAuthorizationToken") == 1


def test_a_custom_domain_that_acr_lists_is_covered_once_the_list_is_known(node, sandbox):
    del node.registry["domains"]
    sandbox.state.add_custom_domain(sandbox.instance.id, "images.example.com")
    before = node.ask("images.example.com/team/app")
    assert (before.code, before.document["auth"]) == (0, {})
    assert sandbox.calls.count("ListInstanceEndpoint") == 0, "a foreign host makes no call"
    assert node.ask("sandbox-registry.cn-hangzhou.cr.aliyuncs.com/team/app").code == 0
    for memo in (node.program.cache / "memo").glob("*.memo"):
        memo.unlink()
    assert list(node.ask("images.example.com/team/app").document["auth"]) == ["images.example.com"]


def test_one_entrys_failed_look_up_does_not_hide_anothers_match(node, sandbox):
    del node.registry["domains"]
    sandbox.state.add_instance(Instance.usual("cri-other", name="other"))
    node.settings["registries"].insert(0, {**node.registry, "instanceId": "cri-gone"})
    node.settings["registries"].append({**node.registry, "instanceId": "cri-other"})
    assert node.ask("other-registry.cn-hangzhou.cr.aliyuncs.com/team/app").document["auth"]
    nobodys = node.ask("nobodys-registry.cn-hangzhou.cr.aliyuncs.com/team/app")
    assert (nobodys.code, nobodys.stdout) == (1, b"")
    assert b"cri-gone" in nobodys.stderr


def test_tokens_are_renewed_ahead_of_pulls_for_what_was_asked_lately(program, sandbox):
    sandbox.state.token_life = 600.0
    image, host = image_of(sandbox), sandbox.registry.address
    first = program.ask(image)
    paths = ("--settings", str(program.settings), "--cache", str(program.cache))
    assert program.run(b"", "cache", "refresh", "--within", "1s", *paths).code == 0
    assert sandbox.calls.count("GetAuthorizationToken") == 1, "not due, not renewed"
    assert program.run(b"", "cache", "refresh", "--within", "10m", *paths).code == 0
    assert sandbox.calls.count("GetAuthorizationToken") == 2
    second = program.ask(image)
    assert second.login(host) != first.login(host)
    memo = next((program.cache / "memo").glob("*.memo"))
    assert time.time() - memo.stat().st_mtime < 60


def test_what_nobody_asked_for_is_not_renewed(program, sandbox):
    import os

    sandbox.state.token_life = 600.0
    assert program.ask(image_of(sandbox)).code == 0
    memo = next((program.cache / "memo").glob("*.memo"))
    os.utime(memo, (1, 1))
    paths = ("--settings", str(program.settings), "--cache", str(program.cache))
    assert program.run(b"", "cache", "refresh", "--within", "10m", *paths).code == 0
    assert sandbox.calls.count("GetAuthorizationToken") == 1


def test_after_clearing_the_cache_acr_is_asked_again(program, sandbox):
    image = image_of(sandbox)
    assert program.ask(image).code == 0
    assert program.run(b"", "cache", "clear", "--cache", str(program.cache)).code == 0
    assert program.ask(image).code == 0
    assert sandbox.calls.count("GetAuthorizationToken") == 2


def test_a_rotated_key_is_used_at_once(program, sandbox):
    image = image_of(sandbox)
    assert program.ask(image).code == 0
    new = sandbox.state.add_key(sandbox.key.principal)
    sandbox.state.remove_key(sandbox.key.id)
    sandbox.key_id_file.write_text(new.id)
    sandbox.key_secret_file.write_text(new.secret)
    assert program.ask(image).code == 0
    assert [call.access_key_id for call in sandbox.calls.all("GetAuthorizationToken")] == [sandbox.key.id, new.id]


def test_a_wrong_clock_neither_revives_nor_kills_a_token(program, sandbox):
    """The cloud's clock is five minutes ahead: the token still has the life that ACR gave it."""
    sandbox.clock.skew = 300.0
    sandbox.state.token_life = 600.0
    ended = program.ask(image_of(sandbox))
    assert ended.code == 0
    shown = json.loads(program.run(b"", "cache", "show", "--output", "json", "--cache", str(program.cache)).stdout)
    # A Date header has whole seconds.
    assert 500 < shown[0]["expiresInSeconds"] <= 541


def test_a_clock_that_is_far_off_is_named_with_its_remedy(program, sandbox):
    sandbox.clock.skew = 1200.0
    ended = program.ask(image_of(sandbox))
    assert (ended.code, ended.stdout) == (1, b"")
    assert b"clock" in ended.stderr
    assert b"ntp" in ended.stderr.lower() or b"chrony" in ended.stderr


def with_a_role_to_assume(node, sandbox):
    """Let the node's role assume another one, and its settings say so."""
    allow = {"Effect": "Allow", "Action": "*"}
    asker = sandbox.node.role
    trust = {"Version": "1", "Statement": [{**allow, "Principal": {"RAM": [asker.arn.lower()]}}]}
    everything = {"Version": "1", "Statement": [{**allow, "Resource": "*"}]}
    sandbox.node.role = replace(asker, policies=(everything,))
    role = sandbox.state.add_role(Role("other", trust, policies=(everything,)))
    node.registry["assumeRole"] = [{"roleArn": role.arn}]


@pytest.mark.parametrize("vpc_of_sts", ["127.0.0.5", "127.0.0.9"], ids=["VPC", "public, the VPC's refuses"])
def test_the_nearest_sts_is_asked_for_a_role(node, sandbox, vpc_of_sts):
    with_a_role_to_assume(node, sandbox)
    ended = node.ask(image_of(sandbox), vpc_of_sts=vpc_of_sts)
    assert (ended.code, ended.stderr) == (0, b"")
    assert sandbox.calls.count("AssumeRole") == 1


def test_an_sts_that_may_be_reached_by_vpc_only_is_not_asked_in_public(node, sandbox):
    with_a_role_to_assume(node, sandbox)
    node.registry["network"] = "vpc"
    assert node.ask(image_of(sandbox)).code == 0
    node.program.run(b"", "cache", "clear", "--cache", str(node.program.cache))
    ended = node.ask(image_of(sandbox), vpc_of_sts="127.0.0.9")
    assert (ended.code, ended.stdout) == (1, b"")
    assert b"sts-vpc.cn-hangzhou.aliyuncs.com" in ended.stderr
