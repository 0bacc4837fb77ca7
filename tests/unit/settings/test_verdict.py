"""One judgement: a slip costs the part that it is in, hosts speak where settings are silent, all mistakes at once."""

import json
import time

import pytest
from acr_credential_provider.commands.cli import main
from acr_credential_provider.settings.registry_matching import match
from acr_credential_provider.settings.verdict import judge

HEAD = "apiVersion: aliyun-acr-credential-provider/v1\nkind: ProviderSettings\n"
SHOP = "- instanceId: cri-shop\n  domains: [images.example.com]\n  identity: {kind: nodeRole}\n"
OTHER = "- instanceId: cri-other\n  domains: [other.example.com]\n  identity: {kind: nodeRole}\n"
ROLE = {"kind": "nodeRole"}


def native(*registries, **more):
    document = {
        "apiVersion": "aliyun-acr-credential-provider/v1",
        "kind": "ProviderSettings",
        "registries": [{"identity": ROLE, **each} for each in registries],
    }
    return json.dumps(document | more, indent=1)


def entries(text, **how):
    settings = judge(text, **how).settings
    return [registry.source for registry in settings.registries] if settings else []


def problems(text, **how):
    return [(problem.field, problem.problem, problem.remedy) for problem in judge(text, **how).problems]


class Nowhere:
    """A node in cn-hangzhou that knows of no instance's hosts."""

    def region_of(self, registry):
        return registry.region or "cn-hangzhou"

    def known(self, _registry):
        return None


def instance_for(text, scope):
    settings = judge(text).settings
    found = match(scope, settings, Nowhere(), path="/s", retry_after=1.0).registry
    return found and (found.instance_id or "personal", found.region)


BREAKS = {
    "a tab": "\tregion: cn-hangzhou\n",
    "an open bracket": "  namespaces: [a\n",
    "an open quote": '  region: "cn-hangzhou\n',
    "an unknown key": "  regionId: cn-hangzhou\n",
    "a wrong value": "  region: hangzhou\n",
    "a key twice": "  instanceId: cri-b\n",
    "a tag": "  region: !!python/name:os.system\n",
    "an alias of nothing": "  region: *nothing\n",
    "a key that is a list": "  ? [a, b]\n  : c\n",
    "a date that does not exist": "  region: 2024-99-99\n",
    "a contradiction": "  namespaces: [team]\n",
    "another region's host": "  region: cn-beijing\n  endpoints: {acr: 'ftp://x'}\n",
}


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_broken_entry_of_native_settings_costs_itself_alone(how, where):
    broken = OTHER + BREAKS[how]
    text = HEAD + "registries:\n" + (broken + SHOP if where == "before" else SHOP + broken)
    verdict = judge(text)
    at = 0 if where == "before" else 1
    assert [registry.instance_id for registry in verdict.settings.registries] == ["cri-shop"]
    assert {problem.field.partition("]")[0] for problem in verdict.problems} == {f"registries[{at}"}
    assert "other.example.com" in verdict.settings.quarantined_hosts
    with pytest.raises(Exception, match=rf"registries\[{at}\]"):
        instance_for(text, "other.example.com")
    assert instance_for(text, "images.example.com") == ("cri-shop", None)


@pytest.mark.parametrize(
    "line",
    [
        "maxCacheDuration: 600",
        "maxCacheDuration: [",
        "log: loud",
        'log: "info',
        "notes: x",
        'notes: "x',
        "notes: [",
        "pullSecrets: {namespaces: 5}",
        "pullSecrets: [",
        "a line of nothing",
        "log:info",
    ],
)
def test_a_key_that_has_a_default_costs_no_entry(line):
    verdict = judge(HEAD + line + "\nregistries:\n" + SHOP)
    assert [registry.instance_id for registry in verdict.settings.registries] == ["cri-shop"]
    assert (verdict.settings.log, verdict.settings.max_cache_duration) == ("off", 300.0)
    assert verdict.settings.skipped == ()
    told = [*verdict.problems, *verdict.notes]
    assert len(told) == 1
    assert told[0].line == 3


