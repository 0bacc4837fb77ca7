"""Files of a host: none outside of it, none that others could change, each whole or not there."""

from __future__ import annotations

import errno
import os
import stat

import pytest
from acr_node_config.hostfs import dir_entry, safe_path
from acr_node_config.hostfs.host_files import DRAFT, HostFiles
from acr_node_config.model import steps
from acr_node_config.model.errors import DiskError, UnsafePathError
from acr_node_config.model.steps import MakeFolder, PutFile, PutLink, PutTree, RemoveFolder, RemoveTree


@pytest.fixture
def host(tmp_path):
    for name in ("host/etc/default", "host/opt", "outside"):
        (tmp_path / name).mkdir(parents=True)
    for path in tmp_path.rglob("*"):
        path.chmod(0o755)
    return HostFiles(str(tmp_path / "host"))


@pytest.fixture
def outside(tmp_path):
    return tmp_path / "outside"


def below(host, path):
    return host.outside(path)


@pytest.mark.parametrize("target", ["../../outside", "../../../outside", "default/../../../outside"])
def test_a_symlink_that_leaves_the_root_is_refused(host, outside, target):
    os.symlink(target, below(host, "/etc/way"))

    for do in (lambda: host.apply(PutFile("/etc/way/x", b"")), lambda: host.stat("/etc/way/x")):
        with pytest.raises(UnsafePathError, match="leaves the host's root"):
            do()
    assert list(outside.iterdir()) == []


def test_an_absolute_symlink_means_the_hosts_root(host, outside):
    os.symlink("/opt", below(host, "/etc/way"))
    os.symlink(str(outside), below(host, "/etc/other"))

    host.apply(PutFile("/etc/way/x", b"1"))

    assert host.stat("/opt/x").content == b"1"
    with pytest.raises(DiskError):
        host.apply(PutFile("/etc/other/x", b"1"))
    assert list(outside.iterdir()) == []


def test_a_ring_of_symlinks_has_an_end(host):
    os.symlink("b", below(host, "/etc/a"))
    os.symlink("a", below(host, "/etc/b"))

    with pytest.raises(DiskError):
        host.apply(PutFile("/etc/a/x", b""))


@pytest.mark.parametrize("path", ["etc/x", "/etc/..", "/etc/.", "/", "/etc/"])
def test_a_path_that_names_no_file_is_refused(host, path):
    with pytest.raises(UnsafePathError):
        host.apply(PutFile(path, b""))


def test_a_file_that_is_a_symlink_is_not_written_through(host, outside):
    (outside / "victim").write_text("theirs")
    os.symlink("../../outside/victim", below(host, "/etc/x"))

    with pytest.raises(UnsafePathError, match="no plain file"):
        host.apply(PutFile("/etc/x", b"ours"))

    assert (outside / "victim").read_text() == "theirs"


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o1777])
def test_nothing_is_put_where_others_than_root_could_change_it(host, mode):
    os.chmod(below(host, "/opt"), mode)

    for do in (lambda: host.apply(PutFile("/opt/x", b"")), lambda: host.verify_parents("/opt/x")):
        with pytest.raises(UnsafePathError, match="others than root"):
            do()
    assert host.listed("/opt") == []
    assert host.stat("/opt/x").is_absent  # looking is always possible


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder away")
def test_nor_where_the_folder_is_somebody_elses(host):
    os.chown(below(host, "/opt"), 65534, 65534)

    with pytest.raises(UnsafePathError, match="others than root"):
        host.apply(PutFile("/opt/x", b""))


def test_a_folder_of_ours_that_somebody_made_for_all_to_read_is_tightened_and_given_back(host):
    os.mkdir(below(host, "/etc/ours"))
    os.chmod(below(host, "/etc/ours"), 0o755)  # whatever the umask
    before = host.stat("/etc/ours")

    host.apply(MakeFolder("/etc/ours", 0o700, is_ours=True))
    assert stat.S_IMODE(os.stat(below(host, "/etc/ours")).st_mode) == 0o700
    host.restore("/etc/ours", before)

    assert stat.S_IMODE(os.stat(below(host, "/etc/ours")).st_mode) == 0o755


