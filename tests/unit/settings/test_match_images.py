"""The kubelet's patterns for settings: whatever the settings cover by name is asked about."""

import json
from pathlib import Path

import pytest
import yaml
from acr_credential_provider.kubelet.go_syntax import why_no_url
from acr_credential_provider.kubelet.image_match import explain_mismatch
from acr_credential_provider.model.acr_hosts import recognise
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.settings import ProviderSettings
from acr_credential_provider.settings.match_images import match_images
from acr_credential_provider.settings.registry_matching import candidates
from hypothesis import given
from hypothesis import strategies as st
from support import markdown
from support.judged import validate

NODE = {"kind": "nodeRole"}
ACCOUNT = {"kind": "serviceAccount", "oidcProviderArn": "acs:ram::1234567890123456:oidc-provider/ack-rrsa-c1"}
LOGIN = {"kind": "basicAuth", "usernameFile": "/u", "passwordFile": "/p"}
ENTERPRISE, P2P = "*.*.cr.aliyuncs.com", "*.distributed.*.cr.aliyuncs.com:65001"
SHARED = [f"registry{network}.*.aliyuncs.com" for network in ("", "-vpc", "-internal", "-intl", "-intl-vpc")]


def settings(*registries):
    document = {
        "apiVersion": "aliyun-acr-credential-provider/v1",
        "kind": "ProviderSettings",
        "registries": [{"identity": NODE, **each} for each in registries],
    }
    judged = validate(json.dumps(document))
    assert isinstance(judged, ProviderSettings), judged
    return judged


def patterns(*registries):
    return list(match_images(settings(*registries)).node)


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ({"instanceId": "cri-1"}, [ENTERPRISE, P2P]),
        ({"instanceId": "cri-1", "region": "cn-hangzhou"}, [ENTERPRISE, P2P]),
        ({"instanceId": "cri-1", "domains": ["demo-registry.cn-hangzhou.cr.aliyuncs.com"]}, [ENTERPRISE]),
        (
            {"instanceId": "cri-1", "domains": ["demo-registry-vpc.distributed.cn-hangzhou.cr.aliyuncs.com:65001"]},
            [P2P],
        ),
        (
            {"instanceId": "cri-1", "domains": ["b.example.com:5000", "a.example.com"]},
            ["a.example.com", "b.example.com:5000"],
        ),
        ({}, sorted(SHARED)),
        ({"domains": ["registry-intl-vpc.ap-southeast-1.aliyuncs.com"]}, ["registry-intl-vpc.*.aliyuncs.com"]),
        (
            {"domains": ["crpi-a1.cn-hangzhou.personal.cr.aliyuncs.com"], "identity": LOGIN},
            ["*.*.personal.cr.aliyuncs.com"],
        ),
    ],
)
def test_each_form_of_host_has_one_pattern_and_others_stand_by_name(registry, expected):
    assert patterns(registry) == expected


def test_another_registry_of_a_known_form_changes_nothing_so_that_no_kubelet_must_restart():
    first = {"instanceId": "cri-1", "domains": ["a-registry.cn-hangzhou.cr.aliyuncs.com"]}
    second = {"instanceId": "cri-2", "domains": ["b-registry.us-west-1.cr.aliyuncs.com"]}
    assert patterns(first) == patterns(second, first) == patterns(first, second) == [ENTERPRISE]


def account(*hosts, **changes):
    return {"instanceId": "cri-9", "domains": list(hosts), "identity": {**ACCOUNT, **changes}}


def test_hosts_of_service_accounts_are_a_list_apart_by_name_and_the_other_list_is_narrow():
    team = "team-registry.cn-hangzhou.cr.aliyuncs.com"
    found = match_images(
        settings(
            account(team, "t.example.com"),
            {"instanceId": "cri-1", "domains": ["demo-registry.cn-hangzhou.cr.aliyuncs.com"]},
            {"instanceId": "cri-2", "region": "us-west-1"},
            {"region": "cn-beijing"},
        )
    )
    assert found.token == ("t.example.com", team)
    assert found.node == (
        "*.distributed.us-west-1.cr.aliyuncs.com:65001",
        "*.us-west-1.cr.aliyuncs.com",
        "demo-registry.cn-hangzhou.cr.aliyuncs.com",
        *sorted(f"registry{each}.cn-beijing.aliyuncs.com" for each in ("", "-vpc", "-internal", "-intl", "-intl-vpc")),
    )
    assert not found.notes
    assert found.to_dict()["tokenMode"]["tokenAttributes"] == {
        "serviceAccountTokenAudience": "sts.aliyuncs.com",
        "cacheType": "ServiceAccount",
        "requireServiceAccount": True,
        "optionalServiceAccountAnnotationKeys": ["pod-identity.alibabacloud.com/role-name"],
    }


def test_static_pods_are_asked_about_where_the_node_role_answers_for_them():
    assert match_images(settings(account("t.example.com", staticPods="nodeRole"))).requires_account is False
    assert match_images(settings(account("t.example.com", withoutRole="nodeRole"))).requires_account is True