@pytest.mark.parametrize(
    "line",
    [
        "proxy: {https: 'ftp://x'}",
        "proxy: [",
        "caBundle: ca.pem",
        "caBundle: {",
        "endpoints: {sts: 'http://sts.example.com'}",
        "apiVersion: x",
        "kind: Other",
    ],
)
def test_what_says_to_whom_credentials_are_sent_has_no_default(line):
    verdict = judge(HEAD + line + "\nregistries:\n" + SHOP)
    assert verdict.settings is None
    assert verdict.problems


def test_a_section_of_the_controller_that_is_wrong_is_a_note_on_a_node_and_closes_in_the_controller():
    text = native({"instanceId": "cri-a"}, pullSecrets={"namespaces": 5})
    assert judge(text).settings is not None
    assert problems(text) == []
    assert judge(text, place="controller").settings is None


@pytest.mark.parametrize(
    "text",
    [
        "---\n" + HEAD + "registries:\n" + SHOP + "---\n",
        "%YAML 1.1\n---\n" + HEAD + "registries:\n" + SHOP + "...\n",
        "kind: Deployment\nmetadata: {name: x}\n---\n" + HEAD + "registries:\n" + SHOP,
        "\ufeff" + HEAD + "registries:\n" + SHOP,
    ],
)
def test_native_settings_are_read_among_other_documents(text):
    assert entries(text) == ["registries[0]"]


def test_two_documents_of_settings_are_told():
    text = HEAD + "registries:\n" + SHOP
    ((_, problem, _),) = problems(f"{text}---\n{text}")
    assert "second document" in problem


# The host speaks.
@pytest.mark.parametrize(
    ("entry", "scope", "found"),
    [
        (
            {"domains": ["registry.cn-beijing.aliyuncs.com"]},
            "registry.cn-beijing.aliyuncs.com/team",
            ("personal", "cn-beijing"),
        ),
        (
            {"domains": ["registry-vpc.cn-shanghai-finance-1.aliyuncs.com"]},
            "registry-vpc.cn-shanghai-finance-1.aliyuncs.com/team",
            ("personal", "cn-shanghai-finance-1"),
        ),
        (
            {"instanceId": "cri-a", "domains": ["a-registry.cn-beijing.cr.aliyuncs.com", "images.example.com"]},
            "images.example.com",
            ("cri-a", "cn-beijing"),
        ),
        (
            {"instanceId": "cri-a", "domains": ["a-registry-vpc.distributed.us-west-1.cr.aliyuncs.com:65001"]},
            "a-registry-vpc.distributed.us-west-1.cr.aliyuncs.com:65001",
            ("cri-a", "us-west-1"),
        ),
        ({"instanceId": "cri-a", "domains": ["images.example.com"]}, "images.example.com", ("cri-a", None)),
    ],
)
def test_without_a_region_an_entry_is_in_that_of_its_domains(entry, scope, found):
    assert instance_for(native(entry), scope) == found


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"domains": ["registry.cn-a.aliyuncs.com", "registry.cn-b.aliyuncs.com"]}, "a domain above it in cn-a"),
        (
            {
                "instanceId": "cri-a",
                "domains": ["a-registry.cn-a.cr.aliyuncs.com", "a-registry-vpc.cn-b.cr.aliyuncs.com"],
            },
            "a domain above it in cn-a",
        ),
        (
            {"instanceId": "cri-a", "domains": ["a-registry.cn-a.cr.aliyuncs.com", "b-registry.cn-a.cr.aliyuncs.com"]},
            "is of the instance b, and a domain above it of a",
        ),
        (
            {"region": "cn-b", "domains": ["registry-intl.cn-a.aliyuncs.com"]},
            "is in cn-a, not in the registry's region",
        ),
        (
            {"domains": ["registry.cn-a.aliyuncs.com", "a-registry.cn-a.cr.aliyuncs.com"]},
            "belongs to an instance of the Enterprise Edition",
        ),
        (
            {"instanceId": "cri-a", "domains": ["a-registry.cn-a.cr.aliyuncs.com", "registry.cn-a.aliyuncs.com"]},
            "belongs to the Personal Edition",
        ),
    ],
)
def test_what_the_hosts_of_an_entry_say_must_go_together(entry, problem):
    ((field, told, _),) = problems(native(entry))
    assert problem in told
    assert field.startswith("registries[0].domains[")


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("demo-registry.oss-cn-hangzhou.aliyuncs.com", "demo-registry.cn-hangzhou.cr.aliyuncs.com"),
        ("demo.cn-hangzhou.cr.aliyuncs.com", "demo-registry.cn-hangzhou.cr.aliyuncs.com"),
        ("demo-chart.cn-hangzhou.cr.aliyuncs.com", "demo-registry.cn-hangzhou.cr.aliyuncs.com"),
        ("demo-registry-vpc.cn-hangzhou.aliyuncs.com", "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com"),
        ("demo-registry.cn-hangzhou.cr.aliyun.com", "demo-registry.cn-hangzhou.cr.aliyuncs.com"),
        ("demo-registry.cn-hangzhou.cr.aliyuncs.com:443", "has no port"),
        ("registry.cn-hangzhou.cr.aliyuncs.com", "registry.cn-hangzhou.aliyuncs.com"),
        ("registry-cn-hangzhou.ack.aliyuncs.com", "need no login"),
        ("cr.console.aliyun.com", "NAME-registry"),
        ("aliyuncs.com", "NAME-registry"),
    ],
)
@pytest.mark.parametrize("identity", [ROLE, {"kind": "basicAuth", "usernameFile": "/u", "passwordFile": "/p"}], ids=str)
def test_no_host_of_alibaba_clouds_is_a_customers_domain(host, meant, identity):
    entry = {"domains": [host], "identity": identity} | ({"instanceId": "cri-a"} if identity is ROLE else {})
    ((field, problem, remedy),) = problems(native(entry))
    assert field == "registries[0].domains[0]"
    assert "host of Alibaba Cloud" in problem
    assert meant in remedy
    with_config_map = f'data:\n  acr-registry-info: |\n    - instanceId: cri-a\n      domains: "{host}"\n'
    ((field, problem, remedy),) = problems(with_config_map)
    assert (field, meant in remedy) == ("acr-registry-info[0].domains", True)


