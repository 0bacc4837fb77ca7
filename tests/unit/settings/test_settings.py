import json
import os
import re
from pathlib import Path

import pytest
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.settings import KINDS, ProviderSettings
from acr_credential_provider.settings.field_types import parse_duration
from acr_credential_provider.settings.loader import load
from hypothesis import given
from hypothesis import strategies as st
from support.judged import problems_of, validate

from generate import settings_reference, settings_schema

ROOT = Path(__file__).resolve().parents[3]

GOOD = """\
apiVersion: aliyun-acr-credential-provider/v1
kind: ProviderSettings
maxCacheDuration: 10m
registries:
  - instanceId: cri-shop
    region: cn-hangzhou
    domains: [shop-registry.cn-hangzhou.cr.aliyuncs.com, "images.example.com:8443"]
    identity: {kind: nodeRole, roleName: KubernetesWorkerRole}
    refreshBefore: 20m
    tokenDuration: 2h
    network: vpc
  - instanceId: cri-lab
    identity:
      kind: accessKey
      accessKeyIdFile: /etc/acr/id
      accessKeySecretFile: /etc/acr/secret
    endpoints: {acr: "https://cr.example.com"}
proxy: {https: "http://proxy:3128", noProxy: [.example.com]}
caBundle: /etc/ca.pem
"""


def with_change(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


def test_good_settings_are_read_with_their_defaults():
    settings = validate(GOOD)
    assert isinstance(settings, ProviderSettings)
    shop, lab = settings.registries
    assert (settings.max_cache_duration, shop.refresh_before, shop.token_duration, shop.network) == (
        600,
        1200,
        7200,
        "vpc",
    )
    assert (lab.region, lab.domains, lab.refresh_before, lab.token_duration, lab.network) == (
        None,
        (),
        900,
        None,
        "auto",
    )
    assert settings.metadata_endpoint == "http://100.100.100.200"


def test_json_is_as_good_as_yaml():
    document = {
        "apiVersion": "aliyun-acr-credential-provider/v1",
        "kind": "ProviderSettings",
        "registries": [{"instanceId": "cri-a", "identity": {"kind": "nodeRole"}}],
    }
    assert isinstance(validate(json.dumps(document, indent="\t")), ProviderSettings)


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("", "line 1: the file is empty", "apiVersion"),
        ("[]", "line 1: the file is not a mapping", "apiVersion"),
        (
            with_change("kind: ProviderSettings", "kind:ProviderSettings"),
            "line 2: has no space after the colon",
            "key: value",
        ),
        (with_change("    region: cn", "\tregion: cn"), "line 6: registries[0] is indented with a tab", "spaces"),
        (
            with_change("maxCacheDuration: 10m", "kind: Other"),
            "line 3: kind repeats a key of the same mapping",
            "Keep one",
        ),
        (with_change("kind: ProviderSettings\n", ""), "line 1: kind is missing", "kind: ProviderSettings"),
        (with_change("/v1", "/v2"), "line 1: apiVersion is none of the values it may have", "provider/v1"),
        (
            with_change("10m", "600"),
            "line 3: maxCacheDuration is not a duration; write it like 90s, 15m or 1h30m",
            "Correct",
        ),
        (with_change("10m", "25h"), "line 3: maxCacheDuration must be at most 24h", "Correct"),
        (with_change("cri-shop", "demo"), "line 5: registries[0].instanceId does not have the form it should", "cri-"),
        (with_change("cri-shop", "5"), "line 5: registries[0].instanceId is not a string", "quotes"),
        (
            with_change("cn-hangzhou\n", "hangzhou\n"),
            "line 6: registries[0].region is not the ID of a region; write it",
            "",
        ),
        (
            with_change("    region:", "    regionId:"),
            "line 6: registries[0].regionId is not a known field",
            "spelling",
        ),
        (
            with_change("images.example.com:8443", "https://images.example.com/"),
            "line 7: registries[0].domains[1] is not a registry host; write HOST or HOST:PORT, without https",
            "",
        ),
        (with_change("images.example", "Images.example"), "line 7: registries[0].domains[1] must be lower case", ""),
        (
            with_change("domains: [", "domains: shop.example.com #"),
            "line 7: registries[0].domains is not a list",
            "after a dash",
        ),
        (with_change("20m", "13h"), "line 9: registries[0].refreshBefore must be at most 12h", ""),
        (with_change("2h", "90m"), "line 10: registries[0].tokenDuration must be whole hours from 1h to 24h", ""),
        (with_change("2h", "25h"), "line 10: registries[0].tokenDuration must be whole hours from 1h to 24h", ""),
        (
            with_change("network: vpc", "network: intranet"),
            "line 11: registries[0].network is none of the values",
            "'vpc'",
        ),
        (
            with_change("kind: accessKey", "kind: accesskey"),
            "line 13: registries[1].identity has a kind that is not",
            "node",
        ),
        (with_change("      kind: accessKey\n", ""), "line 13: registries[1].identity has no kind", "kind: nodeRole"),
        (
            with_change("accessKeyIdFile: /etc", "accessKeyId: LTAIsomething #"),
            "line 15: registries[1].identity.accessKeyId is a secret in the settings themselves",
            "accessKeyIdFile: /",
        ),
        (
            with_change("/etc/acr/id", "id"),
            "line 15: registries[1].identity.accessKeyIdFile must be an absolute path",
            "",
        ),
        (
            with_change("https://cr.", "http://cr."),
            "line 17: registries[1].endpoints.acr must be https://HOST[:PORT] without a path",
            "",
        ),
        (
            with_change("http://proxy", "socks5://proxy"),
            "line 18: proxy.https must be http://[USER:PASSWORD@]HOST[",
            "",
        ),
        (
            with_change("  - instanceId: cri-lab", "  - instanceId: cri-lab\n    domains: ['images.example.com:8443']"),
            "line 13: registries[1].domains[0] is claimed by a registry above too",
            "",
        ),
        (GOOD[: GOOD.index("registries:")] + "registries: []\n", "line 4: registries has no item", "at least one"),
    ],
    ids=lambda value: value[:50] if value.startswith("line") else "",
)
def test_each_mistake_is_told_by_line_field_problem_and_remedy(text, problem, remedy):
    judged = problems_of(text)
    assert [str(each) for each in judged if str(each).startswith(problem)], [str(each) for each in judged]
    assert remedy in next(each.remedy for each in judged if str(each).startswith(problem))


