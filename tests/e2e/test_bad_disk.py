"""Whatever is wrong with the cache folder, the pull gets its token, and nobody else's hands are in it."""

import errno
import hashlib
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from e2e.assertions import (
    NOBODY,
    NOT_ROOT,
    assert_answered,
    assert_told,
    assert_whole,
    can_mount,
    files_in,
    image_of,
    mounted,
    unprivileged,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away or become somebody else")
needs_mounts = pytest.mark.skipif(not can_mount(), reason="no mount namespace to be had")
FOLDERS = ["", "memo", "locks", "store"]


def _spoil(folder, what):
    """Make *folder*, full of an earlier answer, something that must not be used; return where its content is now."""
    aside = folder.with_name(folder.name + "-aside")
    if what == "a file":
        folder.rename(aside)
        folder.write_text("not a folder")
        return aside
    if what == "a symlink":
        folder.rename(aside)
        folder.symlink_to(aside)
        return aside
    if what == "another user's":
        os.chown(folder, NOBODY, NOBODY)
    else:
        folder.chmod(0o777 if what == "writable by all" else 0o770)
    return folder


@needs_root
@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("what", ["a file", "a symlink", "writable by all", "writable by a group", "another user's"])
def test_a_folder_that_is_not_ours_alone_is_neither_read_nor_written(frozen, sandbox, name, what):
    assert frozen.ask(image_of(sandbox)).code == 0
    content = _spoil(frozen.cache / name if name else frozen.cache, what)
    before = files_in(content)
    calls = sandbox.calls.count("GetAuthorizationToken")
    for turn in range(2):
        ended = frozen.ask(image_of(sandbox))
        assert ended.code == 0
        assert_whole(ended.stdout, sandbox)
        if name in ("", "memo"):
            # A memo that is good hides what is wrong with the other folders, which it does not need.
            note, *more = ended.stderr.decode().splitlines()
            assert note.startswith(f"note: the cache folder {frozen.cache}")
            assert not more
            assert sandbox.calls.count("GetAuthorizationToken") == calls + 1 + turn
    assert files_in(content) == before


@needs_root
@pytest.mark.parametrize("name", ["locks", "store"])
def test_a_folder_that_others_can_write_is_not_used_by_a_miss_either(frozen, sandbox, name):
    assert frozen.ask(image_of(sandbox)).code == 0
    for memo in (frozen.cache / "memo").glob("*"):
        memo.unlink()
    (frozen.cache / name).chmod(0o777)
    before = files_in(frozen.cache)
    ended = frozen.ask(image_of(sandbox))
    assert_whole(ended.stdout, sandbox)
    assert str(frozen.cache / name).encode() in ended.stderr
    assert files_in(frozen.cache) == before
    assert sandbox.calls.count("GetAuthorizationToken") == 2


@needs_root
def test_a_failure_beside_an_unsafe_folder_is_still_one_error_with_one_remedy(frozen, sandbox):
    frozen.cache.mkdir(mode=0o777)
    frozen.cache.chmod(0o777)
    sandbox.state.remove_key(sandbox.key.id)
    ended = frozen.ask(image_of(sandbox))
    assert [line.partition(":")[0] for line in ended.stderr.decode().splitlines()] == ["note", "error", "remedy"]
    assert b"InvalidAccessKeyId" in ended.stderr


NO_LOCKS = """
import ctypes, os, platform, struct, sys
number = {"x86_64": 73, "aarch64": 32}[platform.machine()]
code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | int(sys.argv[1])), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in code))
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(program)))
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, filter, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Runs a program to which flock says argv[1]: a seccomp filter (linux/seccomp.h, linux/filter.h)."""


@pytest.mark.parametrize("why", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_where_files_cannot_be_locked_nobody_waits_and_no_pull_fails(frozen, sandbox, why):
    under = (sys.executable, "-c", NO_LOCKS, str(getattr(errno, why)))
    assert_answered(frozen.ask(image_of(sandbox), under=under), sandbox)
    for ended in frozen.ask_together([image_of(sandbox)] * 3, under=under):
        assert_answered(ended, sandbox)
        assert ended.seconds < 5


@needs_mounts
@pytest.mark.parametrize("state", ["empty", "with a memo", "with a token only"])
def test_on_a_read_only_disk_the_answer_still_comes(frozen, sandbox, state):
    if state == "empty":
        frozen.cache.mkdir(mode=0o700)
    else:
        assert_answered(frozen.ask(image_of(sandbox)), sandbox)
        if state == "with a token only":
            shutil.rmtree(frozen.cache / "memo")
    read_only = mounted(f"mount --bind {frozen.cache} {frozen.cache}", f"mount -o remount,ro,bind {frozen.cache}")
    before = files_in(frozen.cache)
    assert_answered(frozen.ask(image_of(sandbox), under=read_only), sandbox)
    assert files_in(frozen.cache) == before


@needs_mounts
@pytest.mark.parametrize(
    ("size", "inodes"),
    [
        *(("1m", inodes) for inodes in (2, 3, 4, 5, 6, 8, 10, 12)),
        *((f"{size}k", 1000) for size in (4, 8, 12, 16, 24, 40)),
    ],
)
def test_on_a_full_disk_the_answer_still_comes_and_the_next_one_too(frozen, sandbox, tmp_path, size, inodes):
    """A tiny disk that fills up at another place each time."""
    frozen.cache.mkdir()
    shell = (
        f'"$@" < {tmp_path}/request > {tmp_path}/first 2> {tmp_path}/errors; '
        f'"$@" < {tmp_path}/request > {tmp_path}/second 2>> {tmp_path}/errors'
    )
    (tmp_path / "request").write_bytes(_request(sandbox))
    full = (
        *("unshare", "--mount", "--propagation=private", "sh", "-c"),
        f"mount -t tmpfs -o size={size},nr_inodes={inodes},mode=0700 tmpfs {frozen.cache}; {shell}",
        "sh",
    )
    frozen.run(b"", under=full)
    assert (tmp_path / "errors").read_bytes() == b""
    for answer in ("first", "second"):
        assert_whole((tmp_path / answer).read_bytes(), sandbox)


def _request(sandbox):
    from support import harness

    return harness.request(image_of(sandbox))


@needs_mounts
def test_dev_full_as_stdout_is_told(frozen, sandbox):
    for _ in ("miss", "miss again, since nobody got the answer"):
        with open("/dev/full", "wb") as full:
            ended = frozen.ask(image_of(sandbox), stdout=full)
        assert_told(ended, "could not be written to stdout")


@pytest.mark.parametrize(
    "spoilt", ["empty", "cut", "garbage", "zeros", "other question's", "other version's", "other disk's"]
)
def test_a_memo_that_is_not_whole_is_no_memo(frozen, sandbox, spoilt):
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)
    (memo,) = (frozen.cache / "memo").glob("*.memo")
    whole = memo.read_bytes()
    content = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "garbage": os.urandom(len(whole)),
        "zeros": b"\0" * len(whole),
        "other question's": _whole_again(whole.replace(memo.stem.encode(), b"0" * 64)),
        "other version's": _whole_again(whole.replace(b"acr-memo ", b"acr-memo 0", 1)),
        "other disk's": _whole_again(whole.replace(b" /etc/machine-id", b"0 /etc/machine-id")),
    }[spoilt]
    memo.write_bytes(content)
    for _ in range(2):
        assert_answered(frozen.ask(image_of(sandbox)), sandbox)
    assert sandbox.calls.count("GetAuthorizationToken") == 1, "the store had it"