def test_a_folder_of_others_keeps_its_mode(host):
    os.chmod(below(host, "/opt"), 0o711)
    step = MakeFolder("/opt")
    assert host.satisfies(step)

    host.apply(step)

    assert stat.S_IMODE(os.stat(below(host, "/opt")).st_mode) == 0o711


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_are_what_was_asked_for_whatever_the_umask(host, umask):
    old = os.umask(umask)
    try:
        host.apply(MakeFolder("/opt/a"))
        host.apply(PutFile("/opt/a/x", b"", 0o640))
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(below(host, "/opt/a")).st_mode) == 0o755
    assert stat.S_IMODE(os.stat(below(host, "/opt/a/x")).st_mode) == 0o640


def test_a_reader_sees_the_old_file_or_the_new_one(host, tmp_path):
    seen = []
    path = below(host, "/etc/x")

    def look(_change):
        with open(path, "rb") as file:
            seen.append(file.read())

    host.apply(PutFile("/etc/x", b"old"))
    HostFiles(str(tmp_path / "host"), after_each=look).apply(PutFile("/etc/x", b"new"))

    assert seen == [b"old", b"new"]


@pytest.mark.parametrize("name", ["p.json", "p.yaml", "p.yml", "p.conf"])
def test_a_draft_has_no_name_that_a_kubelet_or_systemd_reads(host, tmp_path, name):
    seen = []

    def look(change):
        if change.startswith("drafted"):
            seen.extend(os.listdir(below(host, "/etc/default")))

    HostFiles(str(tmp_path / "host"), after_each=look).apply(PutFile(f"/etc/default/{name}", b"x"))

    assert len(seen) == 1
    assert seen[0].startswith(".")
    assert not seen[0].endswith((".json", ".yaml", ".yml", ".conf", ".service"))


def test_what_a_killed_run_left_is_swept_and_in_nobodys_way(host):
    draft = below(host, f"/etc/.x{DRAFT}")
    os.mkdir(draft)
    open(f"{draft}/half", "w").close()

    host.apply(PutFile("/etc/x", b"whole"))
    assert host.stat("/etc/x").content == b"whole"
    assert not os.path.exists(draft)

    os.symlink("/nowhere", draft)
    host.sweep("/etc/x")
    assert not os.path.lexists(draft)


def test_a_full_disk_leaves_the_old_file_and_no_draft(host, tmp_path):
    """A limit on a file's size stands in for the disk's: the write fails in the same place."""
    import resource
    import signal

    host.apply(PutFile("/etc/x", b"old"))
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            host.apply(PutFile("/etc/x", b"n" * 1000))
        except DiskError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert host.stat("/etc/x").content == b"old"
    assert host.listed("/etc") == ["default", "x"]


@pytest.mark.parametrize(
    ("number", "word"), [(errno.ENOSPC, "space"), (errno.EROFS, "read-only"), (errno.EPERM, "root"), (0, "Look")]
)
def test_what_the_disk_says_comes_with_a_remedy(number, word):
    with pytest.raises(DiskError) as error, safe_path.translate_os_errors("/etc/x"):
        raise OSError(number, "ignored")
    assert word in error.value.remedy
    assert "/etc/x" in str(error.value)


def test_a_tree_is_the_same_by_its_bytes_and_by_who_may_run_them(host, tmp_path):
    source = tmp_path / "source"
    (source / "lib").mkdir(parents=True)
    (source / "run").write_text("x")
    (source / "run").chmod(0o700)
    (source / "lib" / "data").write_text("y")
    (source / "lib" / "link").symlink_to("data")
    digest = dir_entry.tree_digest(str(source))

    host.apply(PutTree("/opt/tree", str(source), digest))

    assert host.satisfies(PutTree("/opt/tree", str(source), digest))
    assert stat.S_IMODE(os.stat(below(host, "/opt/tree/run")).st_mode) == 0o755
    assert stat.S_IMODE(os.stat(below(host, "/opt/tree/lib/data")).st_mode) == 0o644
    for change in (
        lambda: os.chmod(below(host, "/opt/tree/lib/data"), 0o666),
        lambda: os.chmod(below(host, "/opt/tree/run"), 0o644),
        lambda: open(below(host, "/opt/tree/lib/more"), "w").close(),
    ):
        change()
        assert not host.satisfies(PutTree("/opt/tree", str(source), digest))
        host.apply(RemoveTree("/opt/tree"))
        host.apply(PutTree("/opt/tree", str(source), digest))


