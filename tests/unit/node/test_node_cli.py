"""The installer's command line, as far as it needs no node."""

from __future__ import annotations

import json
import stat

import pytest
from acr_node_config.commands import node_cli
from acr_node_config.install.journal import Installed
from acr_node_config.install.node import Node
from acr_node_config.install.requests import InstallStatus
from acr_node_config.kubelet import healthz, probe
from acr_node_config.kubelet_config.provider_entries import NAME

SAYS = {"matchImages": ["*.*.cr.aliyuncs.com"], "tokenMode": None}


@pytest.fixture
def bundle(tmp_path):
    """A program that says its version and what the settings on stdin cover, and of some that they are wrong."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    script = folder / NAME
    script.write_text(
        "#!/bin/sh\n"
        f'case "$1" in --version) echo {NAME} 0.1.0;; '
        "settings) case \"$3 $(cat)\" in '- '*wrong*) echo 'error: stdin, line 3: no region' >&2; "
        "echo 'remedy: Add it.' >&2; exit 1;; "
        f"*) echo '{json.dumps(SAYS)}';; esac;; esac\n"
    )
    script.chmod(0o755)
    return str(folder)


def ran(capfd, *words):
    code = node_cli.run(list(words))
    said = capfd.readouterr()
    return code, said.out, said.err


def test_an_empty_node_has_nothing_installed_and_looking_leaves_no_trace(capfd, tmp_path):
    root = tmp_path / "host"
    root.mkdir()

    code, out, _ = ran(capfd, "status", "--host-root", str(root), "--output", "json")

    assert (code, json.loads(out)["program"], json.loads(out)["watched"]) == (0, "", [])
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(("is_well", "code"), [(True, 0), (False, 1)])
def test_what_healthz_prints_is_what_a_pod_reads_from_it(capfd, monkeypatch, is_well, code):
    monkeypatch.setattr(healthz, "answers", lambda: is_well)

    ended, out, _ = ran(capfd, "healthz")

    assert (ended, probe.HEALTH[out.strip().encode()]) == (code, is_well)


def test_the_exit_code_of_verify_says_whether_it_found_a_problem(capfd, monkeypatch, tmp_path):
    where = ("verify", "--host-root", str(tmp_path))
    monkeypatch.setattr(Node, "verify", lambda _node: [])
    assert ran(capfd, *where) == (0, "all is well\n", "")
    monkeypatch.setattr(Node, "verify", lambda _node: ["a file is gone"])
    code, out, _ = ran(capfd, *where, "--output", "json")
    assert (code, json.loads(out)) == (1, {"problems": ["a file is gone"]})


@pytest.mark.parametrize(
    ("called_at", "line"),
    [(0.0, "calls: The kubelet has not called it yet."), (1764583200.0, "calls: In use since 2025-12-01T10:00:00Z.")],
)
def test_status_tells_installed_from_in_use(capfd, monkeypatch, tmp_path, called_at, line):
    found = InstallStatus(Installed(version="1.0", tree="/opt/x", confirmed=True), first_call=called_at)
    monkeypatch.setattr(Node, "status", lambda _node: found)
    code, out, _ = ran(capfd, "status", "--host-root", str(tmp_path))
    assert (code, out.splitlines()[-1]) == (0, line)


def test_a_node_without_a_kubelet_is_refused_and_stays_untouched(capfd, tmp_path, bundle):
    root = tmp_path / "host"
    (root / "proc").mkdir(parents=True)
    (tmp_path / "settings.yaml").write_text("a: b\n")
    words = ("--host-root", str(root), "--bundle", bundle, "--settings", str(tmp_path / "settings.yaml"))

    code, _, err = ran(capfd, "plan", *words)

    assert code == 3
    assert err.startswith("error: no kubelet runs here")
    assert "remedy: " in err
    assert [each.name for each in root.iterdir()] == ["proc"]


def test_unusable_settings_are_refused_in_the_programs_own_words(capfd, tmp_path, bundle):
    path = tmp_path / "settings.yaml"
    path.write_text("a: wrong\n")

    code, _, err = ran(capfd, "plan", "--bundle", bundle, "--settings", str(path))

    assert (code, err) == (3, f"error: {path}, line 3: no region\nremedy: Add it.\n")


def test_files_only_puts_files_and_says_what_is_left_to_do(capfd, tmp_path, bundle):
    root = tmp_path / "host"
    for name in ("proc", "opt", "etc", "var/lib"):
        (root / name).mkdir(parents=True)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755)
    (tmp_path / "settings.yaml").write_text("a: b\n")
    words = ("--host-root", str(root), "--bundle", bundle, "--settings", str(tmp_path / "settings.yaml"))

    code, out, err = ran(capfd, "plan", *words, "--mode", "files-only", "--output", "json")

    plan = json.loads(out)
    assert (code, plan["restarts"]) == (0, False)
    assert {"PutTree", "PutLink", "PutFile", "MakeFolder"} == {each["step"] for each in plan["steps"]}
    assert any("--image-credential-provider-config=" in note for note in plan["notes"])
    assert not (root / "opt" / "aliyun-acr-credential-provider").exists()
    assert stat.S_IMODE((root / "opt").stat().st_mode) == 0o755
    assert err == ""


@pytest.mark.parametrize(
    "words",
    [
        ("install", "--bin-dir", "relative"),
        ("install", "--stable-for", "100"),
        ("install", "--mode", "x"),
        ("nothing",),
    ],
)
def test_a_command_line_that_is_not_understood_ends_with_2(capfd, words):
    code, out, err = ran(capfd, *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "\nremedy: " in err


def test_help_says_what_each_exit_code_means(capfd):
    with pytest.raises(SystemExit) as ended:
        node_cli.run(["--help"])
    assert ended.value.code == 0
    out = capfd.readouterr().out
    assert "4  node: the kubelet was not healthy with the change" in out
    assert "==SUPPRESS==" not in out


def test_a_folder_without_a_program_is_told_as_such(capfd, tmp_path):
    code, _, err = ran(capfd, "plan", "--bundle", str(tmp_path))
    assert code == 1
    assert "holds no aliyun-acr-credential-provider" in err
