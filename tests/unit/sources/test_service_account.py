import time

import pytest
from acr_credential_provider.model.errors import (
    IdentityUnavailableError,
    RoleRefusedError,
    ServiceAccountTokenRefusedError,
)
from acr_credential_provider.settings.runtime import RoleRule
from acr_credential_provider.sources.node_role import NodeRoleSource
from acr_credential_provider.sources.service_account import ServiceAccountSource
from unit.cloud.safety import CANARY
from unit.sources.contract import SourceContract
from unit.sources.stage import ISSUER, NODE, PROVIDER, FakeCloud, find, request, token


def source(cloud=None, **changes):
    return ServiceAccountSource(cloud or FakeCloud(), **{"provider_arn": PROVIDER, **changes})


def rule(*patterns, role):
    return RoleRule(patterns, role)


class TestServiceAccount(SourceContract):
    @pytest.fixture
    def asked(self):
        return request(token(note=CANARY))

    @pytest.fixture
    def working(self):
        return source()

    @pytest.fixture
    def failing(self):
        refused = RoleRefusedError("refused", remedy="trust it")
        return [
            source(FakeCloud(refused)),
            source(provider_arn="acs:ram::1111:oidc-provider/ack-rrsa-cother"),
            source(issuer="https://another"),
            source(audience="another"),
            source(clock=lambda: time.time() + 7200),
        ]


def test_without_a_pull_it_does_not_apply():
    assert find(source()) is None
    assert source().principal(None) is None


@pytest.mark.parametrize(
    ("rules", "annotation", "role"),
    [
        ((), "mine", "mine"),
        ((rule("team/app", role="ours"),), "mine", "ours"),
        ((rule("other/*", role="theirs"), rule("*/app", role="ours")), None, "ours"),
        ((rule("team/*", role="first"), rule("team/app", role="second")), None, "first"),
        ((rule("team/ap", role="prefix"), rule("*team/app?", role="odd")), "mine", "mine"),
    ],
)
def test_the_first_rule_that_fits_names_the_role_else_the_annotation(rules, annotation, role):
    cloud = FakeCloud()
    find(source(cloud, rules=rules), request(token(), role=annotation))
    assert [wanted.arn for wanted, _ in cloud.service.asked] == [f"acs:ram::1111:role/{role}"]


@pytest.mark.parametrize(
    ("asked", "own", "others"),
    [(request(), "static_pods", "without_role"), (request(token(), role=None), "without_role", "static_pods")],
    ids=["no token", "no role"],
)
def test_who_has_no_role_is_refused_unless_the_settings_give_the_nodes_to_just_those(asked, own, others):
    node = NodeRoleSource(FakeCloud())
    for strict in (source(), source(node=node, **{others: True})):
        with pytest.raises(IdentityUnavailableError, match=r"no RAM role|no ServiceAccount token"):
            find(strict, asked)
    lenient = source(node=node, **{own: True})
    assert find(lenient, asked) is NODE
    assert lenient.principal(asked).key == node.principal(None).key


def test_a_wrong_token_is_refused_even_where_no_token_would_do():
    node = NodeRoleSource(FakeCloud())
    lenient = source(node=node, without_role=True, static_pods=True)
    for asked in (request(token(aud=["else"]), role=None), request("e30.e30.c2ln", role=None)):
        with pytest.raises(ServiceAccountTokenRefusedError):
            lenient.principal(asked)


def test_everything_that_tells_identities_apart_is_in_the_key():
    keys = {
        source(**changes).principal(request(token(**claims), role=role)).key
        for changes, claims, role in [
            ({}, {}, "pull"),
            ({}, {"uid": "u-2"}, "pull"),
            ({}, {"namespace": "other"}, "pull"),
            ({}, {"name": "other"}, "pull"),
            ({}, {}, "other"),
            ({"provider_arn": PROVIDER.replace("1111", "2222")}, {}, "pull"),
            ({"provider_arn": "acs:ram::1111:oidc-provider/mine"}, {"iss": "https://mine"}, "pull"),
            ({"seconds": 7200}, {}, "pull"),
        ]
    }
    assert len(keys) == 8
    assert source().principal(request(token(jti="1"))) == source().principal(request(token(jti="2")))


def test_an_issuer_that_the_settings_name_must_be_the_tokens_own():
    custom = source(provider_arn="acs:ram::1111:oidc-provider/mine", issuer="https://mine")
    assert find(custom, request(token(iss="https://mine")))
    with pytest.raises(ServiceAccountTokenRefusedError, match="another cluster"):
        find(custom, request(token(iss="https://mine.example")))
    assert find(source(issuer=ISSUER), request(token()))
