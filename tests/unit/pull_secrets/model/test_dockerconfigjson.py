import base64
import json

import pytest
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.pull_secrets.model.dockerconfigjson import (
    EMPTY,
    LARGEST,
    docker_config,
    has_logins,
    places,
)
from hypothesis import given
from hypothesis import strategies as st
from support.judged import from_document

ROLE = {"kind": "nodeRole"}


def registry(**fields):
    document = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings"}
    return from_document({**document, "registries": [{"identity": ROLE, **fields}]}).registries[0]


def keys(*, listed=(), region="cn-hangzhou", **fields):
    return places(registry(**fields), region=region, listed=listed)


def test_domains_of_the_settings_are_all_there_is():
    hosts = ["demo-registry.cn-hangzhou.cr.aliyuncs.com", "images.example.com"]
    assert keys(instanceId="cri-1", domains=hosts, listed=["else.example.com"]) == hosts


def test_without_domains_it_is_what_acr_lists_and_the_agents_door_beside_the_vpcs():
    listed = [
        "demo-registry.cn-hangzhou.cr.aliyuncs.com",
        "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
        "images.example.com",
    ]
    assert keys(instanceId="cri-1", listed=listed) == [
        "demo-registry.cn-hangzhou.cr.aliyuncs.com",
        "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
        "demo-registry-vpc.distributed.cn-hangzhou.cr.aliyuncs.com:65001",
        "images.example.com",
    ]


def test_the_personal_edition_has_the_shared_hosts_of_its_region():
    assert keys(region="cn-beijing")[:2] == ["registry.cn-beijing.aliyuncs.com", "registry-vpc.cn-beijing.aliyuncs.com"]


def test_two_accounts_on_a_shared_host_have_a_path_each():
    hosts = keys(domains=["registry.cn-hangzhou.aliyuncs.com"], namespaces=["team", "base"])
    assert hosts == [
        "registry.cn-hangzhou.aliyuncs.com/team/",
        "registry.cn-hangzhou.aliyuncs.com/base/",
    ]


LOGINS = st.lists(
    st.tuples(st.from_regex(r"[a-z]{1,5}\.example(/[a-z]{1,3}/)?", fullmatch=True), st.text("abc"), st.text("xyz"))
)


@given(LOGINS, st.randoms())
def test_the_same_logins_make_the_same_bytes_whatever_their_order(logins, random):
    logins = list({place: (place, user, password) for place, user, password in logins}.values())
    mixed = list(logins)
    random.shuffle(mixed)
    assert docker_config(logins) == docker_config(mixed)


@given(LOGINS)
def test_each_place_has_one_login_the_first_one(logins):
    first = {}
    for place, user, password in logins:
        first.setdefault(place, f"{user}:{password}")
    auths = json.loads(docker_config(logins))["auths"]
    assert {place: base64.b64decode(entry["auth"]).decode() for place, entry in auths.items()} == first


def test_nothing_is_nothing():
    assert docker_config([]) == EMPTY
    assert not has_logins(EMPTY)
    assert has_logins(docker_config([("a", "b", "c")]))


def test_more_than_a_secret_holds_is_an_error_that_says_what_to_do():
    logins = [(f"host-{number}.example", "user", "x" * 1000) for number in range(800)]
    with pytest.raises(ConfigurationError, match=f"would have 1[0-9]{{6}} bytes; a Secret holds {LARGEST}") as refusal:
        docker_config(logins)
    assert "domains" in refusal.value.remedy
    assert "xxx" not in str(refusal.value)
