"""A kubelet that something else than systemd starts is found and named, with what works there."""

from __future__ import annotations

import pytest
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG
from acr_node_config.kubelet_config.provider_entries import NAME
from acr_node_config.model.errors import RefusedError
from support.node_sites import OTHERS, OTHERS_YAML
from support.node_tree import Tree
from support.node_world import program

FLAGS = (f"--{CONFIG_FLAG}=/etc/p.yaml", f"--{BIN_DIR_FLAG}=/opt/p/")


@pytest.fixture
def bundle(tmp_path):
    return program(tmp_path / "bundle")


@pytest.fixture
def tree(tmp_path):
    made = Tree(tmp_path / "host").program("/usr/bin/kubelet")
    return made.program(f"/opt/p/{OTHERS}").write("/etc/p.yaml", OTHERS_YAML)


PARENTS = {
    "supervisord": (("/usr/bin/python3", "/usr/bin/supervisord", "-n"), "supervisorctl"),
    "supervise-daemon": (("supervise-daemon", "kubelet", "--start"), "rc-service"),
    "runsv": (("runsv", "kubelet"), "sv restart"),
    "s6-supervise": (("s6-supervise", "kubelet"), "s6-svc"),
    "k0s": (("/usr/local/bin/k0s", "worker"), "--kubelet-extra-args"),
    "start.sh": (("/bin/sh", "/opt/start.sh"), "where its others come from"),
    "monit": (("monit", "-I"), "where its others come from"),
}
CASES = pytest.mark.parametrize(("name", "words", "hint"), [(name, *rest) for name, rest in PARENTS.items()])


@CASES
def test_it_is_named_and_the_remedy_works(tree, bundle, name, words, hint):
    tree.process(60, *words, exe="/usr/bin/kubelet", unit="some.service")
    tree.process(70, "/usr/bin/kubelet", "--v=2", unit="some.service", parent=60)
    before = tree.listing()
    with pytest.raises(RefusedError) as refused:
        tree.node().plan(tree.request(bundle))
    assert name in refused.value.problem
    assert hint in refused.value.remedy
    assert "--mode files-only" in refused.value.remedy
    outcome = tree.node().install(tree.request(bundle, "files-only"))
    assert f"--{CONFIG_FLAG}=" in outcome.notes[0]
    assert not outcome.restarted
    tree.node().uninstall()
    assert tree.listing() == before


@CASES
def test_providers_that_it_has_are_joined_by_files_only(tree, bundle, name, words, hint):
    tree.process(60, *words, exe="/usr/bin/kubelet", unit="")
    tree.process(70, "/usr/bin/kubelet", *FLAGS, unit="", parent=60)
    outcome = tree.node().install(tree.request(bundle, "files-only"))
    assert "/etc/p.yaml" in outcome.changed
    assert f"/opt/p/{NAME}" in outcome.changed
    assert "restart it" in outcome.notes[0]
    assert f"--{CONFIG_FLAG}" not in outcome.notes[0]  # it has both


def test_microk8s_has_its_flags_in_a_file(tree, bundle):
    tree.program("/snap/microk8s/1/kubelite")
    tree.process(60, "/snap/microk8s/1/kubelite", exe="/snap/microk8s/1/kubelite", unit="snap.microk8s.x.service")
    with pytest.raises(RefusedError, match="kubelite"):
        tree.node().plan(tree.request(bundle))
    tree.write("/var/snap/microk8s/current/args/kubelet", "\n".join(["# a comment", "--v=2", *FLAGS, ""]))
    assert "/etc/p.yaml" in tree.node().install(tree.request(bundle, "files-only")).changed


@pytest.mark.parametrize("name", ["microshift", "edgecore"])
def test_what_takes_no_flags_for_its_kubelet_is_told_of_the_controller(tree, bundle, name):
    tree.program(f"/usr/bin/{name}").process(60, name, "run", exe=f"/usr/bin/{name}", unit=f"{name}.service")
    with pytest.raises(RefusedError, match=name) as refused:
        tree.node().plan(tree.request(bundle))
    assert "pull-secrets controller" in refused.value.remedy
    assert "files-only" not in refused.value.remedy


@pytest.mark.parametrize(
    "cgroup", ["/docker/4f1d", "/machine.slice/libpod-77aa.scope/container", "/system.slice/docker-1.scope"]
)
def test_so_is_a_kubelet_in_a_container_which_has_not_our_files(tree, bundle, cgroup):
    tree.process(70, "kubelet", unit="", parent=60).write("/proc/70/cgroup", f"0::{cgroup}\n")
    (tree.folder / "proc/70/ns/mnt").unlink()
    tree.link("/proc/70/ns/mnt", "/proc/self/ns/ipc")
    with pytest.raises(RefusedError, match="a container"):
        tree.node().plan(tree.request(bundle))


STRANGERS = {
    "a user's": {"uid": 1000},
    "a pod's": {"unit": "../kubepods.slice/pod0a1b2c3d-1111-2222-3333-444455556666"},
}


@pytest.mark.parametrize("how", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("words", [("kubelet",), ("kubelite",), ("microshift", "run")])
def test_a_stranger_who_is_called_so_is_nobody(tree, bundle, how, words):
    tree.program(f"/usr/bin/{words[0]}")
    tree.process(70, *words, exe=f"/usr/bin/{words[0]}", **{"unit": "", "parent": 60, **how})
    facts = tree.look()
    assert (facts.kubelet, facts.supervisor) == (None, None)


@pytest.mark.parametrize("word", ["--version", "--help", "-h"])
def test_a_kubelet_that_is_asked_for_its_version_is_none(tree, word):
    tree.process(70, "/usr/bin/kubelet", word, unit="", parent=60)
    assert tree.look().kubelet is None


def test_a_unit_of_the_nodes_own_counts_more_than_a_stray_kubelet(tree):
    tree.write("/etc/systemd/system/kubelet.service", "[Service]\nExecStart=/usr/bin/kubelet\n")
    tree.process(60, "/bin/sh", "/opt/test.sh", exe="/usr/bin/kubelet", unit="ci.service")
    tree.process(70, "/usr/bin/kubelet", unit="ci.service", parent=60)
    facts = tree.look()
    assert (facts.kubelet, facts.supervisor) == (None, None)