@pytest.mark.parametrize("host", ["aliyuncs.com.example.com", "myaliyuncs.com", "a.example.com", "a.b-aliyun.com"])
def test_a_host_that_only_looks_like_alibaba_clouds_is_a_customers(host):
    assert problems(native({"instanceId": "cri-a", "domains": [host]})) == []


# Harmless repetition.
def config_map(*lines):
    return "data:\n  acr-registry-info: |\n" + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        config_map('- instanceId: ""', '- instanceId: ""'),
        config_map("- instanceId: cri-a", "- instanceId: cri-a"),
        config_map(
            "- instanceId: cri-a", "  domains: a.example.com", "- instanceId: cri-a", "  domains: b.example.com"
        ),
        native({"instanceId": "cri-a", "region": "cn-a"}, {"instanceId": "cri-a", "region": "cn-a"}),
        native({"namespaces": ["a", "b"]}, {"namespaces": ["b", "c"]}),
        native(
            {"instanceId": "cri-a", "domains": ["a-registry.cn-a.cr.aliyuncs.com"]},
            {"instanceId": "cri-a", "region": "cn-a", "domains": ["a-registry-vpc.cn-a.cr.aliyuncs.com"]},
        ),
    ],
)
def test_entries_that_are_one_are_merged_with_a_note(text):
    verdict = judge(text)
    assert verdict.problems == ()
    assert len(verdict.settings.registries) == 1
    assert any("both are one entry" in note.what for note in verdict.notes)


def test_merged_entries_have_the_hosts_of_both():
    (registry,) = judge(
        config_map("- instanceId: cri-a", "  domains: a.example.com", "- instanceId: cri-a", "  domains: b.example.com")
    ).settings.registries
    assert registry.domains == ("a.example.com", "b.example.com")


@pytest.mark.parametrize("region", ["cn-hangzhou", "cn-beijing"])
def test_the_nodes_own_region_by_name_and_in_silence_are_one_personal_edition(region):
    text = config_map('- instanceId: ""', '- instanceId: ""', f"  regionId: {region}")
    host = "registry.cn-hangzhou.aliyuncs.com/team"
    assert instance_for(text, host)[0] == "personal"


