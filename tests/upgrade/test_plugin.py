"""The plugin's cache across an upgrade and back: what the other version wrote is answered from, or passed over."""

import json
from dataclasses import replace

import pytest
from conftest import write_settings
from e2e.assertions import assert_answered, assert_told, files_in
from sandbox.state import ACCOUNT, Instance, Role
from support import guide, harness


class Node:
    """One settings file and one cache folder, which the kubelet has now this version's program use, now that one's."""

    def __init__(self, sandbox, folder, document):
        self.sandbox = sandbox
        self.folder = folder
        self.document = document
        self.cache = folder / "cache"

    def program(self, version, *, rewrites_settings=False):
        path = self.folder / "settings.yaml"
        if rewrites_settings or not path.exists():
            write_settings(self.folder, version.settings(self.document))
        return harness.Program((str(version.plugin),), path, self.cache)

    def tokens(self):
        return self.sandbox.calls.count("GetAuthorizationToken")


@pytest.fixture
def node(sandbox, tmp_path):
    return Node(sandbox, tmp_path, sandbox.settings())


def with_key(_node):
    pass


def with_role_chain(node):
    """The session of the second role is kept on disk, beside the token."""
    policies = guide.policies(ROLE_OF_A="kubernetesworkerrole-sandbox", ACCOUNT_B=ACCOUNT)
    trust = guide.without_condition(policies["trust-role"])
    second = node.sandbox.state.add_role(Role("acr-pull", trust, policies=(policies["pull"],)))
    node.sandbox.node.role = replace(node.sandbox.node.role, policies=(policies["assume"],))
    registry = node.document["registries"][0]
    registry |= {"identity": {"kind": "nodeRole"}, "assumeRole": [{"roleArn": second.arn}]}


def with_words_that_changed(node):
    node.document["maxCacheDuration"] = "10m"


@pytest.mark.parametrize("set_up", [with_key, with_role_chain])
@pytest.mark.parametrize("first", ["old", "present"])
def test_a_cache_of_the_other_version_is_answered_from_or_passed_over(node, old, present, set_up, first):
    """With a settings file that both understand, which nobody touches."""
    set_up(node)
    versions = [old, present] if first == "old" else [present, old]
    for version in (*versions, *versions):
        ended = node.program(version).ask(node.sandbox.image)
        assert_answered(ended, node.sandbox)
    assert node.tokens() <= 2, "each version asks for itself at most once"
    for version in versions:
        before = node.tokens()
        assert_answered(node.program(version).ask(node.sandbox.image), node.sandbox)
        assert node.tokens() == before, "both have an answer by now"


def test_settings_in_each_versions_words_are_read_anew(node, old, present):
    with_words_that_changed(node)
    for version in (old, present, old, present):
        ended = node.program(version, rewrites_settings=True).ask(node.sandbox.image)
        assert_answered(ended, node.sandbox)
        assert 0 < ended.duration <= 600


@pytest.mark.parametrize("first", ["old", "present"])
def test_a_host_that_the_other_version_was_never_asked_for_is_answered(node, old, present, first):
    """What is kept of the settings, and of endpoints, is not the response: a miss reads that too."""
    one, other = (old, present) if first == "old" else (present, old)
    shop = node.sandbox.state.add_instance(Instance.usual("cri-shop0000000001", name="shop"))
    address = node.sandbox.add_registry(shop, "127.0.0.3")
    node.document["registries"].append({**node.document["registries"][0], "instanceId": shop.id, "domains": [address]})
    assert_answered(node.program(one).ask(node.sandbox.image), node.sandbox)
    for version in (other, one, other):
        ended = node.program(version).ask(f"{address}/{shop.repositories[0]}")
        assert (ended.code, ended.stderr) == (0, b"")
        assert node.sandbox.state.find_login(*ended.login(address))


def test_a_token_that_is_due_is_renewed_by_the_other_version(node, old, present):
    """It is still good when nothing can be renewed: an upgrade in an outage costs no pull."""
    node.sandbox.state.token_life = 1200  # due at once, and long from dead
    for version in (old, present, old):
        assert_answered(node.program(version).ask(node.sandbox.image), node.sandbox)


def test_a_failure_that_the_other_version_met_is_told_or_asked_for_again(node, old, present):
    node.sandbox.state.remove_key(node.sandbox.key.id)
    for version in (old, present, old):
        assert_told(node.program(version).ask(node.sandbox.image), "InvalidAccessKeyId")


@pytest.mark.parametrize("clears", ["old", "present"])
def test_each_versions_commands_work_on_what_the_other_left(node, old, present, clears):
    versions = {"old": old, "present": present}
    for version in versions.values():
        assert_answered(node.program(version).ask(node.sandbox.image), node.sandbox)
    for version in versions.values():
        shown = node.program(version).run(b"", "cache", "show", "--cache", str(node.cache), "--output", "json")
        assert shown.code == 0, shown.stderr
        assert json.loads(shown.stdout)
    cleared = node.program(versions[clears]).run(b"", "cache", "clear", "--cache", str(node.cache))
    assert (cleared.code, cleared.stderr) == (0, b"")
    assert not [path for path, content in files_in(node.cache).items() if b"cr_temp_user" in content]
    for version in versions.values():
        assert_answered(node.program(version).ask(node.sandbox.image), node.sandbox)