def test_all_mistakes_are_told_at_once():
    wrong = GOOD.replace("20m", "x").replace("2h", "x").replace("cri-lab", "x")
    assert len(problems_of(wrong)) == 3


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "replace")))
def test_no_text_makes_judging_fail(text):
    assert validate(text)


@given(st.integers(min_value=0, max_value=20), st.sampled_from("\t\xa0{}[]:&*!|>'\"%@`#-,?"), st.data())
def test_no_small_slip_in_good_settings_makes_judging_fail(count, letter, data):
    text = GOOD
    for _ in range(count):
        position = data.draw(st.integers(min_value=0, max_value=len(text)))
        text = text[:position] + letter + text[position:]
    assert validate(text)


@pytest.mark.parametrize("seconds", [0.0, 59.0, 3600.0, 5430.0])
def test_durations_read_as_they_are_written(seconds):
    hours, rest = divmod(int(seconds), 3600)
    assert parse_duration(f"{hours}h{rest // 60}m{rest % 60}s") == seconds


@pytest.mark.parametrize(
    "text", ["1" * 400 + "m", "1" * 5000 + "h", "1h" * 5000, "9" * 10 + "s"], ids=lambda text: text[:3]
)
def test_a_duration_with_more_digits_than_a_number_has_is_none(text):
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def settings_file(tmp_path, content=GOOD, mode=0o600):
    path = tmp_path / "settings.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return str(path)


def test_a_file_is_loaded(tmp_path):
    assert load(settings_file(tmp_path)).registries[0].instance_id == "cri-shop"


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (GOOD, 0o620, "can be changed by others than root"),
        (GOOD, 0o602, "can be changed by others than root"),
        (b"#" * (1 << 20) + b"x", 0o600, "is larger than 1 MiB"),
        (b"kind: \xff", 0o600, "is not UTF-8 text"),
    ],
)
def test_a_file_that_can_not_be_trusted_or_read_is_refused_with_its_name(tmp_path, content, mode, problem):
    path = settings_file(tmp_path, content, mode)
    with pytest.raises(ConfigurationError) as refusal:
        load(path)
    assert refusal.value.problem == f"{path} {problem}"


