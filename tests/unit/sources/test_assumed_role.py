import pytest
from acr_credential_provider.model.errors import RoleRefusedError
from acr_credential_provider.sources.access_key import AccessKeySource
from acr_credential_provider.sources.assumed_role import AssumedRoleSource
from acr_credential_provider.sources.node_role import NodeRoleSource
from acr_credential_provider.sources.service_account import ServiceAccountSource
from unit.sources.contract import SourceContract
from unit.sources.stage import NO, PROVIDER, FakeCloud, find, request, token

B = "acs:ram::2222:role/b"


def node(error=None):
    return NodeRoleSource(FakeCloud(metadata_error=error))


class TestAssumedRole(SourceContract):
    @pytest.fixture
    def working(self):
        return AssumedRoleSource(FakeCloud(), node(), B, external_id="x1")

    @pytest.fixture
    def failing(self):
        cloud = FakeCloud()
        return [
            AssumedRoleSource(FakeCloud(RoleRefusedError("refused", remedy="trust it")), node(), B),
            AssumedRoleSource(cloud, node(NO), B),
            AssumedRoleSource(cloud, AssumedRoleSource(cloud, node(NO), B), B),
        ]

    @pytest.fixture
    def silent(self):
        return [AssumedRoleSource(FakeCloud(), ServiceAccountSource(FakeCloud(), PROVIDER), B)]


def test_each_hop_is_asked_for_with_the_session_of_the_one_before():
    cloud = FakeCloud()
    chain = AssumedRoleSource(cloud, AssumedRoleSource(cloud, node(), "acs:ram::1111:role/a"), B, seconds=7200)
    assert find(chain).expires_in == 7200
    assert [(wanted.arn, caller) for wanted, caller in cloud.service.asked] == [
        ("acs:ram::1111:role/a", "STS.node"),
        (B, "STS.acs:ram::1111:role/a"),
    ]


def test_a_kept_session_spares_the_hops_before_it():
    cloud = FakeCloud()
    find(AssumedRoleSource(cloud, node(), B))
    find(AssumedRoleSource(cloud, node(NO), B))
    assert len(cloud.service.asked) == 1


def test_what_makes_another_session_makes_another_key():
    def key(**changes):
        return AssumedRoleSource(FakeCloud(), node(), **{"arn": B, **changes}).principal(None).key

    changes = [{}, {"arn": "acs:ram::3333:role/b"}, {"seconds": 7200}, {"policy": "{}"}, {"external_id": "xy"}]
    assert len({key(**each) for each in changes}) == len(changes)


def test_the_session_is_named_after_the_first_identity():
    cloud = FakeCloud()
    chain = AssumedRoleSource(cloud, ServiceAccountSource(cloud, PROVIDER), B)
    find(chain, request(token()))
    assert [wanted.session_name for wanted, _ in cloud.service.asked] == ["acr-sa-team.app"] * 2


def test_a_key_that_was_replaced_in_its_files_uses_no_session_of_the_old_one(tmp_path):
    cloud = FakeCloud()
    paths = [tmp_path / name for name in ("id", "secret")]
    for turn in ("old", "newer"):
        for path in paths:
            path.write_text(turn)
            path.chmod(0o600)
        find(AssumedRoleSource(cloud, AccessKeySource(*map(str, paths)), B))
    assert [caller for _, caller in cloud.service.asked] == ["old", "newer"]
