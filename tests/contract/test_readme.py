"""What the README says is so."""

import json
import os
import re
from pathlib import Path
from textwrap import indent

import pytest
import yaml
from acr_credential_provider.cache.cached_answer import COOL_DOWN, LONGEST_COOL_DOWN
from acr_credential_provider.exec import docker_credential_helper
from acr_credential_provider.fastpath.syslog import LEVELS
from acr_credential_provider.kubelet.image_match import explain_mismatch
from acr_credential_provider.settings import ProviderSettings
from acr_credential_provider.settings.models import ProviderSettingsModel
from acr_credential_provider.version import LOG_VARIABLE
from support.judged import validate

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(language):
    """Return the texts between fences that open with *language*."""
    texts, inside = [], None
    for line in README.splitlines(keepends=True):
        fence = line.strip()
        if inside is None and fence.startswith("```"):
            inside, text = fence[3:], ""
        elif fence == "```":
            if inside == language:
                texts.append(text)
            inside = None
        elif inside is not None:
            text += line
    return texts


def test_the_usage_is_what_help_prints(program):
    shown = program.run(b"", "--help", env={**os.environ, "COLUMNS": "100"}).stdout.decode()
    assert blocks("")[0] == shown


def test_its_settings_are_valid():
    whole, identity = (text for text in blocks("yaml") if "registries" in text or text.startswith("identity"))
    settings = validate(whole)
    assert isinstance(settings, ProviderSettings)
    indented = indent(identity, "    ")
    replaced = re.sub(r" +identity:\n +kind: nodeRole.*\n", lambda _: indented, whole)
    assert validate(replaced).registries[0].identity.kind == "accessKey"


def test_its_policy_is_complete():
    assert json.loads(blocks("json")[0])["Statement"][0]["Action"] == [
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
    config, more = (yaml.safe_load(text) for text in blocks("yaml") if "matchImages" in text)
    patterns = config["providers"][0]["matchImages"] + more["matchImages"]
    matching = [pattern for pattern in patterns if not explain_mismatch(pattern, f"{host}/team/app")]
    assert len(matching) == 1


def test_its_credential_helper_is_found_by_the_name_in_the_clients_file():
    helpers = json.loads(blocks("json")[1])["credHelpers"]
    assert set(helpers.values()) == {"aliyun-acr"}
    assert docker_credential_helper.USAGE.startswith("usage: docker-credential-aliyun-acr ")
    assert blocks("sh")[0].rstrip().endswith("/docker-credential-aliyun-acr")


def test_each_environment_variable_it_names_is_read():
    known = {*docker_credential_helper.VARIABLES.values(), LOG_VARIABLE.decode()}
    assert set(re.findall(r"ACR_CREDENTIAL_PROVIDER_\w+", README)) == known


def test_the_times_of_a_repair_are_the_programs():
    assert "`maxCacheDuration` (5 minutes unless" in README
    assert ProviderSettingsModel.model_fields["max_cache_duration"].default == 5 * 60
    assert "after throttling for up to 5 minutes" in README
    assert (LONGEST_COOL_DOWN, COOL_DOWN[1] < 10) == (5 * 60, True)


def test_its_log_levels_exist():
    assert "`log: info` in the settings (or `error`, `debug`)" in README
    assert set(LEVELS) == {"off", "error", "info", "debug"}


def test_each_page_it_links_is_there():
    pages = [page for page in re.findall(r"\]\(([^)]+)\)", README) if "://" not in page]
    assert {"docs/identities.md", "docs/tested-with.md"} <= set(pages)
    assert [page for page in pages if not (ROOT / page).exists()] == []


def test_the_packages_for_contributors_are_those_that_the_system_is_checked_for():
    (line,) = re.findall(r"apt-get install --no-install-recommends ((?:.*\\\n)*.*)", CONTRIBUTING)
    checked = re.findall(r"^need (\S+)", (ROOT / "packaging/check/system_packages.sh").read_text(), re.MULTILINE)
    named = set(line.replace("\\", "").split())
    assert named == {"libpython3-dev" if "library" in each else each for each in checked}


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"(?m)(?:^    |`)make ([a-z][a-z0-9-]*)", README + CONTRIBUTING)))
)
def test_each_target_that_it_or_the_contributors_page_names_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "command", ["doctor", "explain", "settings validate", "cache show", "cache clear", "cache refresh"]
)
def test_each_command_it_names_exists(program, command):
    assert command in README
    assert program.run(b"", *command.split(), "--help").code == 0
