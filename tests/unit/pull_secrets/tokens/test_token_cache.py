import itertools
import json

import pytest
from acr_credential_provider.model.authorization_token import AuthorizationGrant
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.errors import IdentityUnavailableError, RegistryRefusedError, ThrottledError
from acr_credential_provider.pull_secrets.model.registry_names import entry_of
from acr_credential_provider.pull_secrets.tokens.token_cache import Fetched, TokenCache
from acr_credential_provider.sources.basic_auth import BasicAuth
from support.judged import from_document

ONE, TWO = "cri-0000000000000001", "cri-0000000000000002"
HOUR = 3600.0
ROLE = {"kind": "nodeRole"}
REFUSED = RegistryRefusedError("refused", remedy="Wait.")


def registry(instance=ONE, **fields):
    return {
        "instanceId": instance,
        "region": "cn-hangzhou",
        "domains": [f"{instance}.example"],
        "identity": ROLE,
        **fields,
    }


def settings(*registries):
    document = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings"}
    return from_document({**document, "registries": list(registries or [registry(), registry(TWO)])})


class World:
    """Tokens, a clock that is moved by hand, and a cloud that grants an hour."""

    def __init__(self, told=None, *, keys=None):
        self.now = 1000.0
        self.tokens = TokenCache(clock=lambda: self.now, draw=lambda: 0.0)
        self.granted = 0
        self.expect(told or settings(), keys)

    def expect(self, told, keys=None):
        self.settings = told
        self.tokens.set_expected(told, keys or {})

    def renew(self, *, failing=(), life=HOUR):
        """Fetch what is due; return which entries that were."""
        due = self.tokens.due(self.settings)
        for each in due:
            if each.instance_id in failing:
                self.tokens.fail(each, REFUSED)
            else:
                self.granted += 1
                grant = AuthorizationGrant("user", f"secret-{self.granted}", life)
                self.tokens.keep(each, Fetched(grant, "cn-hangzhou", ()))
        return [each.instance_id for each in due]

    def entries(self):
        return self.tokens.entries(self.settings, read=lambda *_: BasicAuth("me", "mine"), on_failure=lambda *_: None)

    def silent(self):
        """Return the entries as they are before anything was heard of any."""

        def read(*_):
            raise IdentityUnavailableError("gone", remedy="Bring it back.")

        return self.tokens.entries(self.settings, read=read, on_failure=lambda *_: None)

    def passwords(self):
        return {place: password for each in self.entries() for place, _, password in each.logins}

    def known(self):
        return [each.instance_id for each in self.entries() if each.unknown_at == ()]


def test_each_entry_is_fetched_once_and_again_when_it_is_due():
    world = World()
    assert world.renew() == [ONE, TWO]
    assert world.renew() == []
    world.now += HOUR - 900 - 1
    assert world.renew() == []
    world.now += 2
    assert world.renew() == [ONE, TWO]


def test_what_is_due_soon_comes_along_for_each_new_content_is_a_write_everywhere():
    world = World()
    world.renew(failing=[TWO])
    world.now += 200
    assert world.renew() == [TWO]
    world.now += HOUR - 900 - 200
    assert world.renew() == [ONE, TWO]


def test_an_entry_that_fails_keeps_its_token_until_that_is_dead():
    world = World()
    world.renew()
    world.now += HOUR - 600
    world.renew(failing=[ONE])
    assert world.passwords() == {f"{ONE}.example": "secret-1", f"{TWO}.example": "secret-3"}
    world.now += 600 - 60
    assert world.passwords() == {f"{TWO}.example": "secret-3"}


def test_a_failing_entry_is_asked_for_less_and_less_often():
    world = World(settings(registry()))
    tries = []
    for _ in range(3600):
        if world.renew(failing=[ONE]):
            tries.append(world.now)
        world.now += 1
    pauses = [after - before for before, after in itertools.pairwise(tries)]
    assert pauses == sorted(pauses)
    assert len(tries) < 40
    assert max(pauses) <= 301


