"""Whatever others do to folders and names meanwhile, a change hits the folder that was proven, or nothing."""

import errno
import fcntl
import os
import stat
import subprocess
import sys

import pytest
from acr_credential_provider.changes import folder as layer
from acr_credential_provider.changes.way import OthersCanChangeError, is_a_users
from support.swap import swapping

USER = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="root is who could be misled; gives files to other users")
FS_IOC_SETFLAGS, IMMUTABLE = 0x40086602, 0x10


@pytest.fixture
def place(tmp_path):
    """A folder of ours, and beside it one with a file that no change may reach."""
    (tmp_path / "ours").mkdir(mode=0o700)
    (tmp_path / "victim").mkdir(mode=0o755)
    (tmp_path / "victim/x").write_text("theirs")
    (tmp_path / "victim/x").chmod(0o644)
    os.utime(tmp_path / "victim/x", (1, 1))
    return tmp_path


def seen(path):
    """Return all that a change of *path* could change."""
    found = {}
    for each in (path, *path.rglob("*")):
        status = each.lstat()
        content = each.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[each] = (status.st_mode, status.st_uid, status.st_nlink, status.st_mtime, content)
    return found


CHANGES = {
    "write": lambda folder: folder.put("x", b"secret", draft=".x."),
    "unlink": lambda folder: folder.unlink("x"),
    "rename": lambda folder: (os.close(folder.new_file("draft")), folder.rename("draft", "x")),
    "remove a tree": lambda folder: folder.remove_all("x"),
    "lock": lambda folder: os.close(folder.lock_file("y")),
    "touch": lambda folder: folder.touch("x"),
    "symlink": lambda folder: folder.symlink("/", "z"),
    "make a folder": lambda folder: folder.make_folder("sub", 0o700).close(),
    "chmod": lambda folder: folder.chmod(0o711),
}
every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


@every_change
def test_a_folder_that_is_replaced_by_a_symlink_between_check_and_use_leads_nowhere(place, change):
    (place / "ours/x").write_text("ours")
    before = seen(place / "victim")
    with layer.opened(str(place / "ours")) as folder:
        (place / "ours").rename(place / "moved")
        (place / "ours").symlink_to(place / "victim")
        change(folder)
    assert seen(place / "victim") == before


@every_change
def test_a_thread_that_swaps_the_folder_for_a_symlink_all_the_time_never_gets_a_change_through(place, change):
    (place / "way").mkdir()
    (place / "ours/x").touch()
    (place / "ours").rename(place / "way/ours")
    before = seen(place / "victim")
    (place / "link").symlink_to(place / "victim")
    with swapping(place / "way/ours", place / "link") as swaps, layer.opened(str(place / "way")) as above:
        done = 0
        while not done or len(swaps) < 300:
            try:
                with above.folder("ours") as folder:
                    change(folder)
                done += 1
            except OSError:  # the symlink is there
                continue
    assert seen(place / "victim") == before


@AS_ROOT
@pytest.mark.parametrize("how", ["another user's", "writable by a group", "writable by all", "a symlink of a user's"])
@pytest.mark.parametrize("do", [layer.opened, lambda path: layer.made(f"{path}/new", mode=0o755)])
def test_root_changes_nothing_below_a_folder_that_others_can_change(place, how, do):
    (place / "way").mkdir(mode=0o755)
    (place / "ours").rename(place / "way/ours")
    way = place / "way"
    if how.startswith("another"):
        os.chown(way, USER, USER)
    elif how.startswith("a symlink"):
        way.rename(place / "real")
        way.symlink_to("real")
        os.lchown(way, USER, USER)
    else:
        way.chmod(0o777 if how.endswith("all") else 0o775)
    with pytest.raises(OthersCanChangeError) as refused:
        do(f"{way}/ours")
    assert refused.value.filename == str(way)
    assert os.listdir(f"{way}/ours") == []


@AS_ROOT
def test_in_a_sticky_folder_root_makes_and_replaces_what_is_its_own_alone(place):
    (place / "ours").chmod(0o1777)
    (place / "ours/x").write_text("a user's")
    os.chown(place / "ours/x", USER, USER)
    with layer.opened(str(place / "ours")) as folder:
        folder.put("mine", b"1", draft=".mine.")
        folder.put("mine", b"2", draft=".mine.")
        for change in ("write", "unlink", "rename", "remove a tree", "touch"):
            with pytest.raises(OSError):
                CHANGES[change](folder)
    assert (place / "ours/x").read_text() == "a user's"
    assert (place / "ours/mine").read_text() == "2"
    assert [name for name in os.listdir(place / "ours") if name.startswith(".x.")] == []


