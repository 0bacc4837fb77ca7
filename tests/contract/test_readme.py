"""What the README and the pages that it leads to say is so."""

import json
import os
import re
from textwrap import indent

import pytest
import yaml
from acr_credential_provider.__main__ import DEADLINE
from acr_credential_provider.cache.cached_answer import COOL_DOWN, LONGEST_COOL_DOWN
from acr_credential_provider.exec import docker_credential_helper
from acr_credential_provider.exec.run import REFRESH
from acr_credential_provider.fastpath.syslog import LARGEST, LEVELS
from acr_credential_provider.files import user_paths
from acr_credential_provider.kubelet.image_match import explain_mismatch
from acr_credential_provider.settings import ProviderSettings
from acr_credential_provider.settings.models import ProviderSettingsModel
from acr_credential_provider.version import LOG_VARIABLE
from support import markdown
from support.harness import ROOT
from support.judged import validate

from generate import tested

README = (ROOT / "README.md").read_text()
INSTALL = (ROOT / "docs/install/README.md").read_text()
BY_HAND = (ROOT / "docs/install/by-hand.md").read_text()
CLIENTS = (ROOT / "docs/clients.md").read_text()
TROUBLESHOOTING = (ROOT / "docs/troubleshooting.md").read_text()
COMMAND_LINE = (ROOT / "docs/reference/command-line.md").read_text()
LOG = (ROOT / "docs/reference/log.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(page, language):
    return [block.text for block in markdown.blocks(page, language)]


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_it_is_read_in_five_minutes(name):
    assert len((ROOT / name).read_text().splitlines()) <= 120


@pytest.mark.parametrize("name", tested.WORDS)
def test_it_says_what_the_last_run_was_tested_with(name):
    """`make tested-with` writes it again."""
    page, text = (ROOT / "docs/tested-with.md").read_text(), (ROOT / name).read_text()
    assert tested.with_tested(name, text, page) == text
    other = page.replace("| kubelet | 1.", "| kubelet | 7.").replace("| v1.30.14, v1:", "| v1.29.1, v1:")
    changed = tested.with_tested(name, text, other)
    assert ("Kubernetes 7." in changed, "Kubernetes 1.29.1, " in changed) == (True, True)


def test_the_usage_is_what_help_prints(program):
    shown = program.run(b"", "--help", env={**os.environ, "COLUMNS": "100"}).stdout.decode()
    assert blocks(COMMAND_LINE, "")[0] == shown


def test_its_settings_are_valid():
    whole, identity = (text for text in blocks(INSTALL, "yaml") if text.startswith(("apiVersion: aliyun", "identity")))
    settings = validate(whole)
    assert isinstance(settings, ProviderSettings)
    indented = indent(identity, "    ")
    replaced = re.sub(r" +identity:\n +kind: nodeRole.*\n", lambda _: indented, whole)
    assert validate(replaced).registries[0].identity.kind == "accessKey"


def test_its_policy_is_complete():
    assert json.loads(blocks(INSTALL, "json")[0])["Statement"][0]["Action"] == [
        "cr:GetAuthorizationToken",
        "cr:ListInstanceEndpoint",
        "cr:PullRepository",
    ]


@pytest.mark.parametrize(
    "host",
    [
        "demo-registry.cn-hangzhou.cr.aliyuncs.com",
        "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
        "images.example.com",
        "registry.cn-hangzhou.aliyuncs.com",
        "registry-vpc.cn-hangzhou.aliyuncs.com",
        "registry-internal.cn-hangzhou.aliyuncs.com",
        "registry-intl.ap-southeast-1.aliyuncs.com",
        "registry-intl-vpc.ap-southeast-1.aliyuncs.com",
        "crpi-a1b2.cn-hangzhou.personal.cr.aliyuncs.com",
        "crpi-a1b2-vpc.cn-hangzhou.personal.cr.aliyuncs.com",
        "demo-registry-vpc.distributed.cn-hangzhou.cr.aliyuncs.com:65001",
    ],
)
def test_one_of_its_patterns_matches_each_kind_of_host_as_the_kubelet_does(host):
    config, more = (yaml.safe_load(text) for text in blocks(BY_HAND, "yaml"))
    patterns = config["providers"][0]["matchImages"] + more["matchImages"]
    matching = [pattern for pattern in patterns if not explain_mismatch(pattern, f"{host}/team/app")]
    assert len(matching) == 1


def test_its_credential_helper_is_found_by_the_name_in_the_clients_file():
    helpers = json.loads(blocks(CLIENTS, "json")[0])["credHelpers"]
    assert set(helpers.values()) == {"aliyun-acr"}
    assert docker_credential_helper.USAGE.startswith("usage: docker-credential-aliyun-acr ")
    assert blocks(CLIENTS, "sh")[0].rstrip().endswith("/docker-credential-aliyun-acr")


@pytest.mark.parametrize(("page", "variables"), [(COMMAND_LINE, 3), (CLIENTS, 2), (LOG, 1)])
def test_each_environment_variable_it_names_is_read(page, variables):
    known = {*user_paths.VARIABLES.values(), LOG_VARIABLE.decode()}
    named = set(re.findall(r"ACR_CREDENTIAL_PROVIDER_\w+", page))
    assert (named <= known, len(named)) == (True, variables)


def test_the_times_of_a_repair_are_the_programs():
    assert "`maxCacheDuration` (5 minutes unless" in TROUBLESHOOTING
    assert ProviderSettingsModel.model_fields["max_cache_duration"].default == 5 * 60
    assert "after throttling for up to 5 minutes" in TROUBLESHOOTING
    assert (LONGEST_COOL_DOWN, COOL_DOWN[1] < 10) == (5 * 60, True)


def test_the_times_of_a_pull_are_the_programs():
    assert "one pull waits for that, 3 s at most" in README
    assert "waits up to 3 s for it" in TROUBLESHOOTING
    assert REFRESH == 3
    assert ("within 15 s" in README, "15 s at most" in TROUBLESHOOTING, DEADLINE) == (True, True, 15)


def test_its_log_levels_exist():
    assert "`log: info` in the settings (or `error`, `debug`)" in LOG
    assert set(LEVELS) == {"off", "error", "info", "debug"}
    assert f"at most {LARGEST} bytes" in LOG


def test_the_packages_for_contributors_are_those_that_the_system_is_checked_for():
    (line,) = re.findall(r"apt-get install --no-install-recommends ((?:.*\\\n)*.*)", CONTRIBUTING)
    checked = re.findall(r"^need (\S+)", (ROOT / "packaging/check/system_packages.sh").read_text(), re.MULTILINE)
    named = set(line.replace("\\", "").split())
    assert named == {"libpython3-dev" if "library" in each else each for each in checked}


@pytest.mark.parametrize(
    "target",
    sorted(set(re.findall(r"(?m)(?:^ *|`)make ([a-z][a-z0-9-]*)", README + CONTRIBUTING + TROUBLESHOOTING + BY_HAND))),
)
def test_each_target_that_it_or_the_contributors_page_names_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "command", ["doctor", "explain", "settings validate", "cache show", "cache clear", "cache refresh"]
)
def test_each_command_it_names_exists(program, command):
    assert command in README + INSTALL + COMMAND_LINE
    assert program.run(b"", *command.split(), "--help").code == 0