# Aliases.
MULTIPLIED = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    + [""]
)
ALIASED = {
    "registries": "registries: *a11\n",
    "an entry": "registries: [*a11]\n",
    "a field that nobody knows": "registries:\n- instanceId: cri-shop\n  more: *a11\n",
    "a policy": "registries:\n- assumeRole: [{roleArn: 'acs:ram::1:role/r', policy: {Statement: *a11}}]\n",
    "many entries": "registries:\n" + "- {more: *a4}\n" * 5000,
    "itself": "registries: &r [*r, *r, *r, {more: *r}]\n",
}


@pytest.mark.parametrize("where", ALIASED)
def test_aliases_that_multiply_are_refused_at_once(where):
    began = time.process_time()
    assert judge(HEAD + MULTIPLIED + ALIASED[where]).settings is None
    assert time.process_time() - began < 6.0


def test_aliases_that_do_not_multiply_are_read():
    text = HEAD + f"registries:\n{SHOP.replace('{kind', '&who {kind')}{OTHER.replace('{kind: nodeRole}', '*who')}"
    assert (entries(text), problems(text)) == (["registries[0]", "registries[1]"], [])


# The place.
LACKING = [{"kind": "rrsa"}, {"kind": "managedRole"}, {"kind": "addonSecret", "directory": "/run/keys"}]


@pytest.mark.parametrize("identity", LACKING, ids=lambda identity: identity["kind"])
def test_what_a_node_lacks_as_a_rule_is_a_problem_and_a_pull_tries_it_all_the_same(identity):
    text = native({"instanceId": "cri-shop", "identity": identity}, {"instanceId": "cri-other"})
    assert {field.partition(".")[0] for field, _, _ in problems(text)} == {"registries[0]"}
    assert entries(text) == ["registries[0]", "registries[1]"]
    assert problems(text, place="controller") == []


def test_an_identity_that_the_controller_cannot_hold_is_left_out_there_and_never_becomes_its_node():
    pods = {"kind": "serviceAccount", "oidcProviderArn": "acs:ram::1234:oidc-provider/p", "staticPods": "nodeRole"}
    text = native({"instanceId": "cri-shop", "identity": pods}, {"instanceId": "cri-other"})
    assert entries(text, place="controller") == ["registries[1]"]
    assert problems(text) == []


# All mistakes at once, in the user's words.
FOUR = (
    HEAD
    + """\
maxCacheDuration: 600
registries:
- instanceId: demo
  region: hangzhou
  domains: [demo.cn-hangzhou.cr.aliyuncs.com]
  identity: nodeRole
- instanceId: cri-b
  namespaces: [team]
  identity: {kind: managedRole}
- instanceId: cri-c
  identity: {kind: accessKey, accessKeyId: LTAIxxxx, accessKeySecret: secret}
"""
)


def test_mistakes_that_do_not_depend_on_each_other_are_told_in_one_run():
    fields = [field for field, _, _ in problems(FOUR)]
    assert fields == [
        "maxCacheDuration",
        "registries[0].instanceId",
        "registries[0].region",
        "registries[0].domains[0]",
        "registries[0].identity",
        "registries[1].namespaces",
        "registries[2].identity.accessKeyIdFile",
        "registries[2].identity.accessKeySecretFile",
        "registries[2].identity.accessKeyId",
        "registries[2].identity.accessKeySecret",
    ]


REPAIRS = [
    ("maxCacheDuration: 600", "maxCacheDuration: 10m"),
    ("instanceId: demo", "instanceId: cri-demo"),
    ("region: hangzhou", "region: cn-hangzhou"),
    ("[demo.cn-hangzhou.cr", "[demo-registry.cn-hangzhou.cr"),
    ("identity: nodeRole", "identity: {kind: nodeRole}"),
    ("  namespaces: [team]\n", ""),
    ("managedRole", "nodeRole"),
    ("accessKeyId: LTAIxxxx", "accessKeyIdFile: /id"),
    ("accessKeySecret: secret", "accessKeySecretFile: /secret"),
]


