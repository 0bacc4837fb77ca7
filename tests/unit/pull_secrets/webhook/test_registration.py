"""What the API server is told to ask us: as little as possible, and nothing that could keep a cluster from working."""

import kubernetes_validate
import pytest
from acr_credential_provider.pull_secrets.webhook.registration import (
    ServiceReference,
    differs,
    is_ours,
    manifest,
    timeout_of,
    trusts,
    warnings_about,
)
from acr_credential_provider.settings.pull_secrets import Admission, LabelRequirement, PullSecrets, Selector

HERE = ServiceReference("kube-system", "acr-hook")
PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
OTHER = PEM.replace(b"MIIB", b"MIIC")


USUAL = Admission(mode="webhook")
FAIL = Admission(mode="webhook", failurePolicy="Fail")


def spec(admission=USUAL, **more):
    return PullSecrets(admission=admission, **more)


def hook(admission=USUAL, where=HERE, authorities=PEM, **more):
    return manifest(spec(admission, **more), where, authorities)["webhooks"][0]


LABELS = Selector(matchLabels={"team": "a"}, matchExpressions=[LabelRequirement(key="tier", operator="Exists")])


@pytest.mark.parametrize("version", [f"1.{minor}" for minor in range(28, 38)])
@pytest.mark.parametrize("more", [{}, {"admission": FAIL, "namespaceSelector": LABELS, "serviceAccounts": ["robot-*"]}])
def test_it_is_valid_for_every_supported_kubernetes(version, more):
    kubernetes_validate.validate(manifest(spec(**more), HERE, PEM), version, strict=True)


def test_fail_concerns_those_alone_whom_the_settings_select():
    first, second = manifest(spec(FAIL, namespaces=["team-*", "ops"]), HERE, PEM)["webhooks"]
    assert (first["failurePolicy"], second["failurePolicy"]) == ("Fail", "Ignore")
    assert first["name"] != second["name"]
    namespaces, accounts = first["matchConditions"]
    assert namespaces["expression"] == 'request.namespace in ["ops"] || request.namespace.matches("^(team\\\\-.*)$")'
    assert accounts["expression"] == '!has(request.name) || request.name == "" || request.name in ["default"]'
    (other,) = second["matchConditions"]
    assert other["expression"] == f"!(({namespaces['expression']}) && ({accounts['expression']}))"


def test_fail_for_all_namespaces_and_accounts_is_one_webhook():
    (only,) = manifest(spec(FAIL, namespaces=["*"], serviceAccounts=["*"]), HERE, PEM)["webhooks"]
    assert "matchConditions" not in only


def test_labels_are_judged_by_kubernetes_own_selectors():
    first, second = manifest(
        spec(FAIL, namespaceSelector=LABELS, serviceAccounts=["*"], serviceAccountSelector=LABELS), HERE, PEM
    )["webhooks"]
    for field in ("namespaceSelector", "objectSelector"):
        assert first[field]["matchLabels"] == {"team": "a"}
        assert {"key": "tier", "operator": "Exists"} in first[field]["matchExpressions"]
        assert "matchLabels" not in second[field]
    # Who has not the labels may be asked for by annotation, so all are asked about.
    assert "matchConditions" not in first
    assert "matchConditions" not in second


def test_under_ignore_one_webhook_asks_about_all():
    (only,) = manifest(spec(namespaces=["team-*"], namespaceSelector=LABELS), HERE, PEM)["webhooks"]
    assert "matchConditions" not in only
    assert "matchLabels" not in only["namespaceSelector"]


def test_only_creations_of_service_accounts_are_asked_about():
    rules = hook()["rules"]
    assert [(rule["operations"], rule["resources"], rule["apiGroups"]) for rule in rules] == [
        (["CREATE"], ["serviceaccounts"], [""])
    ]


@pytest.mark.parametrize(("own", "excluded"), [("kube-system", ["kube-system"]), ("acr", ["acr", "kube-system"])])
def test_kube_system_and_our_own_namespace_are_never_asked_about(own, excluded):
    found = hook(where=ServiceReference(own, "acr-hook"), excludedNamespaces=[])
    terms = found["namespaceSelector"]["matchExpressions"]
    assert {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": excluded} in terms


def test_namespaces_that_settings_exclude_by_name_are_not_asked_about_either():
    found = hook(excludedNamespaces=["kube-public", "ops-*"])
    (names, _) = found["namespaceSelector"]["matchExpressions"]
    assert names["values"] == ["kube-public", "kube-system"]


def test_who_opted_out_by_label_is_not_asked_about():
    term = {"key": "aliyun-acr-credential-provider/pull-secrets", "operator": "NotIn", "values": ["disabled"]}
    assert term in hook()["namespaceSelector"]["matchExpressions"]
    assert hook()["objectSelector"] == {"matchExpressions": [term]}


def test_by_default_a_webhook_that_is_down_stops_nothing():
    assert hook()["failurePolicy"] == "Ignore"
    assert warnings_about(Admission(mode="webhook")) == []


def test_fail_is_carried_out_and_warned_about():
    assert hook(FAIL)["failurePolicy"] == "Fail"
    assert "no ServiceAccount that the settings select can be created" in warnings_about(FAIL)[0]


@pytest.mark.parametrize(("asked", "told"), [(1, 1), (10, 10), (15, 10), (30, 10)])
def test_a_longer_wait_than_ten_seconds_is_capped_and_warned_about(asked, told):
    webhook = Admission(mode="webhook", timeoutSeconds=asked)
    assert timeout_of(webhook) == told == hook(webhook)["timeoutSeconds"]
    assert bool(warnings_about(webhook)) is (asked > 10)


def test_what_the_api_server_keeps_of_it_is_no_difference():
    wanted = manifest(spec(), HERE, PEM)
    kept = {**wanted, "metadata": {**wanted["metadata"], "uid": "1", "generation": 3}}
    assert not differs(kept, wanted)
    assert differs(manifest(spec(), HERE, OTHER), wanted)


def test_another_owners_configuration_of_our_name_is_known_as_such():
    assert is_ours(manifest(spec(), HERE, PEM))
    assert not is_ours({"metadata": {"name": "x", "labels": None}})


def test_an_authority_is_trusted_only_when_every_webhook_there_has_it():
    assert trusts(manifest(spec(), HERE, PEM + OTHER), OTHER)
    assert not trusts(manifest(spec(), HERE, PEM), OTHER)
    assert not trusts(None, PEM)
    assert not trusts({"webhooks": []}, PEM)
