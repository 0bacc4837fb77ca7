"""Flags for units without a place for them: a variable that the operator names, or a drop-in of ours."""

from __future__ import annotations

import pytest
from acr_credential_provider.console.command_line import CommandLineError
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG
from acr_node_config.commands import node_cli
from acr_node_config.discovery import unit_files
from acr_node_config.install.plan import placement_from_dict, placement_to_dict
from acr_node_config.model.errors import RefusedError
from acr_node_config.model.facts import KubeletUnit
from acr_node_config.model.placement import BIN_DIRS, OWN_CONFIG, DropInFlags, EnvironmentFlags, Placement, Wanted
from acr_node_config.placement.drop_in import drop_in
from acr_node_config.placement.start_guard import VARIABLE
from support.node_tree import Tree
from support.node_world import program

UNIT, DROP_IN = "/etc/systemd/system/kubelet.service", "/etc/systemd/system/kubelet.service.d"
OURS = f"{DROP_IN}/zz-aliyun-acr-credential-provider.conf"
GUARD = "/etc/aliyun-acr-credential-provider/kubelet-flags.sh"
BASE = ("/usr/bin/kubelet", "--config=/var/lib/kubelet/config.yaml")


@pytest.fixture
def bundle(tmp_path):
    return program(tmp_path / "bundle")


@pytest.fixture
def node(tmp_path):
    """Return a node by the lines of its unit, whose kubelet runs."""

    def made(*lines):
        tree = Tree(tmp_path / "host").write(UNIT, "\n".join(["[Service]", *lines, ""]))
        return tree.program("/usr/bin/kubelet").process(70, *BASE)

    return made


# --flags-in FILE:VARIABLE
NAMED = {
    "kubespray": ("/etc/kubernetes/kubelet.env", "KUBELET_ARGS", 'KUBELET_ARGS="--v=2 \\\n --a=b \\\n "\n'),
    "kOps": ("/etc/sysconfig/kubelet", "DAEMON_ARGS", 'DAEMON_ARGS="--v=2"\n'),
    "Fedora": ("/etc/kubernetes/kubelet", "KUBELET_POD_FLAGS", "KUBELET_POD_FLAGS=\n"),
    "any other": ("/srv/node/start.conf", "OPTIONS", "# ours\nOTHER=1\nOPTIONS='--v=2'"),
}


@pytest.mark.parametrize(("path", "variable", "text"), NAMED.values(), ids=NAMED)
def test_the_refusal_names_the_file_and_variable_and_they_work(node, bundle, path, variable, text):
    tree = node(f"EnvironmentFile=-{path}", f"ExecStart=/usr/bin/kubelet ${variable}").write(path, text)
    before = tree.listing()
    with pytest.raises(RefusedError) as refused:
        tree.node().plan(tree.request(bundle))
    assert f"--flags-in {path}:{variable}" in refused.value.remedy
    options = node_cli._parser().parse_args(["plan", "--flags-in", f"{path}:{variable}"])
    assert options.flags_in == EnvironmentFlags(path, variable)
    tree.node().install(tree.request(bundle, wanted=Wanted(flags_in=options.flags_in)))
    words = tree.look().unit.words()
    assert words[-2:] == [f"--{CONFIG_FLAG}={OWN_CONFIG}", f"--{BIN_DIR_FLAG}={BIN_DIRS[0]}"]
    tree.node().uninstall()
    assert tree.listing() == before


@pytest.mark.parametrize(
    "flags_in",
    [
        EnvironmentFlags("/etc/other.env", "KUBELET_ARGS"),  # the unit does not read it
        EnvironmentFlags("/etc/kubelet.env", "OTHER"),  # it does not use that one
        EnvironmentFlags("/etc/kubelet.env", "QUOTED"),  # it is a part of a word
    ],
)
def test_a_variable_that_would_not_reach_the_kubelet_is_refused(node, bundle, flags_in):
    tree = node("EnvironmentFile=/etc/kubelet.env", "ExecStart=/usr/bin/kubelet $KUBELET_ARGS --a=${QUOTED}")
    tree.write("/etc/kubelet.env", "KUBELET_ARGS=\nOTHER=\nQUOTED=\n").write("/etc/other.env", "KUBELET_ARGS=\n")
    with pytest.raises(RefusedError, match="does not"):
        tree.node().plan(tree.request(bundle, wanted=Wanted(flags_in=flags_in)))


@pytest.mark.parametrize("text", ["KUBELET_ARGS", "/etc/x", "/etc/x:", "etc/x:A", "/etc/x:A-B", "/etc/x:1A"])
def test_what_is_no_file_and_variable_is_no_argument(text):
    with pytest.raises(CommandLineError):
        node_cli._parser().parse_args(["plan", "--flags-in", text])