def test_a_file_of_another_user_is_refused(tmp_path):
    path = settings_file(tmp_path)
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigurationError, match="can be changed by others than root"):
        load(path)


def test_a_pipe_or_a_folder_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ConfigurationError):
            load(str(path))


def test_only_the_first_mistake_is_told_to_the_kubelet_with_the_way_to_see_all(tmp_path):
    path = settings_file(tmp_path, GOOD.replace("20m", "x").replace("cri-lab", "x"))
    with pytest.raises(ConfigurationError) as refusal:
        load(path)
    assert refusal.value.problem.endswith(f"(and 1 more: see `settings validate {path}`)")


def test_the_published_schema_is_that_of_the_models():
    """`make schema` writes it again."""
    made = settings_schema.page()
    assert (ROOT / "docs/settings.schema.json").read_text() == made
    assert json.loads(made)["$id"].startswith("urn:aliyun-acr-credential-provider:")
    undescribed = [field for field, details in schema_fields() if not details.get("description")]
    assert undescribed == []


def test_the_page_of_the_fields_is_that_of_the_models():
    """`make schema` writes it again."""
    made = settings_reference.page()
    assert (ROOT / "docs/reference/settings.md").read_text() == made
    for field, details in schema_fields():
        row = f"| `{field.rpartition('.')[2]}` | "
        meaning = details["description"].replace("``", "`").replace("|", "\\|")
        assert any(line.startswith(row) and line.endswith(f" {meaning} |") for line in made.splitlines()), field


def test_each_default_of_the_schema_fits_its_own_schema():
    """An editor writes a default as the schema has it."""
    wrong = [
        (field, details["default"])
        for field, details in schema_fields()
        if "pattern" in details and "default" in details and not re.search(details["pattern"], str(details["default"]))
    ]
    assert wrong == []


def schema_fields():
    schema = json.loads(settings_schema.page())
    for name, model in {"": schema, **schema["$defs"]}.items():
        for field, details in model["properties"].items():
            yield f"{name}.{field}", details


LOGIN = "{kind: basicAuth, usernameFile: /u, passwordFile: /p}"
ROLE = "{kind: nodeRole}"
KEYS = "{kind: accessKey, accessKeyIdFile: /id, accessKeySecretFile: /secret}"


def registries(*lines):
    head = "apiVersion: aliyun-acr-credential-provider/v1\nkind: ProviderSettings\nregistries:\n"
    return head + "".join(f"- {{{line}}}\n" for line in lines)


@pytest.mark.parametrize(
    "lines",
    [
        (f"identity: {ROLE}",),
        (f"instanceId: '', region: cn-hangzhou, identity: {ROLE}", f"region: cn-beijing, identity: {ROLE}"),
        (f"namespaces: [a], identity: {ROLE}", f"namespaces: [b], identity: {ROLE}", f"identity: {ROLE}"),
        (
            f"domains: [registry.cn-hangzhou.aliyuncs.com], namespaces: [a], identity: {ROLE}",
            f"domains: [registry.cn-hangzhou.aliyuncs.com], namespaces: [b], identity: {LOGIN}",
        ),
        (f"domains: [crpi-a.cn-hangzhou.personal.cr.aliyuncs.com, docker.example.com], identity: {LOGIN}",),
        (f"instanceId: cri-a, region: cn-a, identity: {ROLE}", f"instanceId: cri-a, region: cn-b, identity: {ROLE}"),
        (f"instanceId: cri-a, domains: ['a-registry-vpc.distributed.cn-b.cr.aliyuncs.com:65001'], identity: {ROLE}",),
    ],
)
def test_editions_accounts_and_regions_go_together(lines):
    assert isinstance(validate(registries(*lines)), ProviderSettings)


