"""What an acr-configuration means to the controller: whom it is for, who asks, the webhook; and what an edit may do."""

import json

import pytest
from acr_credential_provider.pull_secrets.config.configuration import ABSENT, next_config, parse, role_of, text_of
from acr_credential_provider.pull_secrets.config.loss import InCluster
from acr_credential_provider.pull_secrets.config.options import Options
from acr_credential_provider.pull_secrets.model.objects import Namespace, ServiceAccount
from acr_credential_provider.pull_secrets.model.selection import selects_account, selects_namespace, system_namespaces
from acr_credential_provider.settings.pull_secrets import PullSecrets

INFO = "- instanceId: cri-shop\n  regionId: cn-hangzhou\n"
OTHER = "- instanceId: cri-other\n  regionId: cn-hangzhou\n"


def configuration(role="nodeRole", info=INFO, **data):
    words = {name.replace("_", "-"): value for name, value in data.items()}
    return parse(text_of({"acr-registry-info": info, **words}), role=role, keys_directory="/keys", origin=None)


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
    wanted = configuration(**({"service_account": accounts} if accounts else {})).spec
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
    chosen = [each for each in [*meant, *others] if selects_namespace(judged.spec, Namespace(each))]
    assert chosen == meant
    assert system_namespaces(judged.spec) == system
    assert any("system namespaces" in each for each in judged.notes) == bool(system)


def test_a_star_of_accounts_reaches_no_namespace_that_is_not_watched():
    wanted = configuration(service_account="*", watch_namespace="team").spec
    assert not selects_namespace(wanted, Namespace("other"))


def test_the_webhook_is_what_the_three_keys_say_and_off_without_them():
    assert configuration().spec.admission.mode == "none"
    text = "enable: true\nfailure-policy: Fail\ntimeout-seconds: 15\n"
    admission = configuration(webhook_configuration=text).spec.admission
    assert (admission.mode, admission.failure_policy, admission.timeout_seconds) == ("auto", "Fail", 15)
    usual = configuration(webhook_configuration="enable: true").spec.admission
    assert (usual.mode, usual.failure_policy, usual.timeout_seconds) == ("auto", "Ignore", 10)


def test_the_threshold_of_the_file_is_when_each_entry_is_renewed():
    judged = configuration(info=INFO + OTHER, expiring_threshold="20m")
    assert [each.refresh_before for each in judged.settings.registries] == [1200.0, 1200.0]
    assert [each.refresh_before for each in configuration().settings.registries] == [900.0]


def test_the_secrets_name_begins_as_the_helpers_does():
    assert configuration().spec.secret_name.startswith("acr-credential")
    assert PullSecrets().secret_name == configuration().spec.secret_name


def test_the_managed_editions_parameters_mean_the_same():
    parameters = {
        "AcrInstanceInfo": [{"InstanceId": "cri-shop", "RegionId": "cn-hangzhou"}],
        "watchNamespace": "team",
        "serviceAccount": "Default",
        "expiringThreshold": "20m",
    }
    judged = parse(json.dumps(parameters), role="nodeRole", keys_directory="/keys", origin=None)
    (registry,) = judged.settings.registries
    assert (registry.instance_id, registry.region, registry.refresh_before) == ("cri-shop", "cn-hangzhou", 1200.0)
    assert judged.spec.namespaces == ("team",)
    assert judged.spec.service_accounts == ("default",)


def test_an_edit_into_garbage_leaves_what_held_and_a_repair_holds():
    def follow(held, text):
        return next_config(held, text, role="nodeRole", keys_directory="/keys", origin=None)

    good, better = text_of({"acr-registry-info": INFO}), text_of({"acr-registry-info": INFO + OTHER})
    held = follow(ABSENT, good)
    broken = follow(held, text_of({"acr-registry-info": "- instanceId: [\n"}))
    assert (held.outcome, broken.outcome) == ("loaded", "last_good")
    assert broken.settings == held.settings
    assert broken.problems
    assert all(each.remedy for each in broken.problems)
    assert len(follow(broken, better).settings.registries) == 2
    assert follow(held, None).settings == held.settings
    assert follow(ABSENT, None).settings is None


