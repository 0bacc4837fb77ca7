"""What a kubelet had before a change it has after it, or the change is taken back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from acr_node_config.install.state import FOLDER
from acr_node_config.kubelet.probe import KubeletProbe
from acr_node_config.kubelet.service_manager import ServiceState
from acr_node_config.model.errors import RejectedError
from acr_node_config.model.running_config import RunningConfig
from hypothesis import given
from hypothesis import strategies as st
from support import node_sites
from support.node_world import StandinService, program, request

SECRET = "--token=CANARY"
LOST = {
    "nothing": (["--a=1", "--b=2"], ["--b=2", "--a=1", "--c=3"], ()),
    "a flag": (["--a=1", "--b"], ["--b"], ("--a",)),
    "a value": (["--a=1"], ["--a=2"], ("--a",)),
    "a value that came last": (["--a=1", "--a=2"], ["--a=2", "--a=1"], ("--a",)),
    "one of two": (["--a=1", "--a=2"], ["--a=2"], ("--a",)),
    "a part of a list": (["--node-labels=a=b,c=d"], ["--node-labels=a=b"], ("--node-labels",)),
    "a list that grew": (["--feature-gates=A=true"], ["--feature-gates=B=true,A=true"], ()),
    "another spelling": (["--node_ip", "192.0.2.1"], ["--node-ip=192.0.2.1"], ()),
    "the value of a word of its own": (["--a", "-1", "--b"], ["--a=-1", "--b"], ()),
    "providers' own flags": (["--image-credential-provider-config=/x"], [], ()),
}


@pytest.mark.parametrize(("before", "now", "lost"), LOST.values(), ids=LOST)
def test_what_is_lost_is_named(before, now, lost):
    assert RunningConfig.of(["k", *before], None).lost(RunningConfig.of(["k", *now], None)) == lost


@given(st.lists(st.sampled_from(["--a=1", "--a=2", "--b=1,2", "--c", "--d=x y"])), st.integers(0, 9))
def test_flags_of_ours_beside_others_take_nothing_away(words, at):
    ours = ["--image-credential-provider-config=/ours", "--image-credential-provider-bin-dir=/ours"]
    before, now = (
        RunningConfig.of(["k", *words], ["ecr"]),
        RunningConfig.of(["k", *words[:at], *ours, *words[at:]], ["x", "ecr"]),
    )
    assert before.lost(now) == ()
    assert RunningConfig.from_dict(json.loads(json.dumps(before.to_dict()))) == before


def test_no_value_of_a_flag_is_kept():
    kept = RunningConfig.of(["k", SECRET, "--b", "CANARY"], None)
    assert "CANARY" not in f"{kept} {kept.to_dict()}"


@pytest.fixture
def first(tmp_path):
    return program(tmp_path / "first")


def started(site):
    assert site.world.start_kubelet() == ""
    return site, StandinService(site.world)


def left(world) -> dict[str, str]:
    return {path: what for path, what in world.tree().items() if not path.startswith(FOLDER.lstrip("/"))}


def refused(site, service, first) -> str:
    with pytest.raises(RejectedError) as error:
        site.world.node(service).install(request(first, site.placement))
    assert "CANARY" not in str(error.value)
    return error.value.problem


def test_flags_that_a_file_of_ours_takes_away_have_all_put_back_and_are_named(tmp_path, first):
    site = node_sites.kubeadm_deb(tmp_path)
    site.world.value = f"--node-ip=192.0.2.1 {SECRET} --v=2"
    site, service = started(site)
    before, words = left(site.world), site.world.kept()["words"]

    problem = refused(site, service, first)

    assert "--node-ip, --token, --v" in problem
    assert "it runs again" in problem
    assert "too" not in problem
    assert (left(site.world), site.world.kept()["words"]) == (before, words)

    restarts = service.restarts
    assert "before" in refused(site, service, first)
    assert service.restarts == restarts
    assert "--node-ip" in site.world.node(service).status().rejected[0].reason


@pytest.mark.parametrize("others", [node_sites.existing_yaml, node_sites.existing_directory])
def test_providers_that_ours_would_replace_have_all_put_back_and_are_named(tmp_path, first, others):
    """As where a script names theirs before the flags that it is given: of two, the last one holds."""
    site = others(tmp_path)
    site = site._replace(placement=node_sites.kubeadm_deb(tmp_path).placement)
    site, service = started(site)
    before, words = left(site.world), site.world.kept()["words"]

    assert f"the provider {node_sites.OTHERS}" in refused(site, service, first)

    assert (left(site.world), site.world.kept()["words"]) == (before, words)


def test_what_was_taken_out_before_is_said_not_to_be_of_this_change(tmp_path, first):
    site = node_sites.kubeadm_deb_with_arguments(tmp_path)
    site, service = started(site)
    file = site.world.at(site.placement.flags.path)
    file.write_text(file.read_text().replace("--node-ip=192.0.2.1 ", ""))

    problem = refused(site, service, first)

    assert "without --node-ip too" in problem
    node = site.world.node(service)
    assert node.install(request(first, site.placement, retries=True)).confirmed


def test_an_uninstallation_gives_back_the_command_line_of_before(tmp_path, first):
    site, service = started(node_sites.flags_already_set(tmp_path))
    before = site.world.kept()["words"]
    node = site.world.node(service)
    node.install(request(first, site.placement))

    node.uninstall()

    assert site.world.kept()["words"] == before


def test_an_uninstallation_that_would_lose_others_providers_is_taken_back(tmp_path, first):
    site, service = started(node_sites.existing_yaml(tmp_path))
    node = site.world.node(service)
    node.install(request(first, site.placement))
    site.world.base = site.world.base[:2]  # somebody took the flags out since

    with pytest.raises(RejectedError, match=node_sites.OTHERS):
        node.uninstall()

    assert node.status().installed is not None
    node.uninstall()  # the kubelet was started without them meanwhile: nothing is lost by this now
    assert site.world.kept()["pid"]


class Service:
    def __init__(self, pid: int) -> None:
        self.pid = pid

    def state(self, _unit):
        return ServiceState("active", self.pid, 0)


def test_behind_a_script_the_kubelet_itself_is_looked_at():
    with subprocess.Popen(
        ["bash", "-c", "(exec -a /usr/bin/kubelet sleep 90.125) & wait", "start", "--v=2"], stdin=subprocess.DEVNULL
    ) as process:
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            while not (found := children.read_text().split()) or not Path(
                f"/proc/{found[0]}/cmdline"
            ).read_bytes().startswith(b"/usr/bin/kubelet\0"):
                pass
            seen = KubeletProbe(Service(process.pid), "kubelet.service").running_config(process.pid)
            assert seen == RunningConfig.of(["/usr/bin/kubelet", "90.125"], [])
        finally:
            subprocess.run(["kill", *found], check=True)