def test_the_list_of_problems_does_not_grow_when_one_is_repaired():
    text, before = FOUR, len(problems(FOUR))
    for old, new in REPAIRS:
        assert len(problems(FOUR.replace(old, new))) <= before
        text = text.replace(old, new)
    assert problems(text) == []


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        (native({"identity": "nodeRole"}), "registries[0].identity", "Write identity: {kind: nodeRole}."),
        (native({"identity": "accessKey"}), "registries[0].identity", "Write identity: {kind: accessKey}."),
        (native({"identity": ["x"]}), "registries[0].identity", "Write identity: {kind: nodeRole}."),
        (native({"identity": {"kind": "noderole"}}), "registries[0].identity", "Did you mean nodeRole?"),
        (native({"identity": {"kind": "ramRole"}}), "registries[0].identity", "Use kind: nodeRole, accessKey"),
        (native({"domain": ["a.example.com"]}), "registries[0].domain", "Did you mean domains?"),
        (native({"identity": {"kind": "nodeRole", "roleNames": "x"}}), "registries[0].identity.roleNames", "roleName?"),
        (native({}, maxCacheDurations="1m"), "maxCacheDurations", "Did you mean maxCacheDuration?"),
        (native({"region": "cn-hangzhou-b"}), "registries[0].region", "write cn-hangzhou"),
        (native({"region": "us-west-1a"}), "registries[0].region", "write us-west-1"),
        (native({"domains": ["*.example.com"]}), "registries[0].domains[0]", "wildcard"),
        (native({}, proxy={"https": "https://proxy:3128"}), "proxy.https", "spoken to in http"),
        (HEAD.partition("\n")[2] + "registries:\n" + SHOP, "apiVersion", "line apiVersion: aliyun-acr-credential-prov"),
        (
            native({"identity": {"kind": "basicAuth", "usernameFile": "/u", "password": "x"}, "domains": ["a.b"]}),
            "registries[0].identity.password",
            "passwordFile: /",
        ),
        (
            config_map("- instanceId: cri-a", "  regionID: cn-a", "  domain: a.b"),
            "acr-registry-info[0].domain",
            "domains?",
        ),
        (
            config_map("- instanceId: cri-a", "  regionId: cn-hangzhou-b"),
            "acr-registry-info[0].regionId",
            "cn-hangzhou.",
        ),
        (
            config_map("- instanceId: cri-a", "  regionId: hangzhou"),
            "acr-registry-info[0].regionId",
            "mean cn-hangzhou?",
        ),
        (config_map("- instanceId: cri-a", "  domains: '*.a.com'"), "acr-registry-info[0].domains", "wildcard"),
    ],
)
def test_a_problem_is_told_in_the_words_of_who_wrote_it(text, field, words):
    told = {where: f"{problem}. {remedy}" for where, problem, remedy in problems(text)}
    assert words in told[field], told


@pytest.mark.parametrize("region", ["cn-hangzou", "eu-west-2", "ap-northeast-3"])
def test_a_region_that_nobody_knew_is_a_note_because_new_ones_come(region):
    verdict = judge(native({"region": region}))
    assert verdict.problems == ()
    assert [note for note in verdict.notes if "is none of the regions that were known" in note.what]


@pytest.mark.parametrize("region", ["cn-hangzhou-finance", "cn-shanghai-finance-1", "cn-north-2-gov-1"])
def test_regions_of_finance_and_government_are_known(region):
    assert judge(native({"region": region})).notes == ()


# No input ends with exit code 1 and no word.
@pytest.mark.parametrize(
    "text",
    [
        '{"AcrInstanceInfo":[],"watchNamespace":"all"}',
        'data:\n  acr-registry-info: "[]"\n',
        "data:\n  acr-registry-info: []\n",
        '{"acr-registry-info": "[]"}',
        "data:\n  acr-registry-infos: |\n    - instanceId: cri-a\n",
        "data:\n  watch-namespac: all\n",
        HEAD + "registries: []\n",
        HEAD,
    ],
)
@pytest.mark.parametrize("command", ["validate", "convert"])
def test_settings_without_an_entry_are_told_of(text, command, tmp_path, capfd):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    assert main(["settings", command, str(path)]) == 1
    written = capfd.readouterr()
    assert "error: " in written.err
    assert "remedy: " in written.err


