"""What goes into the image together: the plugin's bundle and the controller's."""

import hashlib
import importlib.util
import json
import os
import shutil

import pytest
from acr_credential_provider.commands import subcommands
from acr_credential_provider.version import NAME
from distros.root_filesystem import Root
from support import harness

from dist import hardlink, sbom
from freeze import portable
from freeze.bundles import CONTROLLER, PLUGIN

FOLDERS = {"plugin": PLUGIN.executable.parent, "controller": CONTROLLER.executable.parent}
COMMANDS = [
    *[("plugin", command) for command in ("settings match-images", "doctor", "cache refresh")],
    *[("controller", command) for command in ("openshift link", "render eci", "doctor", "settings convert")],
    # Doors are opened by name: what is behind one in the source must be in the bundle that it belongs to.
    *[
        ("plugin" if module.startswith("acr_node_config") else "controller", word)
        for word, (module, _, _) in subcommands.LAZY_SUBCOMMANDS.items()
        if importlib.util.find_spec(module)
    ],
]


def size(folder):
    """Return the bytes of *folder* on disk, a file with several names once."""
    seen = {file.stat().st_ino: file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    return sum(seen.values())


def test_each_is_small_and_both_share_what_is_the_same(tmp_path):
    assert size(FOLDERS["plugin"]) <= 35e6
    for name, folder in FOLDERS.items():
        shutil.copytree(folder, tmp_path / name)
    before = size(tmp_path)
    spared = hardlink.link_equal_files([tmp_path / name for name in FOLDERS])
    assert size(tmp_path) == before - spared <= 80e6
    assert os.path.samefile(*(tmp_path / name / "lib/libpython3.11.so.1.0" for name in FOLDERS))
    for name, folder in FOLDERS.items():
        for file in folder.rglob("*"):
            if file.is_file():
                assert (tmp_path / name / file.relative_to(folder)).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(("bundle", "command"), COMMANDS)
def test_its_commands_run_where_nothing_else_is(tmp_path, bundle, command):
    root = Root(tmp_path, bundle=FOLDERS[bundle])
    program = root.program(tmp_path / "settings.yaml", tmp_path / "cache")
    ended = program.run(b"", *command.split(), "--help", under=root.under)
    assert (ended.code, ended.stderr) == (0, b"")
    name = "kubectl acr" if command.split()[0] in subcommands.LAZY_SUBCOMMANDS and bundle == "controller" else NAME
    assert ended.stdout.startswith(f"usage: {name} {command.split()[0]}".encode())


def test_the_controllers_bundle_needs_nothing_of_the_machine_either():
    folder = FOLDERS["controller"]
    for file in folder.rglob("*"):
        if portable.is_elf(file) and file != CONTROLLER.executable:
            assert [name for name in portable.needed(file) if not (folder / "lib" / name).is_file()] == [], file


def test_its_sbom_names_every_elf_file_and_what_only_it_has():
    parts = json.loads(CONTROLLER.inventory.read_text())
    bill = json.loads(sbom.sbom(parts, at=0, distribution="debian-12"))
    everything = [bill["metadata"]["component"], *bill["components"]]
    told = {each["name"]: each["hashes"][0]["content"] for one in everything for each in one.get("components", [])}
    folder = FOLDERS["controller"]
    there = {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if portable.is_elf(file)
    }
    assert told == there
    assert {"lightkube", "httpx2", "msgspec", "prometheus-client", "cryptography"} <= {
        each["name"] for each in everything
    }
    # The OpenSSL that cryptography's library has in itself is another one than Python's.
    purls = [each["purl"] for each in bill["components"]]
    assert [purl for purl in purls if purl.startswith("pkg:generic/openssl@")]
    assert [purl for purl in purls if purl.startswith("pkg:deb/debian/libssl3@")]


def test_a_command_of_the_other_bundle_is_told_as_that(tmp_path):
    program = harness.frozen(tmp_path / "settings.yaml", tmp_path / "cache")
    ended = program.run(b"", "openshift", "link")
    assert (ended.code, ended.stdout) == (1, b"")
    shown = b"this program does not have the command openshift [CommandNotInBuild]\nremedy: Use kubectl acr"
    assert shown in ended.stderr