@pytest.mark.parametrize("place", ["bin/.programs/1.0-abc", "bin/1.0", "bin/one/two"])
def test_a_program_that_was_unpacked_where_it_is_installed_is_copied_without_what_is_installed(host, place):
    unpacked = below(host, "/opt/aliyun-acr-credential-provider")
    os.mkdir(unpacked, 0o755)
    for name in ("lib", "lib/bin"):
        os.mkdir(f"{unpacked}/{name}", 0o755)
    for name in ("run", "lib/bin/data"):
        with open(f"{unpacked}/{name}", "w") as file:
            file.write(name)
    digest = dir_entry.tree_digest(unpacked)
    tree = f"/opt/aliyun-acr-credential-provider/{place}"
    for folder in (f"/opt/aliyun-acr-credential-provider/{'/'.join(place.split('/')[:deep])}" for deep in (1, 2)):
        if folder != tree and tree.startswith(folder):
            host.apply(MakeFolder(folder, 0o755))
    for _ in ("at first", "again"):
        host.apply(PutTree(tree, unpacked, digest))
        assert host.digest(tree) == digest
        assert sorted(os.listdir(below(host, tree))) == ["lib", "run"]
        assert os.listdir(below(host, f"{tree}/lib/bin")) == ["data"]
        assert dir_entry.tree_digest(unpacked) == digest
        host.apply(RemoveTree(tree))


def test_what_is_added_to_an_installed_program_is_seen_by_any_name(host, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "run").write_text("x")
    digest = dir_entry.tree_digest(str(tmp_path / "source"))
    host.apply(PutTree("/opt/tree", str(tmp_path / "source"), digest))
    os.mkdir(below(host, "/opt/tree/bin"), 0o755)
    assert host.digest("/opt/tree") != digest


def test_a_tree_is_known_wherever_one_stands(host, tmp_path, monkeypatch):
    """A working directory that was removed is what a container that was entered has."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "x").write_text("x")
    digest = dir_entry.tree_digest(str(tmp_path / "source"))
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    host.apply(PutTree("/opt/tree", str(tmp_path / "source"), digest))

    assert host.digest("/opt/tree") == digest


def test_removing_a_tree_follows_no_link(host, outside):
    (outside / "kept").write_text("x")
    host.apply(MakeFolder("/opt/tree"))
    os.symlink(outside, below(host, "/opt/tree/way"))

    host.apply(RemoveTree("/opt/tree"))

    assert host.listed("/opt") == []
    assert (outside / "kept").exists()


def test_a_folder_that_others_use_meanwhile_stays(host):
    host.apply(MakeFolder("/opt/a"))
    host.apply(PutFile("/opt/a/theirs", b""))

    host.apply(RemoveFolder("/opt/a"))

    assert host.listed("/opt/a") == ["theirs"]


def test_a_link_may_take_a_files_place_and_back(host):
    host.apply(PutFile("/opt/x", b"a program by hand", 0o755))
    before = host.stat("/opt/x")

    host.apply(PutLink("/opt/x", ".tree/x"))
    assert host.stat("/opt/x").target == ".tree/x"
    host.restore("/opt/x", before)

    assert host.stat("/opt/x") == before


def test_the_content_of_a_file_is_in_no_repr():
    assert "secret" not in repr(PutFile("/x", b"secret"))
    assert "secret" not in repr(steps.PathState(steps.FILE, content=b"secret"))
    assert "secret" not in str(steps.step_to_dict(PutFile("/x", b"secret")))