@pytest.mark.parametrize(("threshold", "seconds"), [("0", 0.0), ("12h", 43200.0), ("31m", 1860.0)])
def test_a_threshold_of_nothing_and_one_of_more_than_a_token_lives_are_read(threshold, seconds):
    verdict = judge(f"data:\n  expiring-threshold: {threshold}\n  acr-registry-info: '[{{instanceId: cri-a}}]'\n")
    assert verdict.settings.registries[0].refresh_before == seconds
    assert any("half of a token's life" in note.what for note in verdict.notes) == (seconds > 1800)


@pytest.mark.parametrize("namespace", ["google_containers", "eci_open", "ehpc"])
def test_public_namespaces_get_a_login_only_from_an_entry_that_names_them(namespace):
    scope = f"registry.cn-hangzhou.aliyuncs.com/{namespace}"
    assert instance_for(native({"region": "cn-hangzhou"}), scope) is None
    assert instance_for(native({"namespaces": [namespace]}), scope) == ("personal", None)


@pytest.mark.parametrize(
    ("mode", "content", "problem"),
    [(0o644, "x", "mode 0644"), (0o600, "", "is empty"), (None, "", "does not exist"), (0o600, "x", "")],
)
def test_key_files_are_looked_at_where_the_place_is_this_machine(mode, content, problem, tmp_path, capfd):
    (tmp_path / "id").write_text("id")
    (tmp_path / "id").chmod(0o600)
    if mode is not None:
        (tmp_path / "secret").write_text(content)
        (tmp_path / "secret").chmod(mode)
    files = {"accessKeyIdFile": f"{tmp_path}/id", "accessKeySecretFile": f"{tmp_path}/secret"}
    path = tmp_path / "settings.yaml"
    path.write_text(native({"instanceId": "cri-a", "identity": {"kind": "accessKey", **files}}))
    assert main(["settings", "validate", str(path)]) == 0, "a file that is for some node"
    assert main(["settings", "validate", "--target", "laptop", str(path)]) == (1 if problem else 0)
    written = capfd.readouterr()
    assert problem in written.err
    assert (f"{tmp_path}/secret" in written.err) == bool(problem)


CHOSEN = {"namespaces": ["team-*"], "serviceAccounts": ["*"]}


def controllers(**chosen):
    identity = {
        "kind": "rrsa",
        "roleArn": "acs:ram::1234567890123456:role/puller",
        "oidcProviderArn": "acs:ram::1234567890123456:oidc-provider/ack-rrsa-c1",
    }
    entry = {"instanceId": "cri-0123456789abcdef", "region": "cn-hangzhou", "identity": identity}
    document = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings", "registries": [entry]}
    return judge(json.dumps(document | {"pullSecrets": CHOSEN | chosen}), place="controller")


@pytest.mark.parametrize(
    "chosen",
    [
        {"excludedNamespace": ["team-b"]},
        {"namespaceSelector": {"matchLabels": {"team": "a"}, "matchLabel": {"tier": "x"}}},
        {"serviceAccountSelector": {"matchExpressions": [{"key": "team", "operator": "Exists", "value": "a"}]}},
        {"admission": {"mode": "auto", "policy": "Fail"}},
    ],
    ids=["a namespace", "a label", "a requirement", "the admission"],
)
def test_whom_a_misspelt_field_would_have_chosen_is_not_guessed(chosen):
    verdict = controllers(**chosen)
    assert verdict.settings is None
    assert "is not a known field" in str(verdict.problems[0])


def test_the_earlier_name_of_the_admission_is_read_as_it_was_meant():
    spec = controllers(webhook={"enabled": True, "failurePolicy": "Fail"}).settings.pull_secrets
    assert (spec.admission.mode, spec.admission.failure_policy, spec.namespaces) == ("webhook", "Fail", ("team-*",))
    assert controllers(webhook={"timeoutSeconds": 3}).settings.pull_secrets.admission.mode == "none"
    assert controllers(webhook={"enabled": False}).settings.pull_secrets.admission.mode == "none"
    assert controllers(webhook={"enabled": "perhaps"}).settings is None