def test_a_cloud_that_asks_for_patience_gets_it():
    world = World(settings(registry()))
    world.tokens.fail(world.settings.registries[0], ThrottledError("slow down", remedy="Wait.", retry_after=120.0))
    world.now += 119
    assert world.renew() == []
    world.now += 2
    assert world.renew() == [ONE]


def test_another_identity_is_asked_at_once_and_the_old_token_serves_until_then():
    world = World()
    world.renew()
    world.expect(settings(registry(identity={"kind": "nodeRole", "roleName": "other"}), registry(TWO)))
    assert world.renew(failing=[ONE]) == [ONE]
    assert world.passwords()[f"{ONE}.example"] == "secret-1"
    world.now += 6
    assert world.renew() == [ONE]
    assert world.passwords()[f"{ONE}.example"] == "secret-3"


def test_another_key_in_the_same_file_is_another_identity():
    key = {"kind": "accessKey", "accessKeyIdFile": "/k/id", "accessKeySecretFile": "/k/secret"}
    told = settings(registry(identity=key), registry(TWO))
    world = World(told, keys={"/k/id": "A", "/k/secret": "B"})
    world.renew()
    world.expect(told, {"/k/id": "A", "/k/secret": "C"})
    assert world.renew() == [ONE]


def test_an_identity_that_was_corrected_does_not_wait_for_the_end_of_a_pause():
    world = World(settings(registry()))
    for _ in range(10):
        world.renew(failing=[ONE])
        world.now += 300
    world.renew(failing=[ONE])
    world.expect(settings(registry(identity={"kind": "nodeRole", "roleName": "corrected"})))
    assert world.renew() == [ONE]


def test_the_same_instance_in_two_regions_and_two_accounts_on_a_shared_host_have_a_token_each():
    personal = {"region": "cn-hangzhou", "identity": ROLE}
    told = settings(
        registry(),
        registry(region="cn-beijing", domains=["b.example"]),
        {**personal, "namespaces": ["a"]},
        {**personal, "namespaces": ["b"], "identity": {"kind": "nodeRole", "roleName": "x"}},
    )
    assert len({entry_of(each) for each in told.registries}) == 4
    assert len({display_name(each) for each in told.registries}) == 4


def test_a_login_of_ones_own_is_read_each_time_and_what_was_read_last_goes_on():
    login = {"kind": "basicAuth", "usernameFile": "/u", "passwordFile": "/p"}
    world = World(settings(registry("", identity=login, domains=["crpi-x.cn-hangzhou.personal.cr.aliyuncs.com"])))
    files, failures = ["first"], []

    def read(_username_file, _password_file):
        if not files:
            raise IdentityUnavailableError("gone", remedy="Bring it back.")
        return BasicAuth("me", files[0])

    def passwords():
        found = world.tokens.entries(world.settings, read=read, on_failure=lambda _, error: failures.append(error))
        return [password for each in found for _, _, password in each.logins]

    assert world.renew() == [], "the cloud has nothing to do with it"
    assert passwords() == ["first"]
    files[0] = "second"
    assert passwords() == ["second"]
    files.clear()
    assert passwords() == ["second"]
    assert len(failures) == 1


def test_another_replica_goes_on_with_what_was_shared():
    first, second = World(), World()
    first.renew()
    assert second.tokens.merge(first.tokens.encode())
    assert second.passwords() == first.passwords()
    assert second.renew() == []
    assert not second.tokens.merge(first.tokens.encode()), "nothing new"


def test_an_older_token_never_takes_the_place_of_a_newer_one():
    first, second = World(), World()
    first.renew()
    old = first.tokens.encode()
    second.now += 60
    second.renew()
    assert not second.tokens.merge(old)


@pytest.mark.parametrize("text", ["", "garbage", "[]", '{"format": 99, "tokens": []}', '{"format": 1, "tokens": [{}]}'])
def test_what_is_not_ours_is_nothing(text):
    world = World()
    assert not world.tokens.merge(text)
    assert world.known() == []


def test_a_clock_that_was_set_back_does_not_make_a_token_live_longer():
    world = World()
    world.renew()
    world.now -= 7200
    assert world.renew() == [ONE, TWO]


