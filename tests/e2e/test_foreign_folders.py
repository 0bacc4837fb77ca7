"""A folder that this program did not make is never changed, filled or emptied, and costs no pull its answer."""

import os
import shutil
import socket
import stat

import pytest
from acr_credential_provider.cache.cache_dirs import MARK
from e2e.adversity import assert_answered, assert_told, assert_whole, can_mount, files_in, image_of, mounted
from support import harness

needs_mounts = pytest.mark.skipif(not can_mount(), reason="no mount namespace to be had")
MEMO = 64 * "a" + ".memo"


def system_folder(path):
    path.mkdir(mode=0o755)
    (path / "shadow").write_text("root:x")
    (path / "conf.d").mkdir()


def folder_of_another_service(path):
    path.mkdir(mode=0o700)
    (path / "key.pem").write_text("a key")


def folder_with_notes(path):
    (path / "memo").mkdir(parents=True, mode=0o700)
    path.chmod(0o700)
    (path / "memo/shopping.memo").write_text("milk")


def folder_with_a_database(path):
    (path / "store").mkdir(parents=True, mode=0o700)
    path.chmod(0o700)
    (path / "store/cache.db").write_text("not a database of this program")
    (path / "store/attachments").mkdir()


def folder_with_one_file_beside_ours(path):
    for name in ("memo", "locks", "store"):
        (path / name).mkdir(parents=True, mode=0o700)
    path.chmod(0o700)
    (path / "memo" / MEMO).write_text("")
    (path / "memo" / MEMO).touch(0o600)
    (path / "diary.txt").write_text("mine")


def empty_folder(path):
    path.mkdir(mode=0o755)
    path.chmod(0o755)


def folder_for_all(path):
    path.mkdir()
    path.chmod(0o1777)
    (path / "socket").write_text("")


def file(path):
    path.write_text("not a folder")


FOREIGN = [
    system_folder,
    folder_of_another_service,
    folder_with_notes,
    folder_with_a_database,
    folder_with_one_file_beside_ours,
    empty_folder,
    folder_for_all,
    file,
]


def state(path):
    """Return all that can be seen of *path* and what is below it."""
    found = {}
    for each in (path, *(path.rglob("*") if path.is_dir() else ())):
        seen = each.lstat()
        content = each.read_bytes() if stat.S_ISREG(seen.st_mode) else None
        found[each] = (seen.st_mode, seen.st_uid, seen.st_mtime_ns, content)
    return found


@pytest.fixture(params=FOREIGN, ids=lambda make: make.__name__)
def foreign(request, tmp_path):
    path = tmp_path / "foreign"
    request.param(path)
    before = state(path)
    yield path
    assert state(path) == before


def note_of_a_pull(program, sandbox, cache):
    """Ask with the folder *cache*; return the one line on stderr beside the answer."""
    arguments = ("--settings", str(program.settings), "--cache", cache)
    ended = program.run(harness.request(image_of(sandbox)), *arguments)
    assert ended.code == 0
    assert_whole(ended.stdout, sandbox)
    (note,) = ended.stderr.decode().splitlines()
    return note


def test_a_pull_goes_on_without_a_cache_and_says_which_folder_it_left_alone(program, sandbox, foreign):
    note = note_of_a_pull(program, sandbox, str(foreign))
    assert note.startswith(f"note: the cache folder {foreign} was not made by this program")
    assert "--cache" in note


@pytest.mark.parametrize(
    "make", [system_folder, folder_of_another_service, empty_folder], ids=lambda make: make.__name__
)
@pytest.mark.parametrize("end", ["", "/"])
def test_a_symlink_to_it_makes_it_no_more_ours(frozen, sandbox, tmp_path, make, end):
    make(tmp_path / "foreign")
    before = state(tmp_path / "foreign")
    (tmp_path / "link").symlink_to(tmp_path / "foreign")
    assert f"the cache folder {tmp_path}/link" in note_of_a_pull(frozen, sandbox, f"{tmp_path}/link{end}")
    assert state(tmp_path / "foreign") == before


def test_the_docker_helper_leaves_it_alone_too(frozen, sandbox, foreign, tmp_path):
    (tmp_path / "docker-credential-aliyun-acr").symlink_to(frozen.command[0])
    helper = harness.Program((f"{tmp_path}/docker-credential-aliyun-acr",), frozen.settings, frozen.cache)
    environment = {
        **os.environ,
        **harness.HERE_ONLY,
        "ACR_CREDENTIAL_PROVIDER_SETTINGS": str(frozen.settings),
        "ACR_CREDENTIAL_PROVIDER_CACHE": str(foreign),
    }
    ended = helper.run(sandbox.registry.address.encode(), "get", env=environment)
    assert ended.code == 0
    assert ended.document["Username"] == "cr_temp_user"
    assert str(foreign) in ended.stderr.decode()


def test_the_cache_command_refuses_it_by_name(frozen, foreign):
    paths = ("--settings", str(frozen.settings), "--cache", str(foreign))
    for word in ("clear", "refresh", "show"):
        assert_told(frozen.run(b"", "cache", word, *paths), f"the cache folder {foreign}", "--cache")