HEAD = "apiVersion: aliyun-acr-credential-provider/v1\nkind: ProviderSettings\n"
ENTRY = "{instanceId: cri-shop, region: cn-hangzhou, identity: {kind: nodeRole}}"
GOOD = text_of({"acr-registry-info": INFO})


def follow(held, text, **more):
    return next_config(held, text, role="nodeRole", keys_directory="/keys", origin=None, **more)


@pytest.mark.parametrize(
    "text",
    [
        text_of({}),
        text_of({"watch-namespace": "team"}),
        text_of({"acr-registry-info": ""}),
        text_of({"acr-registry-info": "# none yet\n"}),
        text_of({"acr-registry-info": "null"}),
        text_of({"acr-registry-info": "- {}\n"}),
        text_of({"acr-registry-info": '- instanceId: ""\n  regionId: ""\n'}),
        f"{HEAD}registries: [{{identity: {{kind: nodeRole}}}}]\n",
        f"{HEAD}registries: []\n",
        "",
        text_of({"settings.yaml": "# emptied\n"}),
        text_of({"acr-registry-info": "- instanceId: 5/x\n  regionId: cn-hangzhou\n"}),
    ],
)
@pytest.mark.parametrize("before", [GOOD, f"{HEAD}registries: [{ENTRY}]\n"], ids=["acr-configuration", "native"])
def test_an_edit_that_names_no_instance_any_more_leaves_what_held(before, text):
    held = follow(ABSENT, before)
    edited = follow(held, text)
    assert (held.outcome, edited.outcome) == ("loaded", "last_good")
    assert edited.settings == held.settings
    assert edited.text == before
    assert all(each.remedy for each in edited.problems)


def test_what_an_empty_list_would_take_away_and_how_to_take_it_away_is_told():
    held = follow(ABSENT, text_of({"acr-registry-info": INFO + OTHER}))
    (problem,) = follow(held, text_of({})).problems
    assert "cri-shop in cn-hangzhou, cri-other in cn-hangzhou" in problem.problem
    assert "kubectl acr uninstall" in problem.remedy


def test_an_empty_list_means_the_personal_edition_at_a_first_start_and_stays_so():
    first = follow(ABSENT, text_of({"acr-registry-info": ""}))
    assert [each.instance_id for each in first.settings.registries] == [""]
    again = follow(first, text_of({"acr-registry-info": "", "watch-namespace": "team"}))
    assert (first.outcome, again.outcome) == ("loaded", "loaded")
    assert again.parsed.spec.namespaces == ("team",)


def test_the_personal_edition_is_taken_in_the_place_of_instances_where_its_region_is_named():
    after = follow(follow(ABSENT, GOOD), text_of({"acr-registry-info": '- instanceId: ""\n  regionId: cn-beijing\n'}))
    assert after.outcome == "loaded"
    assert after.loss.is_all


def test_an_edit_is_judged_by_the_working_entries_that_it_breaks_not_by_how_many_problems_it_has():
    broken = "- instanceId: 5/x\n  regionId: cn-hangzhou\n"
    held = follow(
        follow(ABSENT, text_of({"acr-registry-info": broken + INFO})), text_of({"acr-registry-info": broken + INFO})
    )
    assert held.outcome == "partial"
    worse = follow(held, text_of({"acr-registry-info": OTHER + "- instanceId: cri-shop\n  regionId: 7\n"}))
    assert worse.outcome == "last_good"
    assert any("cri-shop in cn-hangzhou" in each.problem for each in worse.problems)
    # What was broken before and still is keeps no entry from being taken out on purpose.
    fewer = follow(
        follow(held, text_of({"acr-registry-info": broken + INFO + OTHER})),
        text_of({"acr-registry-info": broken + OTHER}),
    )
    assert [each.instance_id for each in fewer.settings.registries] == ["cri-other"]


@pytest.mark.parametrize(
    ("key", "is_kept"),
    [("acr-registry-info", True), ("settings.yaml", True), ("watchNamespace", True), ("logo.png", False)],
)
def test_a_key_of_ours_that_is_no_text_is_told_and_leaves_what_held(key, is_kept):
    held = follow(ABSENT, GOOD)
    after = follow(held, GOOD.replace("cri-shop", "cri-new"), hidden=(key,))
    assert (after.outcome == "last_good") == is_kept
    assert bool(after.problems) == is_kept
    if is_kept:
        assert after.settings == held.settings
        assert "UTF-8" in str(after.problems[0])
        assert follow(ABSENT, text_of({}), hidden=(key,)).settings is None


