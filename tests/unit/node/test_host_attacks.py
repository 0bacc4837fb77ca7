"""What others do to a node's folders and files while the installer works on them leads no change astray."""

import os
import stat
import subprocess
import sys

import pytest
from acr_node_config.hostfs import dir_entry, host_exec
from acr_node_config.hostfs.host_files import DRAFT, HostFiles
from acr_node_config.model.errors import DiskError, UnsafePathError
from acr_node_config.model.steps import MakeFolder, PutFile, PutLink, PutTree, RemoveFile, RemoveFolder, RemoveTree
from support.swap import swapping

USER = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")


@pytest.fixture
def host(tmp_path):
    for name in ("host/etc/ours", "host/victim", "source"):
        (tmp_path / name).mkdir(parents=True, mode=0o755)
    (tmp_path / "host/etc/ours/x").write_text("old")
    (tmp_path / "host/victim/x").write_text("theirs")
    (tmp_path / "source/program").write_text("#!/bin/sh\n")
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)
    return HostFiles(str(tmp_path / "host"))


def seen(path):
    found = {}
    for top, inner, files in os.walk(path):
        for name in (".", *inner, *files):
            status = os.lstat(f"{top}/{name}")
            found[f"{top}/{name}"] = (status.st_mode, status.st_uid, status.st_ino, status.st_mtime_ns)
    return found


def steps_in(folder, tmp_path):
    source = str(tmp_path / "source")
    return {
        "put a file": PutFile(f"{folder}/x", b"new"),
        "put a link": PutLink(f"{folder}/x", "y"),
        "put a tree": PutTree(f"{folder}/tree", source, dir_entry.tree_digest(source)),
        "make a folder": MakeFolder(f"{folder}/made", 0o700, is_ours=True),
        "remove a file": RemoveFile(f"{folder}/x"),
        "remove a tree": RemoveTree(f"{folder}/x"),
        "remove a folder": RemoveFolder(f"{folder}/empty"),
    }


KINDS = ("put a file", "put a link", "put a tree", "make a folder", "remove a file", "remove a tree", "remove a folder")


@AS_ROOT
@pytest.mark.parametrize("kind", KINDS)
def test_a_users_symlink_that_comes_and_goes_in_the_place_of_a_folder_is_never_followed(host, tmp_path, kind):
    os.symlink("/victim", f"{host.root}/link")
    os.lchown(f"{host.root}/link", USER, USER)
    step, before = steps_in("/etc/ours", tmp_path)[kind], seen(f"{host.root}/victim")
    refused = []
    with swapping(f"{host.root}/etc/ours", f"{host.root}/link") as swaps:
        while len(swaps) < 300 or not refused:
            try:
                host.apply(step)
            except (UnsafePathError, DiskError) as error:
                refused.append(error)
    assert seen(f"{host.root}/victim") == before


@AS_ROOT
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["a user's", 0o777, 0o1777, 0o775])
def test_nothing_is_changed_below_a_folder_that_others_can_change(host, tmp_path, kind, how):
    os.mkdir(f"{host.root}/etc/ours/empty")
    if isinstance(how, int):
        os.chmod(f"{host.root}/etc", how)
    else:
        os.chown(f"{host.root}/etc", USER, USER)
    before = seen(f"{host.root}/etc")
    with pytest.raises(UnsafePathError, match="others than root"):
        host.apply(steps_in("/etc/ours", tmp_path)[kind])
    assert seen(f"{host.root}/etc") == before


@AS_ROOT
def test_a_draft_that_others_may_have_put_there_is_not_swept(host):
    draft = f"{host.root}/etc/ours/.x{DRAFT}"
    os.mkdir(draft)
    open(f"{draft}/kept", "w").close()
    os.chown(f"{host.root}/etc/ours", USER, USER)
    host.sweep("/etc/ours/x")
    assert os.listdir(draft) == ["kept"]
    os.chown(f"{host.root}/etc/ours", 0, 0)
    host.sweep("/etc/ours/x")
    assert not os.path.exists(draft)


@pytest.mark.parametrize("kind", ["a FIFO", "a socket", "a device", "a folder"])
def test_what_is_no_file_is_not_replaced_by_one(host, kind):
    path = f"{host.root}/etc/ours/special"
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a folder":
        os.mkdir(path)
    elif kind == "a socket" or os.geteuid():
        os.mknod(path, stat.S_IFSOCK | 0o600)
    else:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    before = os.lstat(path)
    with pytest.raises(UnsafePathError):
        host.apply(PutFile("/etc/ours/special", b"x"))
    assert os.lstat(path) == before


def test_a_hard_link_is_replaced_and_what_it_leads_to_keeps_its_content_owner_and_mode(host):
    os.unlink(f"{host.root}/etc/ours/x")
    os.link(f"{host.root}/victim/x", f"{host.root}/etc/ours/x")
    before = os.lstat(f"{host.root}/victim/x")
    host.apply(PutFile("/etc/ours/x", b"new", 0o600))
    after = os.lstat(f"{host.root}/victim/x")
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (before.st_mode, before.st_uid, before.st_mtime_ns)


@pytest.mark.parametrize("name", ["a\nb", os.fsdecode(b"\xff\xfe"), "-rf", "..."])
def test_names_of_files_in_a_tree_are_bytes(host, name):
    os.makedirs(f"{host.root}/etc/ours/tree/{name}")
    open(f"{host.root}/etc/ours/tree/{name}/{name}", "w").close()
    host.apply(RemoveTree("/etc/ours/tree"))
    assert host.listed("/etc/ours") == ["x"]


def test_a_tree_whose_source_changes_meanwhile_is_not_put_there(host, tmp_path):
    source = str(tmp_path / "source")
    step = PutTree("/etc/ours/tree", source, dir_entry.tree_digest(source))
    (tmp_path / "source/program").write_text("#!/bin/sh\nid\n")
    with pytest.raises(UnsafePathError, match="changed while it was copied"):
        host.apply(step)
    assert host.listed("/etc/ours") == ["x"]


REMOVE = """
import sys
from acr_node_config.hostfs.host_files import HostFiles
from acr_node_config.model.errors import DiskError
from acr_node_config.model.steps import RemoveTree
try:
    HostFiles(sys.argv[1]).apply(RemoveTree("/etc/ours"))
except DiskError as error:
    print(error)
"""


@AS_ROOT
def test_a_mount_below_a_tree_is_not_emptied_with_the_tree(host):
    os.mkdir(f"{host.root}/etc/ours/inner")
    before = seen(f"{host.root}/victim")
    bind = f'mount --bind {host.root}/victim {host.root}/etc/ours/inner; exec "$@"'
    words = ["unshare", "--mount", "--propagation=private", "sh", "-ec", bind, "sh", sys.executable, "-c", REMOVE]
    done = subprocess.run([*words, host.root], capture_output=True, text=True, check=False)
    assert "Device or resource busy" in done.stdout, done.stderr
    assert seen(f"{host.root}/victim") == before


def test_a_program_of_the_agent_is_a_child_that_ends_with_its_context():
    command = host_exec.Command(["/bin/sleep", "100"])
    with host_exec.started(command, "/", {}) as process:
        assert process.poll() is None
    assert process.returncode == -9