# --mode drop-in
COMMANDS = {
    "no variable": r"/usr/bin/kubelet --config=/x --v=2",
    "a variable in a word": r"/usr/bin/kubelet --node-ip=${IP} $ARGS $$HOME",
    "quotes and spaces": r"""/usr/bin/kubelet "--node-labels=a=b,c=\"d\"" '--x=y z' \x41""",
    "specifiers": r"/usr/bin/kubelet --hostname-override=%H --x=100%% --unit=%n",
    "several lines": "/usr/bin/kubelet \\\n  --a=1 \\\n# a comment\n  --b=2",
    "a failure that is ignored": "-/usr/bin/kubelet --a=b",
    "rights of root": "+/usr/bin/kubelet --a=b",
    "no variables at all": ":/usr/bin/kubelet --a=$B $C --d=$$",
    "a wrapper": "/usr/local/bin/wrapper /usr/bin/kubelet --a=b",
    "a semicolon": r"/usr/bin/kubelet --a=b \; --c",
    "an empty word": '/usr/bin/kubelet --a "" --b',
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_the_command_is_kept_word_by_word_and_gets_our_variable(command):
    unit = f"[Service]\nEnvironment=IP=192.0.2.1 'ARGS=--v=2 --w=3'\nExecStart={command}\n".encode()
    before = unit_files.parse([unit], "kubelet.service")
    read = KubeletUnit("kubelet.service", bare_command=before.command, prefixes=before.prefixes)
    after = unit_files.parse([unit, drop_in(DropInFlags(OURS), read)], "kubelet.service")

    def words(text, variables):
        return KubeletUnit("", text.command, variables, is_literal=text.is_literal).words()

    variables = {"IP": "192.0.2.1", "ARGS": "--v=2 --w=3"}
    assert words(after, {**variables, VARIABLE: "--x --y"}) == [*words(before, variables), "--x", "--y"]
    assert words(after, variables) == words(before, variables)  # the guard gave none
    assert set(after.prefixes) == set(before.prefixes) - {":"}
    assert not after.problem


def test_a_drop_in_is_written_guarded_and_taken_away_again(node, bundle):
    tree = node("ExecStart=/usr/bin/kubelet --v=2")
    before = tree.listing()
    with pytest.raises(RefusedError) as refused:
        tree.node().plan(tree.request(bundle))
    assert "--mode drop-in" in refused.value.remedy
    plan = tree.node().plan(tree.request(bundle, "drop-in"))
    outcome = tree.node().install(tree.request(bundle, "drop-in"))
    assert {step.path for step in plan.missing} == set(outcome.changed)
    assert {OURS, GUARD} < set(outcome.changed)
    text = (tree.folder / OURS.lstrip("/")).read_text()
    assert f"ExecStartPre=-/bin/sh {GUARD}" in text
    assert "ExecStart=\nExecStart=/usr/bin/kubelet --v=2 $" in text
    assert tree.node().plan(tree.request(bundle, "drop-in")).to_do == ()
    tree.node().uninstall()
    assert tree.listing() == before


def test_it_follows_a_unit_that_changes(node, bundle):
    tree = node("ExecStart=/usr/bin/kubelet --v=2")
    tree.node().install(tree.request(bundle, "drop-in"))
    tree.write(f"{DROP_IN}/10-more.conf", "[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --v=4\n")
    outcome = tree.node().install(tree.request(bundle, "drop-in"))
    assert outcome.changed == (OURS,)
    assert "--v=4" in (tree.folder / OURS.lstrip("/")).read_text()


UNFIT = {
    "a shell": ('ExecStart=/bin/sh -c "exec /usr/bin/kubelet --v=2"',),
    "another shell": ("ExecStart=/usr/bin/bash -c '/usr/bin/kubelet'",),
    "a container": ("ExecStart=/usr/bin/podman run kubelet:1 kubelet",),
    "two commands": ("Type=oneshot", "ExecStart=/usr/bin/kubelet", "ExecStart=/usr/bin/true"),
    "a first word of its own": ("ExecStart=@/usr/bin/kubelet kubelet --v=2",),
}


@pytest.mark.parametrize("lines", UNFIT.values(), ids=UNFIT)
def test_a_command_that_cannot_be_written_out_is_refused_and_no_drop_in_is_offered(node, bundle, lines):
    tree = node(*lines)
    for mode in ("auto", "drop-in"):
        with pytest.raises(RefusedError) as refused:
            tree.node().plan(tree.request(bundle, mode))
        assert "--mode drop-in" not in refused.value.remedy
        assert "files-only" in refused.value.remedy


def test_it_is_never_chosen_by_itself_and_keeps_to_its_mode(node, bundle):
    tree = node("ExecStart=/usr/bin/kubelet --v=2")
    tree.node().install(tree.request(bundle, "drop-in"))
    with pytest.raises(RefusedError, match="--mode drop-in"):
        tree.node().plan(tree.request(bundle))


@pytest.mark.parametrize("flags", [DropInFlags(OURS), EnvironmentFlags("/a", "B"), None])
def test_its_place_can_be_written_down_and_read(flags):
    placement = Placement("generic", "/b", "/c", True, False, flags, "kubelet.service")
    assert placement_from_dict(placement_to_dict(placement)) == placement
