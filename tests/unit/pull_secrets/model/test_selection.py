import pytest
from acr_credential_provider.pull_secrets.model.names import SWITCH
from acr_credential_provider.pull_secrets.model.objects import Namespace, ServiceAccount
from acr_credential_provider.pull_secrets.model.selection import selects_account, selects_namespace, system_namespaces
from acr_credential_provider.settings.pull_secrets import PullSecrets


def wanted(**fields):
    return PullSecrets.model_validate(fields)


def account(name="default", **more):
    return ServiceAccount("team", name, **more)


def test_without_a_word_it_is_the_default_account_of_the_default_namespace():
    assert selects_namespace(wanted(), Namespace("default"))
    assert not selects_namespace(wanted(), Namespace("team"))
    assert selects_account(wanted(), account())
    assert not selects_account(wanted(), account("build"))


def test_a_star_is_every_account_of_the_namespaces_that_are_meant_and_of_no_other():
    settings = wanted(serviceAccounts=["*"], namespaces=["team"])
    assert selects_account(settings, account("anything"))
    assert not selects_namespace(settings, Namespace("other"))


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [("team-*", "team-a", True), ("team-*", "teams", False), ("*-dev", "a-dev", True), ("a.b", "axb", False)],
)
def test_a_star_stands_for_any_part_of_a_name(pattern, name, fits):
    assert selects_namespace(wanted(namespaces=[pattern]), Namespace(name)) is fits


def test_all_namespaces_leave_out_the_system_unless_the_settings_take_it_in():
    assert not selects_namespace(wanted(namespaces=["*"]), Namespace("kube-system"))
    everywhere = wanted(namespaces=["*"], excludedNamespaces=[])
    assert selects_namespace(everywhere, Namespace("kube-system"))
    assert system_namespaces(everywhere) == ["kube-system", "kube-public", "kube-node-lease"]
    assert system_namespaces(wanted(namespaces=["kube-system", "team"], excludedNamespaces=[])) == ["kube-system"]
    assert system_namespaces(wanted(namespaces=["*"])) == []


@pytest.mark.parametrize("where", ["labels", "annotations"])
def test_whoever_says_disabled_is_left_alone(where):
    mark = {where: {SWITCH: "disabled"}}
    settings = wanted(namespaces=["*"], serviceAccounts=["*"])
    assert not selects_namespace(settings, Namespace("team", **mark))
    assert not selects_account(settings, account(**mark))


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ({"matchLabels": {"pull": "acr"}}, True),
        ({"matchLabels": {"pull": "other"}}, False),
        ({"matchAnnotations": {"owner": "me"}}, True),
        ({"matchAnnotations": {"owner": "you"}}, False),
        ({"matchExpressions": [{"key": "pull", "operator": "In", "values": ["acr", "x"]}]}, True),
        ({"matchExpressions": [{"key": "pull", "operator": "NotIn", "values": ["acr"]}]}, False),
        ({"matchExpressions": [{"key": "absent", "operator": "NotIn", "values": ["acr"]}]}, True),
        ({"matchExpressions": [{"key": "pull", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "pull", "operator": "DoesNotExist"}]}, False),
        ({}, True),
    ],
)
def test_selectors_mean_what_they_mean_in_kubernetes(selector, fits):
    marks = {"labels": {"pull": "acr"}, "annotations": {"owner": "me"}}
    settings = wanted(namespaceSelector=selector, serviceAccountSelector=selector)
    assert selects_namespace(settings, Namespace("any", **marks)) is fits
    assert selects_account(settings, account("any", **marks)) is fits


def test_names_and_selector_must_both_fit():
    settings = wanted(namespaces=["team"], namespaceSelector={"matchLabels": {"pull": "acr"}})
    assert not selects_namespace(settings, Namespace("team"))
    assert not selects_namespace(settings, Namespace("other", labels={"pull": "acr"}))
    assert selects_namespace(settings, Namespace("team", labels={"pull": "acr"}))