def _whole_again(memo):
    """Return *memo*, changed without love for its checksum, with the right one."""
    return memo[:-64] + hashlib.sha256(memo[:-64]).hexdigest().encode()


def test_any_bit_of_a_memo_may_fall_over(frozen, sandbox):
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)
    (memo,) = (frozen.cache / "memo").glob("*.memo")
    whole = memo.read_bytes()
    places = range(0, len(whole), len(whole) // 30)
    for bit, place in enumerate(places):
        memo.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit % 8]) + whole[place + 1 :])
        assert_answered(frozen.ask(image_of(sandbox)), sandbox)
    assert sandbox.calls.count("GetAuthorizationToken") == 1


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("where", ["value", "key", "file"])
def test_a_pickle_in_the_store_never_goes_off(frozen, sandbox, tmp_path, where):
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)
    for memo in (frozen.cache / "memo").glob("*"):
        memo.unlink()
    bomb = pickle.dumps(Bomb(str(tmp_path / "exploded")))
    with sqlite3.connect(frozen.cache / "store/cache.db") as db:
        if where == "value":
            db.execute("UPDATE Cache SET mode = 4, value = ?", (bomb,))
        elif where == "key":
            db.execute("UPDATE Cache SET raw = 0, key = ? WHERE rowid = (SELECT max(rowid) FROM Cache)", (bomb,))
        else:
            (frozen.cache / "store/bomb.val").write_bytes(bomb)
            db.execute("UPDATE Cache SET mode = 4, value = NULL, filename = 'bomb.val'")
    db.close()
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)
    frozen.run(b"", "cache", "clear", "--cache", str(frozen.cache))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_store_that_is_no_store_gives_way_to_a_new_one(frozen, sandbox, content):
    frozen.cache.mkdir(mode=0o700)
    (frozen.cache / "store").mkdir(mode=0o700)
    (frozen.cache / "store/cache.db").write_bytes(content)
    for _ in range(2):
        for memo in (frozen.cache / "memo").glob("*"):
            memo.unlink()
        assert_answered(frozen.ask(image_of(sandbox)), sandbox)
    for memo in (frozen.cache / "memo").glob("*"):
        memo.unlink()
    calls = sandbox.calls.count("GetAuthorizationToken")
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)
    assert sandbox.calls.count("GetAuthorizationToken") == calls