@pytest.mark.parametrize(
    "section",
    [
        '{namespaces: ["tema-*"]}',
        "{namespaces: []}",
        '{namespaces: ["*"], excludedNamespaces: ["*"]}',
        '{namespaces: ["*"], namespaceSelector: {matchLabels: {pull: arc}}}',
    ],
)
def test_an_edit_that_means_no_namespace_any_more_leaves_what_held_until_there_is_one(section):
    here = [Namespace("team-a"), Namespace("team-b", labels={"pull": "acr"})]
    text = f"{HEAD}registries: [{ENTRY}]\npullSecrets: "
    held = follow(ABSENT, text + '{namespaces: ["team-*"]}\n', cluster=InCluster(here, []))
    after = follow(held, text + section, cluster=InCluster(here, []))
    assert (after.outcome, after.settings) == ("last_good", held.settings)
    assert "team-a, team-b" in after.problems[-1].problem
    assert after.may_pass
    later = [*here, Namespace("tema-c"), Namespace("default"), Namespace("team-d", labels={"pull": "arc"})]
    if "excluded" not in section:
        assert follow(after, text + section, cluster=InCluster(later, [])).outcome == "loaded"


def test_namespaces_that_ask_for_an_instance_themselves_are_meant_too():
    asking = Namespace("team-a", annotations={"k8s.aliyun.com/acr-instance-ids": "cn-hangzhou:cri-shop"})
    text = f"{HEAD}registries: [{ENTRY}]\npullSecrets: "
    held = follow(ABSENT, text + '{namespaces: ["team-*"]}\n', cluster=InCluster([asking], []))
    assert follow(held, text + '{namespaces: ["none"]}\n', cluster=InCluster([asking], [])).outcome == "loaded"


LOGIN = (
    "{domains: [crpi-a1b2.cn-hangzhou.personal.cr.aliyuncs.com], identity: {kind: basicAuth, "
    "usernameFile: /etc/hostname, passwordFile: /var/run/secrets/kubernetes.io/serviceaccount/token}}"
)


def test_a_config_map_has_no_file_of_the_pods_handed_out_and_keeps_what_is_in_force():
    def edit(held, text, options):
        return next_config(held, text, role="nodeRole", keys_directory="/keys", origin=options.origin)

    text = text_of({"settings.yaml": f"{HEAD}registries: [{LOGIN}]\n"})
    good = text_of({"settings.yaml": f"{HEAD}registries: [{ENTRY}]\n"})
    config_map = Options("kube-system")
    held = edit(ABSENT, good, config_map)
    refused = edit(held, text, config_map)
    assert (refused.outcome, refused.settings) == ("last_good", held.settings)
    assert all("credentials folder" in str(problem) for problem in refused.problems)
    assert edit(ABSENT, text, config_map).settings is None
    from_file = edit(ABSENT, text, Options("kube-system", settings_file="/settings.yaml"))
    assert from_file.settings is not None


class Broken:
    """An origin whose judge fails, as a mistake of the program's own would."""

    def judge(self, *_words):
        raise OverflowError


@pytest.mark.parametrize("good", [GOOD, f"{HEAD}registries: [{ENTRY}]\n"], ids=["acr-configuration", "native"])
def test_a_text_that_this_program_fails_to_read_leaves_what_was_before(good):
    held = follow(ABSENT, good)
    after = next_config(held, good, role="nodeRole", keys_directory="/keys", origin=Broken())
    assert (after.outcome, after.settings) == ("last_good", held.settings)
    assert "OverflowError" in str(after.problems[0])


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "registries: [" + "x," * 60_000 + "]\n",
        HEAD + "".join(f"key-{number}: 1\n" for number in range(60_000)),
        text_of({"acr-registry-info": "- x\n" * 60_000}),
    ],
    ids=["items", "keys", "entries"],
)
def test_a_text_with_more_values_than_settings_need_is_refused_as_a_whole(text):
    after = follow(follow(ABSENT, GOOD), text)
    assert after.outcome == "last_good"
    assert [each.problem for each in after.problems] == ["has more values than any settings need"]
