"""An instance is in one region and of one account: whoever asks elsewhere is told so, whatever its kind."""

from dataclasses import replace

import pytest
from acr_credential_provider.model.errors import RegistryRefusedError
from acr_credential_provider.settings import KINDS
from support import guide
from support.identity_world import ALL, World

pytestmark = pytest.mark.filterwarnings("ignore:.*:SyntaxWarning")  # the official packages' own


def test_every_kind_that_asks_is_among_them():
    assert {each.partition("+")[0] for each in ALL} | {"basicAuth"} == set(KINDS)


@pytest.fixture
def world(sandbox, tmp_path):
    return World(sandbox, tmp_path)


def put(world, **where):
    """Have the instance elsewhere than the settings say: in another *region*, or of another *account*."""
    world.sandbox.state.add_instance(replace(world.sandbox.instance, **where))


def told(world, identity, hops=0):
    with pytest.raises(RegistryRefusedError) as caught:
        world.pull(identity, hops)
    return caught.value


def assert_told(error, call, region):
    assert error.problem.startswith(f"{call} for cri-sandbox000000001 was refused (INSTANCE_NOT_EXIST, HTTP 200, ")
    assert error.problem.endswith(f" in {region}: there is no such instance")
    assert "Correct instanceId or region" in error.remedy
    assert "assumeRole" in error.remedy


def assert_asked_as_itself(world, kind):
    """Whoever was refused was refused as itself: nobody tried it as the node in its place."""
    if kind != "nodeRole":
        world.assert_nobody_was_the_node("")


@pytest.mark.parametrize("hops", [0, 1, 2])
@pytest.mark.parametrize("kind", ALL)
def test_the_wrong_region_is_told_and_the_right_one_cures_it(world, kind, hops):
    put(world, region="cn-beijing")
    assert_told(told(world, world.identity(kind), hops), "GetAuthorizationToken", "cn-hangzhou")
    assert_asked_as_itself(world, kind)
    world.registry = {"region": "cn-beijing", "endpoints": {"acr": world.sandbox.acr("cn-beijing")}}
    assert world.pull(world.identity(kind), hops), "settings that changed are tried at once"


@pytest.mark.parametrize("kind", ALL)
def test_the_wrong_account_is_told_and_a_role_of_the_right_one_cures_it(world, kind):
    put(world, account=guide.ACCOUNT_B)
    assert_told(told(world, world.identity(kind)), "GetAuthorizationToken", "cn-hangzhou")
    assert_told(told(world, world.identity(kind), 1), "GetAuthorizationToken", "cn-hangzhou")
    assert_asked_as_itself(world, kind)
    world.second = world.sandbox.state.add_role(replace(world.second, account=guide.ACCOUNT_B))
    assert world.pull(world.identity(kind), 1) == "acr-pull"


@pytest.mark.parametrize("where", [{"region": "cn-beijing"}, {"account": guide.ACCOUNT_B}], ids=["region", "account"])
@pytest.mark.parametrize("kind", ALL)
def test_where_hosts_have_to_be_asked_for_the_same_is_told(world, kind, where):
    put(world, **where)
    world.registry = {"domains": None}
    world.image = "sandbox-registry.cn-hangzhou.cr.aliyuncs.com/team/app"
    assert_told(told(world, world.identity(kind)), "ListInstanceEndpoint", "cn-hangzhou")
    assert_asked_as_itself(world, kind)
    assert world.sandbox.calls.count("GetAuthorizationToken") == 0