HALF = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.executescript("PRAGMA cache_size = 1; BEGIN IMMEDIATE; UPDATE Cache SET value = 'torn'")
for _ in range(200): db.execute("INSERT INTO Cache (key, raw, value) VALUES (hex(randomblob(9)), 1, randomblob(3000))")
print("torn", flush=True)
os.kill(os.getpid(), signal.SIGKILL if sys.argv[2] == "killed" else signal.SIGSTOP)
"""


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_store_left_in_the_midst_of_a_change_costs_no_pull(frozen, sandbox, how):
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)
    for memo in (frozen.cache / "memo").glob("*"):
        memo.unlink()
    command = [sys.executable, "-c", HALF, str(frozen.cache / "store/cache.db"), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"torn\n"
        if how == "killed":
            process.wait()
            assert (frozen.cache / "store/cache.db-journal").stat().st_size > 0
        ended = frozen.ask(image_of(sandbox))
        process.send_signal(signal.SIGKILL)
    assert_answered(ended, sandbox)
    assert ended.seconds < 8
    assert sandbox.calls.count("GetAuthorizationToken") == (1 if how == "killed" else 2)


@needs_mounts
def test_on_a_clone_of_the_node_nothing_remembered_counts(frozen, sandbox, tmp_path):
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)
    upper, work = tmp_path / "upper", tmp_path / "work"
    upper.mkdir()
    work.mkdir()
    (upper / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    clone = mounted(f"mount -t overlay overlay -o lowerdir=/etc,upperdir={upper},workdir={work} /etc")
    for _ in range(2):
        assert_answered(frozen.ask(image_of(sandbox), under=clone), sandbox)
    assert sandbox.calls.count("GetAuthorizationToken") == 2


@needs_root
def test_a_user_who_may_not_write_the_cache_gets_an_answer_all_the_same(frozen, sandbox, tmp_path):
    folder = tmp_path / "nobody"
    folder.mkdir()
    for each in (*tmp_path.parents, tmp_path):
        if each.is_relative_to("/tmp") and str(each) != "/tmp":
            each.chmod(0o755)
    with unprivileged(frozen, sandbox, folder) as program:
        os.chown(program.cache, 0, 0)
        ended = program.ask(image_of(sandbox), under=NOT_ROOT)
        assert_whole(ended.stdout, sandbox)
        assert files_in(program.cache) == {}


def test_what_a_killed_writer_left_does_not_stay_for_ever(frozen, sandbox):
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)
    draft = frozen.cache / "memo" / ("0" * 64 + ".memo.0011223344556677")
    dead = frozen.cache / "memo" / ("1" * 64 + ".memo")
    for each in (draft, dead, frozen.cache / "locks/sweep.lock"):
        each.touch(0o600)
        os.utime(each, (0, 0))
    sandbox.state.revoke_logins()
    frozen.settings.write_bytes(frozen.settings.read_bytes())  # so that this is no hit
    time.sleep(0.01)
    assert frozen.ask(image_of(sandbox)).code == 0
    assert not draft.exists()
    assert not dead.exists()
