"""Kubelets of several versions take our configuration and use what the frozen plugin answers, by their own code."""

import json
import subprocess

import pytest
from cluster import parts
from cluster.node import ENVIRONMENT
from cluster.worker import PLUGIN, provider_config
from sandbox.faults import Failure
from support.harness import API_VERSIONS, FROZEN

MODULES = parts.lookups()
HOST = "sandbox-registry.cn-hangzhou.cr.aliyuncs.com"
IMAGES = (f"{HOST}/team/app", f"{HOST}/team/web")


@pytest.fixture(params=MODULES, ids=lambda module: module.version)
def lookup(request, sandbox, frozen, tmp_path):
    """Return a function that does what this kubelet does with images: their logins, and what it logs."""
    program = request.param.built / "lookup"
    if not program.exists():
        pytest.skip(f"{program} is not built: run `make e2e-assets`")
    settings = sandbox.settings()
    settings["registries"][0]["domains"] = [HOST]
    frozen.settings.write_text(json.dumps(settings))
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / PLUGIN).symlink_to(FROZEN)

    def lookup(*images, api_version=API_VERSIONS[0], **changes):
        config = provider_config("--settings", str(frozen.settings), "--cache", str(frozen.cache))
        config["providers"][0].update(apiVersion=api_version, **changes)
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps(config))
        ran = subprocess.run(
            [program, path, folder, *images], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stderr
        lines = map(json.loads, ran.stdout.splitlines())
        logins = [[(each["username"], each["password"]) for each in line["logins"]] for line in lines]
        return logins, ran.stderr

    return lookup


@pytest.mark.parametrize("api_version", API_VERSIONS, ids=lambda version: version.rpartition("/")[2])
def test_a_kubelet_uses_the_login_that_we_give(lookup, sandbox, api_version):
    logins, log = lookup(*IMAGES, api_version=api_version)
    assert logins[0] == logins[1]
    [(username, password)] = logins[0]
    login = sandbox.state.find_login(username, password)
    assert login is not None
    assert login.instance_id == sandbox.instance.id
    assert sandbox.calls.counts() == {"GetAuthorizationToken": 1}
    assert "error" not in log
    assert password not in log


def test_a_kubelet_logs_our_problem_and_remedy(lookup, sandbox):
    sandbox.faults.add("GetAuthorizationToken", Failure(403, "NoPermission", "no"))
    logins, log = lookup(IMAGES[0])
    assert logins == [[]]
    assert "exit status 1: error: GetAuthorizationToken" in log
    assert "remedy: Attach a RAM policy" in log


def test_a_kubelet_gets_no_login_for_a_host_that_is_not_covered(lookup, sandbox):
    logins, log = lookup("other-registry.cn-hangzhou.cr.aliyuncs.com/team/app")
    assert logins == [[]]
    assert "error" not in log
    assert sandbox.calls.count() == 0
