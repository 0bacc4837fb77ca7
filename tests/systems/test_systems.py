"""Every system that people run Kubernetes on: it works there, or the remedy does, and the node is given back."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG, flag
from acr_node_config.install.state import FOLDER
from acr_node_config.kubelet_config.provider_entries import NAME
from acr_node_config.model.errors import RefusedError
from cluster import parts
from systems import layout
from systems.node import SystemNode
from systems.operator_steps import CONTROLLER, RENDERS, RESULTS, Operator, paths_of

LAYOUTS = layout.every()
CELLS = [(name, state) for name, each in LAYOUTS.items() for state in each.result]
LOOKUPS = {module.version[1:].rpartition(".")[0]: module for module in parts.lookups()}


@pytest.fixture(params=CELLS, ids=" - ".join)
def cell(request, bundles, settings):
    name, state = request.param
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:  # each step is flushed to the disk, if there is one
        node = SystemNode(Path(folder), LAYOUTS[name], has_others=state == "others")
        yield node, Operator(node, bundles[0], settings), state


def test_there_are_thirty_systems_each_with_its_source_and_commit():
    assert len(LAYOUTS) >= 30
    for name, each in LAYOUTS.items():
        assert "@" in each.source or "documentation" in each.source, name
        assert each.result
        assert set(each.result.values()) <= set(RESULTS), name


def test_the_other_way_of_kubekeys_remedy_works_too(tmp_path, bundles, settings):
    node = SystemNode(tmp_path, LAYOUTS["kubekey"])
    words = node.kubelet_words()
    operator = Operator(node, bundles[0], settings)
    with pytest.raises(RefusedError) as refused:
        operator.plan()
    path = re.match(r"Move its value to (\S+);", refused.value.remedy)[1]

    unit = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"
    line = re.search(r'^Environment="(KUBELET_EXTRA_ARGS)=(.*)"\n', node.read(unit), re.MULTILINE)
    node.write(path, f'{line[1]}="{line[2]}"\n')
    node.write(unit, node.read(unit).replace(line[0], ""))
    assert (node.start(), node.kubelet_words()) == ("", words)

    operator.finish(operator.install())
    check_works(operator, words, [])


def test_it_works_or_the_remedy_does_and_the_node_is_given_back(cell, bundles):
    node, operator, state = cell
    before, words = node.tree(), node.kubelet_words()
    theirs = node.providers()

    # Plan changes nothing, and leads to a node that works, or says that nothing goes onto it.
    plan = operator.arrive()
    assert operator.result == node.layout.result[state], operator.options
    assert node.tree() == before
    if operator.result == CONTROLLER:
        assert operator.describe() == node.layout.ends[state]
        return

    # Install changes what plan listed.
    outcome = operator.install()
    installed = node.tree()
    assert changed(before, installed) == listed(node, plan, installed)
    assert not [path for path in changed(before, installed) if not node.is_writable(path)]
    operator.finish(outcome)
    assert operator.describe() == node.layout.ends[state]
    check_works(operator, words, theirs)
    assert operator.plan().to_do == ()
    given = node.tree()

    # Another version, which covers more.
    operator.bundle = bundles[1]
    plan = operator.plan()
    operator.finish(operator.install())
    upgraded = node.tree()
    old_programs = {path for path in changed(given, upgraded) if path not in upgraded}
    assert changed(given, upgraded) - old_programs == listed(node, plan, upgraded) & changed(given, upgraded)
    check_works(operator, words, theirs)

    # Given back.
    operator.take_back(node.others() if state == "others" else {})
    operator.uninstall()
    assert node.tree() == before
    assert node.start() == ""
    assert node.kubelet_words() == words


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Return the paths that differ, without the installer's own records."""
    paths = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    return {path for path in paths if not is_record(path)}


def is_record(path: str) -> bool:
    if path == "/run" or path.startswith("/run/"):  # what the guard writes at a start, gone after a boot
        return True
    return path == FOLDER or (path.startswith(f"{FOLDER}/") and not path.startswith(f"{FOLDER}/bin"))


def listed(node: SystemNode, plan, after: dict[str, str]) -> set[str]:
    """Return the paths that *plan* names, past symlinks, with all that is in the folders that it puts there."""
    paths, trees = (set(map(node.past_links, each)) for each in paths_of(plan))
    inside = {path for path in after if path.startswith(tuple(f"{tree}/" for tree in trees))}
    return {path for path in {*paths, *inside} if not is_record(path)}


def check_works(operator: Operator, before: list[str], theirs: list[str]) -> None:
    """Assert that the kubelet runs with the plugin and with all that it had, and that its own code takes the files."""
    node = operator.node
    assert node.start() == ""
    if operator.result == RENDERS:  # what the MachineConfig does: tests/systemd/test_openshift.py
        return
    words = node.kubelet_words()
    config, bin_dir = flag(words, CONFIG_FLAG), flag(words, BIN_DIR_FLAG)
    ours = {f"--{CONFIG_FLAG}={config}", f"--{BIN_DIR_FLAG}={bin_dir}"}
    assert [word for word in words if word not in ours] == [word for word in before if word not in ours]
    assert NAME in node.providers()
    assert set(theirs) <= set(node.providers())
    assert node.at(f"{bin_dir}/{NAME}").is_file()
    module = LOOKUPS.get(node.layout.version)
    if module is not None and (module.built / "lookup").exists():
        judged = [str(module.built / "lookup"), str(node.at(config)), str(node.at(bin_dir)), "nowhere.invalid/x"]
        ended = subprocess.run(judged, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["logins"] == []
