"""A namespace that asks for an instance, by ECI's annotation, gets that one's logins and no others."""

import json
from base64 import b64encode

import pytest
from acr_credential_provider.pull_secrets.model.content import Content, EntryLogins
from acr_credential_provider.pull_secrets.model.desired_state import DesiredState, desired
from acr_credential_provider.pull_secrets.model.eci_annotations import INSTANCES, ONE_INSTANCE
from acr_credential_provider.pull_secrets.model.names import SWITCH
from acr_credential_provider.pull_secrets.model.namespace_requests import content_for, unmet
from acr_credential_provider.pull_secrets.model.objects import Namespace, ServiceAccount
from acr_credential_provider.pull_secrets.model.plan import ChangeAccount, CreateSecret, Observed, plan
from acr_credential_provider.settings.pull_secrets import PullSecrets

SHOP = EntryLogins("cri-shop", "cn-hangzhou", (("shop.example", "u", "CANARYSECRET"),))
LAB = EntryLogins("cri-lab", "cn-beijing", (("lab.example", "u", "p"),))
PERSONAL = EntryLogins("", "cn-hangzhou", (("registry.cn-hangzhou.aliyuncs.com", "u", "p"),))
ENTRIES = (SHOP, LAB, PERSONAL)
EVERYTHING = Content.of(b"everything")


def asking(value, name="team", key=INSTANCES, **more):
    return Namespace(name, annotations={key: value}, **more)


def content(namespace, wanted=None, entries=ENTRIES):
    return content_for(namespace, wanted or PullSecrets(), EVERYTHING, entries)


def hosts(namespace, **more):
    found = content(namespace, **more)
    return found and sorted(json.loads(found.content)["auths"])


@pytest.mark.parametrize("key", [ONE_INSTANCE, INSTANCES])
def test_a_namespace_gets_the_instance_that_it_asks_for_and_no_other(key):
    assert hosts(asking("cri-shop", key=key)) == ["shop.example"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("cn-beijing:cri-lab", ["lab.example"]),
        ("cri-lab", ["lab.example"]),
        ("cn-hangzhou:cri-lab", None),
        ("cri-lab,cri-shop", ["lab.example", "shop.example"]),
        ("cri-shop,cri-unknown", ["shop.example"]),
        ("cri-unknown", None),
        ("", None),
        ("*", None),
    ],
)
def test_only_instances_of_the_settings_can_be_asked_for(value, expected):
    assert hosts(asking(value)) == expected


def test_a_namespace_that_the_settings_mean_has_everything_whatever_it_asks_for():
    assert content(asking("cri-shop", name="default")) == EVERYTHING


def test_who_asks_for_nothing_gets_nothing():
    assert content(Namespace("team")) is None


@pytest.mark.parametrize(
    ("namespace", "wanted"),
    [
        (asking("cri-shop", labels={SWITCH: "disabled"}), {}),
        (asking("cri-shop", name="kube-system"), {}),
        (asking("cri-shop"), {"excludedNamespaces": ["team"]}),
    ],
    ids=["switched off", "a system namespace", "excluded"],
)
def test_asking_does_not_help_who_is_left_out(namespace, wanted):
    assert content(namespace, PullSecrets.model_validate(wanted)) is None


def test_while_no_token_lives_the_secret_stays_and_is_emptied():
    silent = EntryLogins("cri-shop", "", ())
    assert hosts(asking("cn-hangzhou:cri-shop"), entries=(silent,)) == []


def test_the_namespaces_secret_and_its_account_follow_the_request():
    snapshot = DesiredState(PullSecrets(), EVERYTHING, ENTRIES, frozenset(), frozenset(), is_blocked=False)
    observed = Observed("team", {}, [ServiceAccount("team", "default"), ServiceAccount("team", "build")])
    create, change = plan(observed, desired(snapshot, content(asking("cri-shop")), observed))
    assert isinstance(create, CreateSecret)
    auth = b64encode(b"u:CANARYSECRET").decode()
    assert json.loads(create.content) == {"auths": {"shop.example": {"auth": auth}}}
    assert isinstance(change, ChangeAccount)
    assert change.name == "default"
    assert plan(observed, desired(snapshot, content(Namespace("team")), observed)) == []
    assert "CANARYSECRET" not in repr((snapshot, create))


def test_requests_that_come_to_nothing_are_told_without_their_odd_text():
    problems = unmet(asking("cri-shop,cri-unknown,<cri-instanceId>"), PullSecrets(), ENTRIES)
    assert problems == [
        "k8s.aliyun.com/acr-instance-ids, item 3, is not cri-... or REGION:cri-...",
        "cri-unknown is not an instance of the configuration",
    ]
    assert unmet(asking("cri-shop"), PullSecrets(), ENTRIES) == []
    assert unmet(asking("cri-unknown", name="kube-system"), PullSecrets(), ENTRIES) == []
