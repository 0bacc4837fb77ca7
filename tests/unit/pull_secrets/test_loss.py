"""What an edit of the configuration takes away: from which namespaces and ServiceAccounts, and how much of it all."""

import json

import pytest
from acr_credential_provider.pull_secrets.config.configuration import ABSENT, next_config, text_of
from acr_credential_provider.pull_secrets.config.loss import InCluster
from acr_credential_provider.pull_secrets.model.objects import Namespace, ServiceAccount

SPACES = ["app", "team-a", "team-b"]
ASKING = Namespace("asks", annotations={"k8s.aliyun.com/acr-instance-ids": "cn-hangzhou:cri-two"})
CLUSTER = InCluster(
    [*(Namespace(name) for name in SPACES), ASKING],
    [ServiceAccount(space, name) for space in SPACES for name in ("default", "build")],
)
LOGIN = "crpi-a1b2.cn-hangzhou.personal.cr.aliyuncs.com"
OTHER = LOGIN.replace("a1b2", "b2c3")


def entry(instance, **more):
    return {"instanceId": instance, "region": "cn-hangzhou", "identity": {"kind": "nodeRole"}, **more}


def user(*domains):
    folder = "/etc/aliyun-acr-credential-provider/credentials"
    files = {"usernameFile": f"{folder}/user", "passwordFile": f"{folder}/password"}
    return {"domains": list(domains), "identity": {"kind": "basicAuth", **files}}


BOTH = [entry("cri-one"), entry("cri-two")]
ALL = {"namespaces": ["*"], "serviceAccounts": ["*"]}


def text(registries=BOTH, **pull_secrets):
    head = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings"}
    return json.dumps({**head, "registries": registries, "pullSecrets": {**ALL, **pull_secrets}})


def follow(held, new):
    return next_config(held, new, role="nodeRole", keys_directory="/keys", origin=None, cluster=CLUSTER)


def edited(before, after):
    held = follow(ABSENT, before)
    assert held.outcome == "loaded", held.problems
    return follow(held, after)


@pytest.mark.parametrize(
    ("before", "after", "extent", "lines"),
    [
        (text(), text(), "none", []),
        (text(), text([*BOTH, entry("cri-new")]), "none", []),
        (text([entry("cri-one")]), text(), "none", []),
        (
            text(),
            text([entry("cri-two")], namespaces=["app"]),
            "some",
            [
                "in app: the login of cri-one in cn-hangzhou",
                "in team-a: the login of cri-one in cn-hangzhou",
                "in team-b: the login of cri-one in cn-hangzhou",
                "in asks: the login of cri-one in cn-hangzhou",
                "in team-a: logins that the settings keep for others",
                "in team-b: logins that the settings keep for others",
            ],
        ),
        (
            text(namespaces=["app"]),
            text([entry("cri-one")], namespaces=["app"]),
            "some",
            ["in app: the", "in asks: the"],
        ),
        (text(), text(namespaces=["*"], excludedNamespaces=["team-*"]), "some", ["in team-a: logins", "in team-b: "]),
        (
            text(),
            text(serviceAccounts=["default"]),
            "some",
            [f"in {space}: the entry of ServiceAccount build" for space in SPACES],
        ),
        (text(), text([entry("cri-new")]), "all", None),
        (text(namespaces=["team-*"]), text(namespaces=["app"]), "all", None),
        (text(serviceAccounts=["default"]), text(serviceAccounts=["build"]), "all", None),
        (text([entry("cri-one"), user(LOGIN, OTHER)]), text([entry("cri-one"), user(LOGIN)]), "some", None),
        (text([user(LOGIN)]), text([user(OTHER)]), "all", None),
        (text([entry("cri-one", domains=["a.example.com"])]), text([entry("cri-one")]), "some", None),
    ],
)
def test_what_an_edit_takes_away_and_how_much_that_is(before, after, extent, lines):
    active = edited(before, after)
    assert active.outcome == "loaded", active.problems
    assert active.loss.extent == extent
    assert bool(str(active.loss)) == (extent != "none")
    if lines is not None:
        found = sorted(active.loss.lines())
        assert len(found) == len(lines)
        assert all(line.startswith(start) for line, start in zip(found, sorted(lines), strict=True)), found


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (text(serviceAccounts=["defualt"]), "none of the ServiceAccounts"),
        (text(serviceAccountSelector={"matchLabels": {"a": "b"}}), "none of the ServiceAccounts"),
        (text(excludedNamespaces=["*"]), "none of the namespaces"),
        (text([*BOTH[1:], {"instanceId": 5}]), "something is newly broken"),
    ],
)
def test_a_mistake_takes_nothing_away_and_says_what_it_would_have(after, why):
    active = edited(text(), after)
    assert active.outcome == "last_good"
    assert active.text == text()
    assert any(why in str(problem) and "it would take away" in str(problem) for problem in active.problems)
    assert active.loss.extent != "none"


def test_an_edit_that_breaks_something_and_takes_something_else_away_is_a_mistake_however_many_problems_it_has():
    """It has as many problems as before, and no entry of it is gone."""
    before = follow(ABSENT, text([*BOTH, {"instanceId": 5}]))
    assert before.outcome == "partial"
    broken = {"instanceId": "cri-new", "region": 7, "identity": {"kind": "nodeRole"}}
    after = follow(before, text([*BOTH, broken], namespaces=["app"]))
    assert len(after.problems) - 1 <= len(before.problems)
    assert (after.outcome, after.settings) == ("last_good", before.settings)
    assert "the logins in 3 namespaces (asks, team-a, team-b)" in str(after.problems[-1])


def test_a_native_edit_and_one_of_an_acr_configuration_are_judged_alike():
    info = "- instanceId: cri-one\n  regionId: cn-hangzhou\n- instanceId: cri-two\n  regionId: cn-hangzhou\n"
    helper = {"watch-namespace": "all", "service-account": "*"}
    fewer = text_of({"acr-registry-info": info[: info.index("- ", 2)], **helper})
    losses = [
        edited(before, after).loss
        for before, after in (
            (text_of({"acr-registry-info": info, **helper}), fewer),
            (text(), text([entry("cri-one")])),
            (text(), fewer),
        )
    ]
    assert all(loss == losses[0] for loss in losses)
    assert losses[0].to_dict()["logins"] == [
        {"name": "cri-two in cn-hangzhou", "namespaces": ["app", "asks", "team-a", "team-b"]}
    ]