def test_a_hard_link_to_anothers_file_is_replaced_and_the_file_stays(place):
    os.link(place / "victim/x", place / "ours/x")
    with layer.opened(str(place / "ours")) as folder:
        folder.put("x", b"ours", draft=".x.")
    assert ((place / "victim/x").read_text(), (place / "victim/x").stat().st_mode & 0o777) == ("theirs", 0o644)


@AS_ROOT
def test_a_hard_link_to_a_users_file_is_neither_locked_nor_touched(place):
    os.chown(place / "victim/x", USER, USER)
    os.link(place / "victim/x", place / "ours/x")
    before = seen(place / "victim")
    with layer.opened(str(place / "ours")) as folder:
        for change in (folder.lock_file, folder.touch):
            with pytest.raises(OSError):
                change("x")
    assert seen(place / "victim") == before


def special(kind, path):
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a symlink":
        os.symlink("../victim/x", path)
    elif kind == "a folder":
        os.mkdir(path)
    elif kind == "a socket":
        os.mknod(path, stat.S_IFSOCK | 0o600)
    elif os.geteuid():
        pytest.skip("only root can make a device")
    else:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))


@pytest.mark.parametrize("kind", ["a FIFO", "a symlink", "a folder", "a socket", "a device"])
@pytest.mark.parametrize("name", ["lock_file", "touch"])
def test_what_is_no_file_of_ours_is_neither_opened_nor_waited_for(place, kind, name):
    special(kind, place / "ours/x")
    before = seen(place)
    with layer.opened(str(place / "ours")) as folder, pytest.raises(OSError):
        getattr(folder, name)("x")
    assert seen(place) == before


@pytest.mark.parametrize("name", ["", ".", "..", "../victim/x", "/etc/passwd", "sub/x", "x\0y"])
def test_a_name_that_is_a_path_is_refused_by_each_change(place, name):
    before = seen(place)
    with layer.opened(str(place / "ours")) as folder:
        for change in (
            lambda: folder.put(name, b"", draft=".d."),
            lambda: folder.put("x", b"", draft=f"{name}/"),
            lambda: folder.new_file(name),
            lambda: folder.lock_file(name),
            lambda: folder.touch(name),
            lambda: folder.unlink(name),
            lambda: folder.rmdir(name),
            lambda: folder.remove_all(name or ".."),
            lambda: folder.rename("x", name),
            lambda: folder.rename(name, "x"),
            lambda: folder.symlink("x", name),
            lambda: folder.make_folder(name, 0o700),
            lambda: folder.folder(name),
        ):
            with pytest.raises(OSError):
                change()
    assert seen(place) == before


@pytest.mark.parametrize("name", ["a\nb", " ", "-rf", os.fsdecode(b"\xff\xfe"), "..."])
def test_odd_names_are_names(place, name):
    with layer.opened(str(place / "ours")) as folder:
        folder.put(name, b"1", draft=".d.")
        assert folder.names() == [name]
        folder.make_folder("tree", 0o700).put(name, b"2", draft=".d.")
        folder.remove_all("tree")
        folder.unlink(name)
    assert os.listdir(place / "ours") == []


@AS_ROOT
def test_a_file_that_cannot_be_replaced_keeps_its_content_and_no_draft_of_a_secret_stays(place):
    (place / "ours/x").write_text("kept")
    with open(place / "ours/x", "rb") as file:
        try:
            fcntl.ioctl(file, FS_IOC_SETFLAGS, IMMUTABLE.to_bytes(8, "little"))
        except OSError:
            pytest.skip("no immutable files here")
        try:
            with layer.opened(str(place / "ours")) as folder:
                for change in ("write", "unlink", "remove a tree"):
                    with pytest.raises(PermissionError):
                        CHANGES[change](folder)
            assert os.listdir(place / "ours") == ["x"]
        finally:
            fcntl.ioctl(file, FS_IOC_SETFLAGS, bytes(8))
    assert (place / "ours/x").read_text() == "kept"


def test_removing_a_tree_follows_no_symlink(place):
    (place / "ours/tree/inner").mkdir(parents=True)
    (place / "ours/tree/inner/way").symlink_to(place / "victim")
    (place / "ours/tree/file").symlink_to(place / "victim/x")
    before = seen(place / "victim")
    with layer.opened(str(place / "ours")) as folder:
        folder.remove_all("tree")
        folder.remove_all("tree")
    assert os.listdir(place / "ours") == []
    assert seen(place / "victim") == before


REMOVE = """
import sys
from acr_credential_provider.changes.folder import opened
with opened(sys.argv[1]) as folder:
    try:
        folder.remove_all("tree", keeps_mount=len(sys.argv) > 2)
        print("removed")
    except OSError as error:
        print(error.strerror, error.filename)
"""


def unshared(*commands):
    return ("unshare", "--mount", "--propagation=private", "sh", "-ec", "; ".join((*commands, 'exec "$@"')), "sh")