@pytest.mark.parametrize(
    ("lines", "problem", "remedy"),
    [
        ((f"identity: {LOGIN}",), "line 4: registries[0].domains is missing: a login says nothing", "Add domains"),
        (
            (f"domains: [crpi-a.cn-hangzhou.personal.cr.aliyuncs.com], identity: {ROLE}",),
            "line 4: registries[0].domains[0] belongs to the new Personal Edition",
            "kind: basicAuth",
        ),
        (
            (f"instanceId: cri-a, domains: [registry.cn-hangzhou.aliyuncs.com], identity: {ROLE}",),
            "line 4: registries[0].domains[0] belongs to the Personal Edition",
            "without instanceId",
        ),
        (
            (f"domains: [a-registry.cn-hangzhou.cr.aliyuncs.com], identity: {ROLE}",),
            "line 4: registries[0].domains[0] belongs to an instance of the Enterprise Edition",
            "Add the instanceId",
        ),
        (
            (f"instanceId: cri-a, region: cn-b, domains: [a-registry.cn-c.cr.aliyuncs.com], identity: {ROLE}",),
            "line 4: registries[0].domains[0] is in cn-c, not in the registry's region",
            "one of the two",
        ),
        (
            (f"instanceId: cri-a, namespaces: [a], identity: {ROLE}",),
            "line 4: registries[0].namespaces are for the Personal Edition",
            "Remove",
        ),
        (
            (f"namespaces: [a], domains: [a.example.com], identity: {ROLE}",),
            "line 4: registries[0].domains[0] is not a shared host",
            "namespaces",
        ),
        ((f"namespaces: [acs], identity: {ROLE}",), "line 4: registries[0].namespaces[0] holds Alibaba Cloud's", ""),
        ((f"namespaces: [A/b], identity: {ROLE}",), "line 4: registries[0].namespaces[0] is not a namespace", ""),
        (
            (f"tokenDuration: 2h, identity: {ROLE}",),
            "line 4: registries[0].tokenDuration has no meaning for the Personal Edition",
            "Remove",
        ),
        (
            (f"identity: {ROLE}", f"identity: {KEYS}"),
            "line 5: registries[1] is claimed by a registry above too",
            "namespaces",
        ),
        (
            (f"namespaces: [a, b], identity: {ROLE}", f"namespaces: [b], identity: {KEYS}"),
            "line 5: registries[1] is claimed by a registry above too",
            "namespaces",
        ),
        (
            (f"instanceId: cri-a, identity: {ROLE}", f"instanceId: cri-a, domains: [a.b], identity: {ROLE}"),
            "line 5: registries[1].instanceId is claimed by a registry above too",
            "Keep one",
        ),
    ],
)
def test_what_does_not_go_together_is_told_by_line_field_and_remedy(lines, problem, remedy):
    (told,) = problems_of(registries(*lines))
    assert str(told).startswith(problem)
    assert remedy in told.remedy


PROVIDER = "acs:ram::1234:oidc-provider/ack-rrsa-c1"
ROLE_ARN = "acs:ram::1234:role/pull"
IDENTITIES = {
    "nodeRole": {},
    "accessKey": {"accessKeyIdFile": "/id", "accessKeySecretFile": "/secret"},
    "stsSession": {"accessKeyIdFile": "/id", "accessKeySecretFile": "/secret", "securityTokenFile": "/token"},
    "serviceAccount": {"oidcProviderArn": PROVIDER, "roles": [{"serviceAccounts": ["a*/b"], "roleName": "r"}]},
    "rrsa": {"roleArn": ROLE_ARN, "oidcProviderArn": PROVIDER, "tokenFile": "/token"},
    "managedRole": {},
    "addonSecret": {},
    "basicAuth": {"usernameFile": "/u", "passwordFile": "/p"},
}


def settings_with(identity, **registry):
    document = {
        "apiVersion": "aliyun-acr-credential-provider/v1",
        "kind": "ProviderSettings",
        "registries": [{"instanceId": "cri-1", "identity": identity, **registry}],
    }
    return json.dumps(document, indent=1)


def test_every_kind_of_identity_can_be_written():
    assert set(IDENTITIES) == set(KINDS)
    for kind, fields in IDENTITIES.items():
        more = {"domains": ["a.example"]} if kind == "basicAuth" else {"assumeRole": [{"roleArn": ROLE_ARN}]}
        judged = validate(settings_with({"kind": kind, **fields}, **more))
        assert isinstance(judged, ProviderSettings), (kind, judged)


