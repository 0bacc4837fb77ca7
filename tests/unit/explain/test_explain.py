"""Why a host is not served, from the settings alone."""

import json

import pytest
from acr_credential_provider.cache.cache_dirs import ensure
from acr_credential_provider.explain.candidates import candidates
from acr_credential_provider.explain.checks import explain
from acr_credential_provider.explain.no_match import no_match
from acr_credential_provider.settings import ProviderSettings
from support.judged import validate

HANGZHOU = "demo-registry.cn-hangzhou.cr.aliyuncs.com"


def registries(*entries):
    listed = "".join(
        f"- {{instanceId: cri-{n}, identity: {{kind: nodeRole}}, {entry}}}\n" for n, entry in enumerate(entries)
    )
    judged = validate(f"apiVersion: aliyun-acr-credential-provider/v1\nkind: ProviderSettings\nregistries:\n{listed}")
    assert isinstance(judged, ProviderSettings)
    return judged.registries


def named(region="cn-hangzhou", *domains):
    return f"region: {region}, domains: [{', '.join(domains)}]"


@pytest.mark.parametrize(
    ("host", "entries", "why", "remedy", "nearest"),
    [
        (
            "demo-registry.cn-beijing.cr.aliyuncs.com",
            [named("cn-hangzhou", HANGZHOU)],
            "no entry is in cn-beijing",
            "Correct region:",
            f"registries[0] has {HANGZHOU}",
        ),
        (
            "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
            [named("cn-beijing", "a.example.com"), named("cn-hangzhou", HANGZHOU)],
            "not among them (registries[1])",
            "Add demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com to domains",
            f"registries[1] has {HANGZHOU}",
        ),
        (HANGZHOU + ":443", [named("cn-hangzhou", HANGZHOU)], "letter by letter", f"as {HANGZHOU}/", "registries[0]"),
        (HANGZHOU.upper(), [named("cn-hangzhou", HANGZHOU)], "letter by letter", f"as {HANGZHOU}/", "registries[0]"),
        (HANGZHOU, ["region: cn-hangzhou"], "ACR does not list", "cache clear", "registries[0]"),
        (
            "demo-registry.oss-cn-hangzhou.aliyuncs.com",
            ["region: cn-hangzhou"],
            "has not the form of a registry",
            "console",
            "",
        ),
        ("images.example.com", [named("cn-hangzhou", "image.example.com")], "in no entry's", "custom domain", "image."),
        ("docker.io", ["region: cn-hangzhou"], "in no entry's", "Nothing, if", ""),
        (
            "crpi-a1b2.cn-hangzhou.personal.cr.aliyuncs.com",
            ["region: cn-hangzhou"],
            "grants no tokens",
            "kind: basicAuth",
            "",
        ),
        (
            "registry.cn-hangzhou.aliyuncs.com/team",
            ["region: cn-hangzhou"],
            "no entry is for the Personal Edition in cn-hangzhou",
            "without instanceId",
            "",
        ),
        ("registry.cn-hangzhou.aliyuncs.com/acs", ["region: cn-hangzhou"], "public", "Nothing, if", ""),
    ],
)
def test_each_host_that_is_not_covered_is_told_why_and_what_comes_nearest(host, entries, why, remedy, nearest):
    error = no_match(host, registries(*entries))
    problem, _, near = error.problem.partition("; nearest: ")
    assert why in problem
    assert remedy in error.remedy
    assert nearest in near
    assert bool(nearest) == bool(near)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("images.example.com", [0]),
        (HANGZHOU, [1, 3]),
        ("demo-registry.cn-beijing.cr.aliyuncs.com", [2, 3]),
        ("other.example.com", []),
    ],
)
def test_the_entries_that_a_host_may_belong_to_are_known_without_a_call(host, expected):
    entries = registries(
        named("cn-hangzhou", "images.example.com"), "region: cn-hangzhou", "region: cn-beijing", "network: auto"
    )
    assert candidates(host, entries) == expected


def test_a_call_that_was_not_made_leaves_no_failure_for_the_next_pull(tmp_path):
    entry = {"instanceId": "cri-1", "region": "cn-hangzhou", "identity": {"kind": "nodeRole"}}
    document = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings", "registries": [entry]}
    (tmp_path / "settings.yaml").write_text(json.dumps(document))
    (tmp_path / "settings.yaml").chmod(0o600)
    ensure(f"{tmp_path}/cache")
    results = explain(f"{HANGZHOU}/a/b", settings_path=f"{tmp_path}/settings.yaml", cache=f"{tmp_path}/cache")
    assert "PUT http://100.100.100.200/latest/api/token" in {result.detail for result in results}
    assert list((tmp_path / "cache/memo").iterdir()) == []
