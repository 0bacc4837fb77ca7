"""What every kind of identity promises, against a cloud that checks signatures, tokens and policies for itself.

That it works, is read again, ends, keeps to the deadline, and brings no secret to light.
What a source does by itself is in tests/unit/sources.
"""

import json
import time

import pytest
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.settings import KINDS
from sandbox.faults import Echo, Failure, Hang, Html, Raw
from support.identity_world import ALL, ASKING, OWNER, World

pytestmark = pytest.mark.filterwarnings("ignore:.*:SyntaxWarning")  # the official packages' own

BY_TOKEN = ("serviceAccount", "serviceAccount+nodeRole", "rrsa")
KEYS_IN_FILES = ("accessKey", "stsSession", "managedRole", "addonSecret", "profile")


@pytest.fixture
def world(sandbox, tmp_path):
    return World(sandbox, tmp_path)


def test_every_kind_of_the_settings_is_among_them():
    assert {each.partition("+")[0] for each in ALL} | {"basicAuth"} == set(KINDS)


def asked_by(world):
    return [call.access_key_id for call in world.sandbox.calls.all("GetAuthorizationToken")]


@pytest.mark.parametrize("kind", ALL)
def test_it_asks_as_itself_and_through_roles_as_the_last_of_them(world, kind):
    identity = world.identity(kind)
    assert world.pull(identity) == OWNER.get(kind, "operator")
    assert [world.pull(identity, hops) for hops in (1, 2)] == ["acr-pull"] * 2
    if kind in ASKING:
        world.assert_nobody_was_the_node("")


@pytest.mark.parametrize("kind", ALL)
def test_a_second_pull_asks_nobody(world, kind):
    identity = world.identity(kind)
    token = world.cluster.token("team-a", "app")
    world.pull(identity, 1, token=token)
    before = world.sandbox.calls.counts()
    world.pull(identity, 1, token=token)
    assert world.sandbox.calls.counts() == before


@pytest.mark.parametrize("kind", KEYS_IN_FILES)
def test_what_changes_in_its_files_counts_at_the_next_pull(world, kind):
    world.pull(world.identity(kind))
    first = asked_by(world)
    time.sleep(0.01)  # a file that is written twice within a tick of the kernel's clock has one time for both
    world.pull(world.identity(kind))
    assert len(asked_by(world)) == 2
    assert asked_by(world)[1] not in first


@pytest.mark.parametrize("kind", BY_TOKEN)
def test_a_renewed_token_of_the_same_service_account_needs_no_new_session(world, kind):
    for life in (600.0, 3600.0):
        token = world.cluster.token("team-a", "app", life=life)
        identity = world.identity(kind)
        if kind == "rrsa":
            world.file("rrsa-token", token)
        world.pull(identity, token=token)
    assert world.sandbox.calls.count("AssumeRoleWithOIDC") == 1


@pytest.mark.parametrize("kind", BY_TOKEN)
def test_a_token_that_has_ended_gets_nothing_and_asks_nobody(world, kind):
    identity = world.identity(kind)
    ended = world.cluster.token("team-a", "app", life=-5)
    if kind == "rrsa":
        world.file("rrsa-token", ended)
    with pytest.raises(CredentialProviderError, match="expired"):
        world.pull(identity, token=ended)
    assert world.sandbox.calls.counts() == {}


@pytest.mark.parametrize("kind", ["stsSession", "managedRole", "nodeRole"])
def test_a_session_that_has_ended_is_told_and_its_successor_is_used(world, kind):
    identity = world.identity(kind)
    world.sandbox.faults.add("GetAuthorizationToken", Failure(400, "InvalidSecurityToken.Expired", "no"), times=1)
    with pytest.raises(CredentialProviderError, match=r"InvalidSecurityToken\.Expired"):
        world.pull(identity)
    time.sleep(0.01)
    if kind == "nodeRole":  # no file of its own changes with it, so the failure holds for its few seconds
        world.forget_failures()
    assert world.pull(world.identity(kind)) == OWNER[kind]
    assert len(set(asked_by(world))) == 2


@pytest.mark.parametrize("kind", ALL)
def test_a_cloud_that_hangs_on_any_call_of_its_way_costs_the_deadline_and_no_more(world, kind):
    calls = ["AssumeRole", "GetAuthorizationToken", *(["AssumeRoleWithOIDC"] if kind in BY_TOKEN else [])]
    calls += ["metadata.credentials"] if kind == "nodeRole" else []
    for call in calls:
        identity = world.identity(kind)
        world.sandbox.faults.add(call, Hang())
        began = time.monotonic()
        with pytest.raises(CredentialProviderError):
            world.pull(identity, 1, seconds=1.5)
        assert time.monotonic() - began < 12.0, call  # a slow machine; the hang itself is for ever
        world.sandbox.faults.clear()
        world.forget()


@pytest.mark.parametrize("kind", ALL)
def test_no_failure_of_its_way_shows_a_key_or_a_token(world, kind):
    token = world.cluster.token("team-a", "app")
    calls = ["AssumeRole", "GetAuthorizationToken"]
    calls.append("metadata.credentials" if kind == "nodeRole" else "AssumeRoleWithOIDC")
    for call in calls:
        for fault in (Echo(), Html(page="<p>log in</p>"), Raw(body="{}"), Failure(403, "NoPermission", "no")):
            world.forget()
            identity = world.identity(kind)
            world.sandbox.faults.add(call, fault)
            if call == "AssumeRoleWithOIDC" and kind not in BY_TOKEN:
                world.pull(identity, 1, token=token)  # it does not pass by there
            else:
                with pytest.raises(CredentialProviderError) as caught:
                    world.pull(identity, 1, token=token)
                error = caught.value
                texts = [error.problem, error.remedy, repr(error), json.dumps(vars(error), default=repr)]
                texts += [each.read_text(errors="replace") for each in world.cache.rglob("*.failed")]
                secrets = {*world.sandbox.state.secrets(), *token.split(".")}
                assert not [secret for secret in secrets if any(secret in text for text in texts)], (call, fault)
                assert error.__cause__ is None
            world.sandbox.faults.clear()