@pytest.mark.parametrize(
    ("place", "kind", "alternative"),
    [
        ("node", "nodeRole", None),
        ("node", "accessKey", None),
        ("node", "stsSession", None),
        ("node", "serviceAccount", None),
        ("node", "rrsa", None),
        ("node", "managedRole", "nodeRole or serviceAccount"),
        ("node", "addonSecret", "accessKey"),
        ("controller", "nodeRole", None),
        ("controller", "accessKey", None),
        ("controller", "stsSession", None),
        ("controller", "serviceAccount", "rrsa"),
        ("controller", "rrsa", None),
        ("controller", "managedRole", None),
        ("controller", "addonSecret", None),
    ],
)
def test_a_place_refuses_what_it_cannot_hold_and_names_what_it_can(place, kind, alternative):
    text = settings_with({"kind": kind, **IDENTITIES[kind]})
    problems = problems_of(text, place)
    if alternative is None:
        assert problems == []
    else:
        (problem,) = problems
        assert problem.field == "registries[0].identity.kind"
        assert text.splitlines()[problem.line - 1].strip().startswith('"kind"')
        assert f"does not work on a {place}" in problem.problem
        assert alternative in problem.remedy


def test_rrsa_on_a_node_needs_what_no_webhook_gives_a_kubelet():
    text = settings_with({"kind": "rrsa", "roleArn": ROLE_ARN})
    assert [each.field for each in problems_of(text, "node")] == [
        "registries[0].identity.oidcProviderArn",
        "registries[0].identity.tokenFile",
    ]
    assert problems_of(text, "controller") == []


@pytest.mark.parametrize(
    ("hop", "field"),
    [
        ({"roleArn": "pull"}, "roleArn"),
        ({"roleArn": "acs:ram::1:user/x"}, "roleArn"),
        ({"roleArn": ROLE_ARN + "\n"}, "roleArn"),
        ({"roleArn": ROLE_ARN, "sessionDuration": "59m"}, "sessionDuration"),
        ({"roleArn": ROLE_ARN, "sessionDuration": "13h"}, "sessionDuration"),
        ({"roleArn": ROLE_ARN, "sessionDuration": 3600}, "sessionDuration"),
        ({"roleArn": ROLE_ARN, "externalId": "a b"}, "externalId"),
        ({"roleArn": ROLE_ARN, "policy": {"Statement": []}}, "policy"),
        ({"roleArn": ROLE_ARN, "policy": "no json"}, "policy"),
        ({"roleArn": ROLE_ARN, "policy": {"Version": "1", "Statement": ["x" * 2048]}}, "policy"),
        ({"roleArn": ROLE_ARN, "else": 1}, "else"),
        ({}, "roleArn"),
    ],
    ids=range(12),
)
def test_a_hop_that_sts_would_refuse_is_refused_with_its_place(hop, field):
    (problem,) = validate(settings_with({"kind": "nodeRole"}, assumeRole=[{"roleArn": ROLE_ARN}, hop]))
    assert problem.field == f"registries[0].assumeRole[1].{field}"


def test_a_session_policy_is_written_as_a_mapping_or_as_its_json():
    policy = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "cr:*", "Resource": "*"}]}
    for written in (policy, json.dumps(policy)):
        judged = validate(settings_with({"kind": "nodeRole"}, assumeRole=[{"roleArn": ROLE_ARN, "policy": written}]))
        assert json.loads(judged.registries[0].assume_role[0].policy) == policy


def test_a_field_that_has_the_name_of_a_kind_keeps_it():
    (problem,) = validate(
        settings_with({"kind": "nodeRole"}).replace('"registries"', '"endpoints": {"sts": "x"}, "registries"')
    )
    assert problem.field == "endpoints.sts"
    (problem,) = validate(settings_with({"kind": "stsSession", **IDENTITIES["accessKey"]}))
    assert problem.field == "registries[0].identity.securityTokenFile"


def test_a_login_assumes_no_role():
    login = {"kind": "basicAuth", **IDENTITIES["basicAuth"]}
    (problem,) = validate(settings_with(login, domains=["a.example"], assumeRole=[{"roleArn": ROLE_ARN}]))
    assert problem.field == "registries[0].assumeRole"
