"""The controller's way to the cloud against the sandbox: whose files it takes, what it remembers, what it asks anew."""

import os

import pytest
from acr_credential_provider.model.errors import CredentialProviderError, IdentityUnavailableError, ThrottledError
from acr_credential_provider.pull_secrets.tokens.token_fetcher import TokenFetcher
from sandbox.faults import Failure, Throttle
from sandbox.server import PROVIDER_ARN
from sandbox.state import Instance, Role
from support import guide
from support.judged import from_document


@pytest.fixture
def fetcher(tmp_path):
    return TokenFetcher(str(tmp_path / "cache"), seconds=10.0)


def settings(sandbox, *changes):
    document = sandbox.settings()
    (usual,) = document["registries"]
    document["registries"] = [{**usual, **change} for change in changes or [{}]]
    return from_document(document)


def fetch(fetcher, told, *, number=0, known=()):
    return fetcher.fetch(told, told.registries[number], known=known)


def test_each_fetch_brings_another_login_that_the_registry_takes(fetcher, sandbox):
    told = settings(sandbox)
    first, second = fetch(fetcher, told), fetch(fetcher, told)
    assert first.grant.password != second.grant.password
    assert sandbox.state.find_login(second.grant.username, second.grant.password)
    assert (first.region, first.hosts) == ("cn-hangzhou", ())
    assert sandbox.calls.counts() == {"GetAuthorizationToken": 2}


def test_the_hosts_of_an_instance_without_domains_are_asked_for_once_a_day(fetcher, sandbox):
    told = settings(sandbox, {"domains": []})
    hosts = [fetch(fetcher, told).hosts for _ in range(3)]
    assert hosts[0] == hosts[1] == hosts[2]
    assert any("-vpc.cn-hangzhou.cr.aliyuncs.com" in each for each in hosts[0])
    assert sandbox.calls.counts() == {"GetAuthorizationToken": 3, "ListInstanceEndpoint": 1}


def test_hosts_that_are_known_hold_while_acr_does_not_say_them(fetcher, sandbox):
    told = settings(sandbox, {"domains": []})
    sandbox.faults.add("ListInstanceEndpoint", Failure(status=500))
    assert fetch(fetcher, told, known=("images.example.com",)).hosts == ("images.example.com",)


def test_without_hosts_nobody_could_use_the_login(fetcher, sandbox):
    sandbox.faults.add("ListInstanceEndpoint", Failure(status=500))
    with pytest.raises(CredentialProviderError):
        fetch(fetcher, settings(sandbox, {"domains": []}))


def test_a_throttling_cloud_is_told_as_one(fetcher, sandbox):
    sandbox.faults.add("GetAuthorizationToken", Throttle())
    with pytest.raises(ThrottledError):
        fetch(fetcher, settings(sandbox))


def test_one_session_of_a_role_serves_all_instances_that_need_it(fetcher, sandbox, tmp_path):
    policies = guide.policies()
    role = Role("pull-team-a", policies["trust-service-account"], policies=(policies["pull"],))
    sandbox.state.add_role(role)
    second = sandbox.state.add_instance(Instance.usual("cri-sandbox000000002", name="second"))
    token = tmp_path / "token"
    token.write_text(sandbox.add_cluster().token("team-a", "app"))
    token.chmod(0o640)
    rrsa = {"kind": "rrsa", "roleArn": role.arn, "oidcProviderArn": PROVIDER_ARN, "tokenFile": str(token)}
    other = {"identity": rrsa, "instanceId": second.id, "domains": ["second.example"]}
    told = settings(sandbox, {"identity": rrsa}, other)
    for number in (0, 1, 0):
        found = fetch(fetcher, told, number=number)
        assert sandbox.state.find_login(found.grant.username, found.grant.password).principal.name == "pull-team-a"
    assert sandbox.calls.counts() == {"AssumeRoleWithOIDC": 1, "GetAuthorizationToken": 3}


def test_a_groups_reading_is_the_volumes_way_but_others_writing_is_none(fetcher, sandbox):
    """A Pod that is not root reads a mounted Secret as its fsGroup."""
    files = [sandbox.key_id_file, sandbox.key_secret_file]
    for each in files:
        each.chmod(0o440)
    assert fetch(fetcher, settings(sandbox)).grant.password
    files[1].chmod(0o462)
    with pytest.raises(IdentityUnavailableError):
        fetch(fetcher, settings(sandbox))


def test_a_login_of_ones_own_comes_from_the_same_kind_of_files(tmp_path):
    files = []
    for name, text in (("username", "me@1234567890"), ("password", "CANARY")):
        path = tmp_path / name
        path.write_text(text + "\n")
        path.chmod(0o440)
        files.append(str(path))
    login = TokenFetcher.read_login(*files)
    assert (login.username, login.password) == ("me@1234567890", "CANARY")


def test_without_a_writable_folder_it_works_all_the_same(sandbox):
    told = settings(sandbox)
    assert fetch(TokenFetcher("/proc/nowhere"), told).grant.password
    assert not os.path.exists("/proc/nowhere")