def test_the_dead_are_shared_too_for_who_knows_them_takes_them_out_of_secrets():
    first, second = World(), World()
    first.renew()
    first.now += HOUR
    second.now = first.now
    second.tokens.merge(first.tokens.encode())
    assert second.known() == [ONE, TWO]
    assert second.passwords() == {}


def test_who_is_told_how_tokens_stand_is_told_of_those_that_are_missing():
    world = World()
    world.renew(failing=[TWO])
    one, two = world.tokens.states(world.settings)
    assert (one.entry, one.issued_at, one.expires_at) == (f"{ONE} in cn-hangzhou", 1000.0, 1000.0 + HOUR - 60)
    assert (two.entry, two.issued_at) == (f"{TWO} in cn-hangzhou", 0.0)


def unknown_at(world):
    return {each.instance_id: each.unknown_at for each in world.silent()}


def test_who_has_no_memory_knows_of_an_entry_once_it_has_a_token_or_no_older_one_can_be_valid():
    long = registry("cri-long", tokenDuration="4h")
    world = World(settings(registry(), registry(TWO), long))
    world.renew(failing=[TWO, "cri-long"])
    assert unknown_at(world) == {ONE: (), TWO: None, "cri-long": None}
    world.now += HOUR
    assert unknown_at(world) == {ONE: (), TWO: (), "cri-long": None}
    world.now += 3 * HOUR
    assert unknown_at(world)["cri-long"] == ()


def test_an_entry_that_is_new_to_who_remembers_has_no_token_anywhere():
    first, second = World(settings(registry())), World()
    first.now += 9 * HOUR
    first.renew()
    second.now = first.now
    second.tokens.merge(first.tokens.encode())
    assert unknown_at(second) == {ONE: (), TWO: ()}


@pytest.mark.parametrize("text", ["", "garbage", '{"format": 0, "tokens": []}'])
def test_what_another_replica_did_not_know_the_next_one_does_not_know_either(text):
    first, second = World(), World()
    first.tokens.merge(text)
    first.renew(failing=[TWO])
    second.now = first.now + HOUR / 2
    second.tokens.merge(first.tokens.encode())
    assert unknown_at(second) == {ONE: (), TWO: None}
    second.now += HOUR / 2
    assert unknown_at(second) == {ONE: (), TWO: ()}


def test_what_a_helper_wrote_while_it_ran_is_unknown_for_as_long_as_its_tokens_live():
    world = World()
    world.tokens.set_helper_running(True)
    world.now += 9 * HOUR
    assert set(unknown_at(world).values()) == {None}
    next_leader = World()
    next_leader.now = world.now
    next_leader.tokens.merge(world.tokens.encode())
    for each in (world, next_leader):
        each.tokens.set_helper_running(False)
        each.now += HOUR - 1
        assert set(unknown_at(each).values()) == {None}
        each.now += 1
        assert set(unknown_at(each).values()) == {()}


def test_a_login_whose_files_were_never_read_may_be_at_its_own_hosts_however_long_that_lasts():
    login = {"kind": "basicAuth", "usernameFile": "/u", "passwordFile": "/p"}
    world = World(settings(registry(identity=login)))
    world.now += 99 * HOUR
    assert unknown_at(world) == {ONE: (f"{ONE}.example",)}


def test_the_digest_of_who_asks_is_that_of_installed_versions():
    """Another digest for the same settings would fetch every token anew at an upgrade, and write every Secret."""
    key = {"kind": "accessKey", "accessKeyIdFile": "/a", "accessKeySecretFile": "/b"}
    hop = {"roleArn": "acs:ram::1111111111111111:role/pull"}
    endpoints = {"acr": "https://x.example.com"}
    world = World(
        settings(registry(), registry(TWO, identity=key, assumeRole=[hop], tokenDuration="2h", endpoints=endpoints))
    )
    world.renew()
    kept = {token["entry"]: token["who"] for token in json.loads(world.tokens.encode())["tokens"]}
    assert kept == {f"{ONE}/cn-hangzhou": "f84e634496c40edc", f"{TWO}/cn-hangzhou": "424f437331af2bc9"}