@pytest.mark.parametrize("make", [system_folder, folder_with_a_database], ids=lambda make: make.__name__)
def test_doctor_and_explain_name_it_and_leave_it_alone(program, sandbox, tmp_path, make):
    """A store of ours starts anew where its database is damaged; this one is another program's."""
    foreign = tmp_path / "foreign"
    make(foreign)
    before = state(foreign)
    paths = ("--settings", str(program.settings), "--cache", str(foreign))
    doctor = program.run(b"", "doctor", image_of(sandbox), "--no-kubelet", *paths)
    assert doctor.code == 1
    assert f"the cache folder {foreign} was not made by this program" in doctor.stdout.decode()
    explained = program.run(b"", "explain", image_of(sandbox), *paths)
    assert explained.code == 0
    assert f"note: the cache folder {foreign}" in explained.stderr.decode()
    assert state(foreign) == before


@needs_mounts
@pytest.mark.parametrize("folder", ["/etc", "/run", "/var/cache", "/root"])
def test_not_even_by_its_well_known_name_is_a_folder_of_the_system_taken(frozen, sandbox, tmp_path, folder):
    """A stand-in is mounted there, for this process alone."""
    stand_in = tmp_path / "stand-in"
    system_folder(stand_in)
    if folder == "/etc":
        shutil.copy("/etc/hosts", stand_in)
    before = state(stand_in)
    under = mounted(f"mount --bind {stand_in} {folder}")
    for words in ((), ("cache", "clear")):
        arguments = (*words, "--settings", str(frozen.settings), "--cache", folder)
        ended = frozen.run(harness.request(image_of(sandbox)), *arguments, under=under)
        assert f"the cache folder {folder} was not made by this program" in ended.stderr.decode()
        assert ended.code == (1 if words else 0)
    assert state(stand_in) == before


def as_left_by_a_version_without_marks(cache):
    (cache / MARK).unlink(missing_ok=True)


def test_what_an_earlier_version_kept_is_kept(program, sandbox):
    assert_answered(program.ask(image_of(sandbox)), sandbox)
    as_left_by_a_version_without_marks(program.cache)
    before = set(files_in(program.cache))
    assert_answered(program.ask(image_of(sandbox)), sandbox)
    for words in (("explain", image_of(sandbox)), ("cache", "show")):
        ended = program.run(b"", *words, "--settings", str(program.settings), "--cache", str(program.cache))
        assert (ended.code, ended.stderr) == (0, b"")
    assert set(files_in(program.cache)) == before, "a hit and a look add nothing"
    for memo in (program.cache / "memo").glob("*"):
        memo.unlink()
    (program.cache / "memo" / f"{64 * 'b'}.memo.0011223344556677").touch(0o600)
    assert_answered(program.ask(image_of(sandbox)), sandbox)
    assert sandbox.calls.count("GetAuthorizationToken") == 1, "the store had it"
    assert (program.cache / MARK).exists()


def test_what_an_earlier_version_kept_can_be_cleared(program, sandbox):
    assert_answered(program.ask(image_of(sandbox)), sandbox)
    as_left_by_a_version_without_marks(program.cache)
    paths = ("--settings", str(program.settings), "--cache", str(program.cache))
    assert program.run(b"", "cache", "clear", *paths).code == 0
    assert list((program.cache / "memo").iterdir()) == []
    assert_answered(program.ask(image_of(sandbox)), sandbox)
    assert sandbox.calls.count("GetAuthorizationToken") == 2


@pytest.mark.parametrize("left", ["nothing in it", "the mark alone", "one folder", "one folder, no mark"])
def test_a_folder_whose_maker_was_killed_is_used_by_the_next_one(program, sandbox, left):
    program.cache.mkdir(mode=0o700)
    if "mark" in left and "no mark" not in left:
        (program.cache / MARK).touch(0o600)
    if "folder" in left:
        (program.cache / "memo").mkdir(mode=0o700)
    for _ in range(2):
        assert_answered(program.ask(image_of(sandbox)), sandbox)
    assert sandbox.calls.count("GetAuthorizationToken") == 1
    assert (program.cache / MARK).exists()


def test_twenty_that_make_the_folder_at_once_all_use_it(frozen, sandbox):
    for ended in frozen.ask_together([image_of(sandbox)] * 20):
        assert_answered(ended, sandbox)
    assert sandbox.calls.count("GetAuthorizationToken") == 1


def test_clearing_an_empty_folder_leaves_it_empty(program):
    program.cache.mkdir(mode=0o700)
    assert program.run(b"", "cache", "clear", "--cache", str(program.cache)).code == 0
    assert list(program.cache.iterdir()) == []


@needs_mounts
def test_a_read_only_cache_of_an_earlier_version_costs_no_answer(frozen, sandbox):
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)
    as_left_by_a_version_without_marks(frozen.cache)
    shutil.rmtree(frozen.cache / "memo")
    read_only = mounted(f"mount --bind {frozen.cache} {frozen.cache}", f"mount -o remount,ro,bind {frozen.cache}")
    before = files_in(frozen.cache)
    assert_answered(frozen.ask(image_of(sandbox), under=read_only), sandbox)
    assert files_in(frozen.cache) == before


def test_the_systems_log_is_told_since_the_kubelet_drops_the_stderr_of_an_answer(program, sandbox, tmp_path):
    foreign = tmp_path / "foreign"
    system_folder(foreign)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "log"))
        listener.settimeout(10)
        environment = {**os.environ, **harness.HERE_ONLY, "ACR_CREDENTIAL_PROVIDER_LOG": f"error:{tmp_path}/log"}
        arguments = ("--settings", str(program.settings), "--cache", str(foreign))
        ended = program.run(harness.request(image_of(sandbox)), *arguments, env=environment)
        assert ended.code == 0
        assert f"note: the cache folder {foreign} was not made by this program" in listener.recv(4096).decode()