def test_a_pattern_that_matches_a_service_accounts_host_too_is_told():
    team = "team-registry.cn-hangzhou.cr.aliyuncs.com"
    (note,) = match_images(settings(account(team), {"instanceId": "cri-2"})).notes
    assert team in note
    assert ENTERPRISE in note


@pytest.mark.parametrize(
    ("registries", "words", "remedy"),
    [
        ([{"instanceId": "cri-9", "identity": ACCOUNT}], "registries[0].domains", "Add domains"),
        (
            [account("a.example.com"), {**account("b.example.com", audience="other"), "instanceId": "cri-8"}],
            "2 audiences",
            "the same audience",
        ),
        (
            [account("team-registry.cn-hangzhou.cr.aliyuncs.com", staticPods="nodeRole"), {"instanceId": "cri-2"}],
            "every pod would get the node's login",
            "staticPods: deny",
        ),
    ],
)
def test_what_patterns_cannot_say_is_an_error_with_a_remedy(registries, words, remedy):
    with pytest.raises(ConfigurationError) as caught:
        match_images(settings(*registries))
    assert words in caught.value.problem
    assert remedy in caught.value.remedy


def test_hosts_of_unreadable_entries_are_asked_about_so_that_somebody_learns_of_them():
    judged = settings({"instanceId": "cri-1", "domains": ["a.example.com"]})
    partly = judged._replace(quarantined_hosts=("lost.example.com",), personal_quarantined=True)
    assert match_images(partly).node == (*sorted(SHARED), "a.example.com", "lost.example.com")


def test_the_guides_have_the_patterns_of_their_own_settings_and_those_of_all_forms():
    guides = Path(__file__).resolve().parents[3] / "docs/install"
    blocks = [
        block.text
        for name in ("README.md", "by-hand.md")
        for block in markdown.blocks((guides / name).read_text(), "yaml")
    ]
    ours = next(block for block in blocks if "ProviderSettings" in block)
    config = next(yaml.safe_load(block) for block in blocks if "CredentialProviderConfig" in block)
    more = next(yaml.safe_load(block) for block in blocks if block.startswith("matchImages"))
    found = list(match_images(validate(ours)).node)
    assert config["providers"][0]["matchImages"] == found
    every = patterns(
        {},
        {"instanceId": "cri-1"},
        {"domains": ["crpi-a1.cn-hangzhou.personal.cr.aliyuncs.com"], "identity": LOGIN},
    )
    assert sorted([ENTERPRISE, *more["matchImages"]]) == sorted(every)


REGIONS = st.sampled_from(["cn-hangzhou", "us-west-1", "cn-shanghai-finance-1", "rus-west-1"])
NAMES = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
FORMS = st.one_of(
    st.builds("{}-registry.{}.cr.aliyuncs.com".format, NAMES, REGIONS),
    st.builds("{}-registry-vpc.{}.cr.aliyuncs.com".format, NAMES, REGIONS),
    st.builds("{}-registry-vpc.distributed.{}.cr.aliyuncs.com:65001".format, NAMES, REGIONS),
    st.builds(
        "registry{}.{}.aliyuncs.com".format, st.sampled_from(["", "-vpc", "-internal", "-intl", "-intl-vpc"]), REGIONS
    ),
    st.builds("crpi-{}.{}.personal.cr.aliyuncs.com".format, NAMES, REGIONS),
    st.builds("{}.example.com".format, NAMES),
    st.builds("{}.example.com:{}".format, NAMES, st.integers(1, 65535)),
    st.builds("10.0.0.{}:5000".format, st.integers(0, 255)),
)


@st.composite
def registries(draw):
    registry = {"identity": draw(st.sampled_from([NODE, ACCOUNT, LOGIN]))}
    if draw(st.booleans()):
        registry["instanceId"] = f"cri-{draw(NAMES)}"
    if draw(st.booleans()):
        registry["domains"] = draw(st.lists(FORMS, min_size=1, max_size=3, unique=True))
    if draw(st.booleans()):
        registry["region"] = draw(REGIONS)
    return registry


@given(entries=st.lists(registries(), min_size=1, max_size=4), hosts=st.lists(FORMS, max_size=6))
def test_every_host_that_the_settings_cover_by_name_is_asked_about(entries, hosts):
    judged = validate(
        json.dumps(
            {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings", "registries": entries}
        )
    )
    if not isinstance(judged, ProviderSettings):
        return
    try:
        found = match_images(judged)
    except ConfigurationError:
        return
    assert not any(map(why_no_url, (*found.node, *found.token)))
    for host in {*hosts, *(host for each in judged.registries for host in each.domains)}:
        system = recognise(host)
        for registry in candidates(f"{host}/team", judged.registries):
            is_named = host in registry.domains
            in_region = system is not None and registry.region in (None, system.region)
            if is_named or in_region:
                list_ = found.token if registry.identity.kind == "serviceAccount" else found.node
                assert any(not explain_mismatch(pattern, f"{host}/team/app") for pattern in list_), (host, list_)