@AS_ROOT
@pytest.mark.parametrize("where", ["tree", "tree/inner"])
def test_what_is_mounted_in_a_tree_is_not_emptied_with_it(place, where):
    (place / "ours/tree/inner").mkdir(parents=True)
    before = seen(place / "victim")
    bind = f"mount --bind {place}/victim {place}/ours/{where}"
    words = [*unshared(bind), sys.executable, "-c", REMOVE, str(place / "ours")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == f"Device or resource busy {place}/ours/{where}\n", done.stderr
    assert seen(place / "victim") == before


@AS_ROOT
def test_a_tree_that_is_a_mount_of_our_own_pod_is_emptied_where_that_is_meant(place):
    (place / "ours/tree").mkdir()
    bind = f"mount --bind {place}/victim {place}/ours/tree"
    words = [*unshared(bind), sys.executable, "-c", REMOVE, str(place / "ours"), "keeps"]
    assert subprocess.run(words, capture_output=True, text=True, check=False).stdout == "removed\n"
    assert os.listdir(place / "victim") == []


FUSE = """
import ctypes, os, struct, sys, threading
from acr_credential_provider.changes.folder import opened
from acr_credential_provider.changes.way import OthersCanChangeError
device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40000,user_id={sys.argv[2]},group_id=0,allow_other".encode()
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"lies", sys.argv[1].encode(), b"fuse.lies", 0, options):
    sys.exit(os.strerror(ctypes.get_errno()))

def serve():  # answers that its root folder is root's, mode 0755
    while True:
        try:
            request = os.read(device, 1 << 17)
        except OSError:
            return
        length, opcode, unique = struct.unpack_from("IIQ", request)
        body, error = b"", 0
        if opcode == 26:
            body = struct.pack("IIIIHHIIHHI28x", 7, 31, 0, 0, 0, 0, 4096, 0, 0, 0, 0)
        elif opcode == 3:
            body = struct.pack("=QIIQ52xII20x", 1, 0, 0, 1, 0o40755, 2)
        elif opcode == 27:
            body = struct.pack("QII", 1, 0, 0)
        elif opcode in (2, 42):
            continue
        else:
            error = -38
        os.write(device, struct.pack("IiQ", 16 + len(body), error, unique) + body)

threading.Thread(target=serve, daemon=True).start()
status = os.stat(sys.argv[1])
print(status.st_uid, oct(status.st_mode))
try:
    opened(sys.argv[1]).close()
    print("taken")
except OthersCanChangeError as error:
    print("refused", error.filename)
sys.stdout.flush()
os._exit(0)
"""


@AS_ROOT
@pytest.mark.parametrize(("server", "said"), [(1000, "refused"), (0, "taken")])
def test_a_file_system_that_a_user_serves_is_not_believed_when_it_says_that_all_is_roots(place, server, said):
    words = [*unshared("true"), sys.executable, "-c", FUSE, str(place / "ours"), str(server)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    if "0o40755" not in done.stdout:
        pytest.skip(f"no FUSE here: {done.stderr[-200:]}")
    assert done.stdout.splitlines()[0] == "0 0o40755"
    assert done.stdout.splitlines()[1].startswith(said)


@pytest.mark.parametrize(
    ("line", "is_a_user"),
    [
        ("7 1 0:40 / /tmp/a\\040b rw - fuse s rw,user_id=1000,group_id=0", True),
        ("7 1 0:40 / /x rw shared:1 - fuse.s3fs s3fs rw,user_id=0,group_id=0,allow_other", False),
        ("7 1 0:40 / /x rw - fuseblk /dev/sdb1 rw,user_id=501", True),
        ("7 1 0:40 / /x rw - fuse.odd odd rw", True),
        ("7 1 0:40 / /x rw - tmpfs user_id=1000 rw", False),
        ("77 1 0:40 / /x rw - fuse s rw,user_id=1000", False),
    ],
)
def test_of_mounts_those_of_fuse_with_another_server_than_root_are_a_users(line, is_a_user):
    assert is_a_users(f"1 0 8:1 / / rw - ext4 /dev/sda rw\n{line}\n", "7", 0) is is_a_user


def test_a_temporary_folder_is_for_its_user_alone_and_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with layer.TemporaryFolder() as path:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
        (tmp_path / os.path.basename(path) / "store").mkdir()
    assert os.listdir(tmp_path) == []


def test_no_descriptor_stays_open_where_a_folder_is_refused(place):
    count = len(os.listdir("/proc/self/fd"))
    for path in ("victim/x", "absent", "victim/x/y"):
        for do in (layer.opened, layer.opened_shared):
            with pytest.raises(OSError) as error:
                do(str(place / path))
            assert error.value.errno in (errno.ENOENT, errno.ENOTDIR)
    layer.made(str(place / "a/b/c"), mode=0o700).close()
    assert len(os.listdir("/proc/self/fd")) == count
