"""An identity that was asked for and refused never becomes another one: every kind, each call of its way, each failure.

The node has a role that may do everything, and a metadata service that would give it to
anyone: what is asserted is that nobody even looks.
"""

import itertools
import os
import random

import pytest
from sandbox.faults import Echo, Failure, Hang, Html, NotSuccess, Raw, Redirect, Reset, Throttle
from sandbox.server import PROVIDER_ARN
from sandbox.state import Role
from support import guide
from support.identity_world import ALL, ASKING, NOBODYS, OWNER, World

pytestmark = pytest.mark.filterwarnings("ignore:.*:SyntaxWarning")  # the official packages' own

FULL = bool(os.environ.get("REFUSED_FULL"))
"""Whether each way is tried, also those that hang; else 30 for each kind, drawn anew for each."""
CALLS = ("AssumeRoleWithOIDC", "AssumeRole", "GetAuthorizationToken")
FAULTS = (
    Failure(403, "NoPermission", "no"),
    Failure(404, "EntityNotExist.Role", "no"),
    Failure(400, "InvalidSecurityToken.Expired", "no"),
    Failure(503),
    Throttle(retry_after_ms=60_000),
    Html(),
    Echo(),
    NotSuccess(),
    Raw(body="{}"),
    Redirect("https://127.0.0.9/"),
    Reset("request"),
    *((Hang("body", seconds=1.5),) if FULL else ()),
)
WAYS = list(itertools.product(CALLS, FAULTS, (0, 1, 2)))


@pytest.fixture
def world(sandbox, tmp_path):
    return World(sandbox, tmp_path)


@pytest.mark.parametrize("kind", ASKING)
def test_a_failing_call_on_its_way_never_ends_as_the_node(world, kind):
    refused = 0
    assert world.ask(world.identity(kind), 1) == "acr-pull", "it works as long as nothing fails"
    for call, fault, hops in random.Random(kind).sample(WAYS, len(WAYS) if FULL else 30):
        identity = world.identity(kind)
        world.sandbox.faults.add(call, fault)
        found = world.ask(identity, hops)
        world.sandbox.faults.clear()
        world.assert_nobody_was_the_node(found)
        refused += found is None
    assert refused > 8
    assert world.ask(world.identity(kind), 0), "and again when nothing fails any more"


@pytest.mark.parametrize("kind", ALL)
def test_a_chain_with_a_failing_hop_never_ends_as_who_began_it(world, kind):
    assert world.ask(world.identity(kind), 0) == OWNER.get(kind, "operator"), "who began it may ask as well"
    for fault, hops in itertools.product(FAULTS, (1, 2) if FULL else (1,)):
        identity = world.identity(kind)
        world.sandbox.faults.add("AssumeRole", fault)
        asked = world.sandbox.calls.count("GetAuthorizationToken")
        assert world.ask(identity, hops) is None, fault
        assert world.sandbox.calls.count("GetAuthorizationToken") == asked, fault
        world.sandbox.faults.clear()


SPOILT = {
    "its files are gone": lambda world: [each.unlink() for each in world.folder.rglob("*") if each.is_file()],
    "its files are empty": lambda world: [each.write_bytes(b"") for each in world.folder.rglob("*") if each.is_file()],
    "its key was removed": lambda world: [world.sandbox.state.remove_key(each) for each in world.keys],
    "its provider is not registered": lambda world: world.sandbox.state.remove_oidc_provider(PROVIDER_ARN),
    "its role trusts nobody": lambda world: world.sandbox.state.add_role(
        Role("pull-team-a", guide.with_subjects(guide.policies()["trust-service-account"], "no/body"))
    ),
    "its role may nothing": lambda world: world.sandbox.state.add_role(
        Role("pull-team-a", guide.policies()["trust-service-account"], policies=(NOBODYS,))
    ),
}
OF_FILES = {"accessKey", "stsSession", "rrsa", "managedRole", "addonSecret", "profile"}
OF_KEYS = OF_FILES - {"rrsa"}
OF_TOKENS = {"serviceAccount", "serviceAccount+nodeRole", "rrsa"}


@pytest.mark.parametrize("hops", [0, 1])
@pytest.mark.parametrize("kind", ASKING)
def test_an_identity_that_is_spoilt_never_ends_as_the_node(sandbox, tmp_path, kind, hops):
    for name, spoil in SPOILT.items():
        concerned = OF_FILES if "files" in name else OF_KEYS if "key" in name else OF_TOKENS
        if kind not in concerned:
            continue
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        world = World(sandbox, folder)
        identity = world.identity(kind)
        spoil(world)
        found = world.ask(identity, hops)
        world.assert_nobody_was_the_node(found)
        assert found is None, name


@pytest.mark.parametrize("kind", ["serviceAccount", "serviceAccount+nodeRole"])
def test_a_bad_token_or_annotation_never_ends_as_the_node(world, kind):
    good = world.cluster.token("team-a", "app")
    tokens = [
        world.cluster.token("team-a", "app", life=-5),
        world.cluster.token("team-a", "app", audience="another"),
        world.cluster.token("team-b", "app"),
        good[:-9],
        good.rpartition(".")[0] + ".",
        "no.token.at-all",
        " ",
    ]
    for token in tokens:
        found = world.ask(world.identity(kind), 0, token=token)
        world.assert_nobody_was_the_node(found)
        assert found is None
    for role in ("", "absent", "acs:ram::9876543210987654:role/x", "pull-team-a\n", "x" * 70_000):
        found = world.ask(world.identity(kind), 0, role=role)
        world.assert_nobody_was_the_node(found)
        assert found is None
