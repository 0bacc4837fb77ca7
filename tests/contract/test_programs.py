"""Messages and documents name commands of programs that a reader can get, and that have them."""

import io
import re
import subprocess
import tarfile

import pytest
import yaml
from acr_credential_provider.commands import cli
from acr_credential_provider.console.command_line import commands_of
from acr_credential_provider.model import exit_codes
from acr_credential_provider.version import KUBECTL_PLUGIN, NAME

from dist.archives import archive, tracked
from dist.krew import manifest
from freeze.bundles import CONTROLLER, REPOSITORY

SUFFIXES = {".md", ".py", ".txt", ".yaml", ".sh", ".yml"}


def commands(parser, path=()):
    for word, command in commands_of(parser).items():
        yield (*path, word)
        yield from commands(command, (*path, word))


ON_CLUSTERS = {"pull-secrets", "openshift", "render", "status"}
PROGRAMS = {
    # The plugin's bundle has no command that works on a cluster; the controller's has none of a node.
    NAME: {path for path in commands(cli.make_parser(is_whole=True)) if path[0] not in ON_CLUSTERS},
    f"/controller/{NAME}": {path for path in commands(cli.make_parser(is_whole=True)) if path[0] != "node"},
    KUBECTL_PLUGIN: {path for path in commands(cli.make_parser(is_kubectl=True, is_whole=True)) if path[0] != "node"},
}
CALL = re.compile(
    rf"(?P<program>/controller/{NAME}|{KUBECTL_PLUGIN}|(?<![\w/.-]){NAME})(?P<words>(?: [a-z][a-z-]+\b)+)"
)
TEXTS = sorted(
    file
    for folder in (
        "docs",
        "packaging/chart",
        "packaging/manifests",
        "node-config",
        "provider",
        "README.md",
        "README.zh-CN.md",
    )
    for file in tracked(REPOSITORY / folder)
    if file.is_file() and file.suffix in SUFFIXES
)


def wrong_calls(text):
    """Return the calls in *text* of commands that the program named there does not have."""
    # A sentence may begin with the program's name: only words that are commands somewhere are a call.
    anywhere = {path[0] for known in PROGRAMS.values() for path in known}
    for call in CALL.finditer(text):
        words = call["words"].split()
        known = PROGRAMS[call["program"]]
        if words[0] in anywhere and (words[0],) not in known:
            yield call[0]
        elif any(path[: len(words[:2])] == tuple(words[:2]) for path in known):
            continue
        elif any(len(path) == 2 and path[0] == words[0] for path in known) and len(words) > 1:
            yield call[0]


@pytest.mark.parametrize(
    ("text", "is_wrong"),
    [
        ("aliyun-acr-credential-provider pull-secrets uninstall", True),
        ("aliyun-acr-credential-provider node instal", True),
        ("aliyun-acr-credential-provider openshift link a b", True),
        ("kubectl acr node status", True),
        ("/controller/aliyun-acr-credential-provider node status", True),
        ("/controller/aliyun-acr-credential-provider pull-secrets plan", False),
        ("kubectl acr plan --settings x", False),
        ("kubectl acr openshift link a", False),
        ("aliyun-acr-credential-provider node status", False),
        ("the program aliyun-acr-credential-provider of a release", False),
    ],
)
def test_a_call_of_what_a_program_does_not_have_is_seen(text, is_wrong):
    assert bool(list(wrong_calls(text))) is is_wrong


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_a_program_has_the_commands_for_which_it_is_named(file):
    assert list(wrong_calls(file.read_text())) == []


def test_no_message_names_a_command_for_clusters_without_its_program():
    """docs/remedies.md has all messages; who reads them on a node would look for the command there."""
    text = (REPOSITORY / "docs/remedies.md").read_text()
    words = sorted(f"{group} {path[1]}" for path in PROGRAMS[f"/controller/{NAME}"] if len(path) == 2
                   for group in ON_CLUSTERS & {path[0]})  # fmt: skip
    for word in [*words, "doctor --cluster"]:
        for found in re.finditer(rf"(?<![\w-]){word}\b", text):
            assert text[: found.start()].endswith((f"{KUBECTL_PLUGIN} ", "the command ")), text[found.start() - 80 :][
                :120
            ]


def test_the_documents_have_the_table_of_exit_codes():
    text = (REPOSITORY / "docs/reference/command-line.md").read_text()
    rows = re.findall(r"^\| (\d) \| (.+) \|$", text, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == exit_codes.MEANINGS


# What krew, whose code judges manifests of its index so, takes.
def test_the_manifest_is_one_that_krew_takes():
    digest = "0" * 64
    document = manifest("1.2.3", {"amd64": digest, "arm64": digest}, "https://example.com/v1.2.3")
    assert yaml.safe_load(yaml.safe_dump(document)) == document
    assert document["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert re.fullmatch(r"[\w-]+", document["metadata"]["name"])
    spec = document["spec"]
    assert re.fullmatch(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", spec["version"])
    assert 0 < len(spec["shortDescription"]) <= 50
    assert "\n" not in spec["shortDescription"]
    for platform in spec["platforms"]:
        assert set(platform) == {"selector", "uri", "sha256", "files", "bin"}
        assert set(platform["selector"]["matchLabels"]) == {"os", "arch"}
        assert re.fullmatch(r"https://\S+\.tar\.gz", platform["uri"])
        assert re.fullmatch(r"[a-f0-9]{64}", platform["sha256"])
        assert ".." not in platform["bin"]
        assert all(each["from"] and each["to"] for each in platform["files"])


def test_the_plugin_of_kubectl_is_a_name_of_the_controllers_program(tmp_path, monkeypatch):
    """By a symlink in PATH, as krew and README put it there; kubectl hands over all words."""
    folder = tmp_path / "a folder" / "controller"
    folder.mkdir(parents=True)
    (folder / "kubectl-acr").write_bytes((REPOSITORY / "packaging/freeze" / CONTROLLER.script).read_bytes())
    (folder / "kubectl-acr").chmod(0o755)
    (folder / NAME).write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    (folder / NAME).chmod(0o755)
    link = tmp_path / "bin" / "kubectl-acr"
    link.parent.mkdir()
    link.symlink_to(folder / "kubectl-acr")
    ended = subprocess.run(["kubectl-acr", "plan", "a b", ""], check=True, capture_output=True, text=True,
                           env={"PATH": f"{link.parent}:/usr/bin:/bin"})  # fmt: skip
    assert ended.stdout == "kubectl|plan|a b||"


def test_krew_can_unpack_the_archive(tmp_path):
    """It takes files and folders, and refuses an archive with a symlink or a hard link."""
    folder = tmp_path / "controller"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib/x").write_text("x")
    with tarfile.open(fileobj=io.BytesIO(archive(folder, 0))) as tar:
        assert all(member.isreg() or member.isdir() for member in tar)
    assert not [file for file in CONTROLLER.executable.parent.rglob("*") if file.is_symlink()]
