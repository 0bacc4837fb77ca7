"""What an acr-configuration means to the controller: whom it is for, who asks, the webhook; and what an edit may do."""

import json

import pytest
from acr_credential_provider.pull_secrets.configuration import ABSENT, role_of, succeed, text_of, understood
from acr_credential_provider.pull_secrets.objects import Namespace, ServiceAccount
from acr_credential_provider.pull_secrets.selection import selects_account, selects_namespace, system_namespaces
from acr_credential_provider.settings import PullSecrets

INFO = "- instanceId: cri-shop\n  regionId: cn-hangzhou\n"
OTHER = "- instanceId: cri-other\n  regionId: cn-hangzhou\n"


def configuration(role="nodeRole", info=INFO, **data):
    words = {name.replace("_", "-"): value for name, value in data.items()}
    return understood(text_of({"acr-registry-info": info, **words}), role=role, keys_directory="/keys")


def kinds(judged):
    return [each.identity.kind for each in judged.settings.registries]


@pytest.mark.parametrize(
    ("mode", "created", "kind"),
    [
        ("auto", "2023-04-02T23:59:59Z", "nodeRole"),
        ("auto", "2023-04-03T00:00:00Z", "managedRole"),
        ("auto", "2026-01-01T00:00:00Z", "managedRole"),
        ("workerRole", "2026-01-01T00:00:00Z", "nodeRole"),
        ("managedRole", "2019-01-01T00:00:00Z", "managedRole"),
    ],
)
def test_token_mode_says_who_asks_and_auto_goes_by_the_clusters_birth(mode, created, kind):
    assert kinds(configuration(role=role_of(mode, created))) == [kind]


def test_another_accounts_role_is_assumed_by_the_worker_role_whatever_the_mode():
    role = "acs:ram::1234567890123456:role/pull"
    judged = configuration(role="managedRole", info=INFO + f"  assumeRoleARN: {role}\n" + OTHER)
    assert kinds(judged) == ["nodeRole", "managedRole"]


@pytest.mark.parametrize(
    ("accounts", "meant", "others"),
    [
        (None, ["default"], ["build"]),
        ("Default", ["default"], ["build"]),
        ("default, build", ["default", "build"], ["robot"]),
        ("*", ["default", "anything"], []),
    ],
)
def test_service_account_is_a_list_of_names_or_a_star(accounts, meant, others):
    wanted = configuration(**({"service_account": accounts} if accounts else {})).wanted
    chosen = [each for each in [*meant, *others] if selects_account(wanted, ServiceAccount("team", each))]
    assert chosen == meant


@pytest.mark.parametrize(
    ("namespaces", "meant", "others", "system"),
    [
        (None, ["default"], ["team", "kube-system"], []),
        ("team,shop", ["team", "shop"], ["default"], []),
        ("all", ["default", "team", "kube-system"], [], ["kube-system", "kube-public", "kube-node-lease"]),
    ],
)
def test_watch_namespace_is_a_list_of_names_or_all_and_system_namespaces_are_told(namespaces, meant, others, system):
    judged = configuration(**({"watch_namespace": namespaces} if namespaces else {}))
    chosen = [each for each in [*meant, *others] if selects_namespace(judged.wanted, Namespace(each))]
    assert chosen == meant
    assert system_namespaces(judged.wanted) == system
    assert any("system namespaces" in each for each in judged.notes) == bool(system)


def test_a_star_of_accounts_reaches_no_namespace_that_is_not_watched():
    wanted = configuration(service_account="*", watch_namespace="team").wanted
    assert not selects_namespace(wanted, Namespace("other"))


def test_the_webhook_is_what_the_three_keys_say_and_off_without_them():
    assert not configuration().wanted.webhook.enabled
    text = "enable: true\nfailure-policy: Fail\ntimeout-seconds: 15\n"
    webhook = configuration(webhook_configuration=text).wanted.webhook
    assert (webhook.enabled, webhook.failure_policy, webhook.timeout_seconds) == (True, "Fail", 15)
    usual = configuration(webhook_configuration="enable: true").wanted.webhook
    assert (usual.enabled, usual.failure_policy, usual.timeout_seconds) == (True, "Ignore", 10)


def test_the_threshold_of_the_file_is_when_each_entry_is_renewed():
    judged = configuration(info=INFO + OTHER, expiring_threshold="20m")
    assert [each.refresh_before for each in judged.settings.registries] == [1200.0, 1200.0]
    assert [each.refresh_before for each in configuration().settings.registries] == [900.0]


def test_the_secrets_name_begins_as_the_helpers_does():
    assert configuration().wanted.secret_name.startswith("acr-credential")
    assert PullSecrets().secret_name == configuration().wanted.secret_name


def test_the_managed_editions_parameters_mean_the_same():
    parameters = {
        "AcrInstanceInfo": [{"InstanceId": "cri-shop", "RegionId": "cn-hangzhou"}],
        "watchNamespace": "team",
        "serviceAccount": "Default",
        "expiringThreshold": "20m",
    }
    judged = understood(json.dumps(parameters), role="nodeRole", keys_directory="/keys")
    (registry,) = judged.settings.registries
    assert (registry.instance_id, registry.region, registry.refresh_before) == ("cri-shop", "cn-hangzhou", 1200.0)
    assert judged.wanted.namespaces == ("team",)
    assert judged.wanted.service_accounts == ("default",)


def test_an_edit_into_garbage_leaves_what_held_and_a_repair_holds():
    def follow(held, text):
        return succeed(held, text, role="nodeRole", keys_directory="/keys")

    good, better = text_of({"acr-registry-info": INFO}), text_of({"acr-registry-info": INFO + OTHER})
    held = follow(ABSENT, good)
    broken = follow(held, text_of({"acr-registry-info": "- instanceId: [\n"}))
    assert (held.outcome, broken.outcome) == ("loaded", "kept")
    assert broken.settings == held.settings
    assert broken.problems
    assert all(each.remedy for each in broken.problems)
    assert len(follow(broken, better).settings.registries) == 2
    assert follow(held, None).settings == held.settings
    assert follow(ABSENT, None).settings is None
