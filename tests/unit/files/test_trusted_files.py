"""Which files are root's alone, against real files of root's and of others, and that the judged one is what runs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from acr_credential_provider.files import trusted_files
from acr_credential_provider.files.trusted_files import UntrustedFileError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")
USER = 65534
SHELL = os.path.realpath("/bin/sh")


@pytest.fixture
def root(tmp_path):
    for folder in ("usr/bin", "usr/lib", "var/lib/a/b"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "bin").symlink_to("usr/bin")
    program(tmp_path / "usr/bin/program")
    return tmp_path


def program(file, content=b"\x7fELF", mode=0o755):
    file.write_bytes(content)
    file.chmod(mode)
    return file


def run(path, *words, root="/"):
    with trusted_files.opened(str(path), str(root)) as found:
        return started(found, path, *words)


def started(found, *words):
    words = [str(word) for word in words]
    return subprocess.run(
        words,
        executable=found.executable,
        pass_fds=(found.descriptor,),
        preexec_fn=found.enter(words, {}),
        env={},
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_a_program_below_folders_of_roots_is_given_by_whatever_path(root):
    (root / "var/lib/a/link").symlink_to("/bin/program")
    (root / "usr/bin/other").symlink_to("../../bin/./program")
    for path in ("/usr/bin/program", "/bin/program", "/var/lib/a/link", "/usr/bin/other", "//usr/../../bin/program"):
        with trusted_files.opened(path, str(root)) as found:
            assert found.status.st_ino == (root / "usr/bin/program").stat().st_ino


def give(path):
    os.lchown(path, USER, 0)


SPOILED = {
    "the program is a user's": (lambda root: give(root / "usr/bin/program"), "/usr/bin/program"),
    "its group can write it": (lambda root: (root / "usr/bin/program").chmod(0o775), "/usr/bin/program"),
    "all can write it": (lambda root: (root / "usr/bin/program").chmod(0o757), "/usr/bin/program"),
    "its folder is a user's": (lambda root: give(root / "usr/bin"), "/usr/bin"),
    "a folder above can be written": (lambda root: (root / "usr").chmod(0o777), "/usr"),
    "the root itself can be written": (lambda root: root.chmod(0o777), "/"),
    "a symlink on the way is a user's": (lambda root: give(root / "bin"), "/bin"),
}


@pytest.mark.parametrize("spoiled", SPOILED)
def test_what_others_can_change_is_named_and_not_given(root, spoiled):
    spoil, named = SPOILED[spoiled]
    spoil(root)
    with pytest.raises(UntrustedFileError) as refused, trusted_files.opened("/bin/program", str(root)):
        pass
    assert refused.value.path == named
    assert f"Leave {named} as it is" in refused.value.remedy


def test_a_symlink_by_way_of_a_users_folder_is_not_followed_to_where_it_leads_now(root):
    (root / "var/lib/a/hop").symlink_to("/usr/bin")
    (root / "usr/lib/link").symlink_to("/var/lib/a/hop/program")
    give(root / "var/lib/a")
    with pytest.raises(UntrustedFileError) as refused, trusted_files.opened("/usr/lib/link", str(root)):
        pass
    assert refused.value.path == "/var/lib/a"


def test_an_access_list_that_lets_a_user_write_is_seen(root):
    entries = [(1, 7, 0xFFFFFFFF), (2, 7, USER), (4, 5, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 5, 0xFFFFFFFF)]
    packed = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + right.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, right, who in entries
    )
    try:
        os.setxattr(root / "usr/bin/program", "system.posix_acl_access", packed)
    except OSError:
        pytest.skip("no access lists on this file system")
    with pytest.raises(UntrustedFileError), trusted_files.opened("/usr/bin/program", str(root)):
        pass


def test_in_a_sticky_folder_what_is_roots_is_roots_alone(root):
    (root / "usr").chmod(0o1777)
    with trusted_files.opened("/usr/bin/program", str(root)):
        pass
    give(root / "usr/bin")
    with pytest.raises(UntrustedFileError), trusted_files.opened("/usr/bin/program", str(root)):
        pass


def test_what_is_no_program_is_not_given(root):
    (root / "usr/bin/loop").symlink_to("loop")
    os.mkfifo(root / "usr/bin/pipe", 0o755)
    program(root / "usr/bin/data", mode=0o644)
    for path in ("/usr/bin/loop", "/usr/bin/pipe", "/usr/bin/data", "/usr/bin", "/nothing", "/usr/bin/program/x", "/"):
        with pytest.raises(OSError), trusted_files.opened(path, str(root)):
            pass


def test_the_judged_file_runs_though_another_one_takes_its_place(tmp_path):
    script = program(tmp_path / "program", f"#!{SHELL}\necho the judged one\n".encode())
    other = program(tmp_path / "other", f"#!{SHELL}\necho another one\n".encode())
    with trusted_files.opened(str(script)) as found:
        os.replace(other, script)
        assert started(found, script) == "the judged one\n"
    assert run(script) == "another one\n"


def test_a_program_is_called_as_its_caller_says(tmp_path):
    assert run("/bin/sh", "-c", 'echo "$0" "$1"', "name", "word") == "name word\n"


def test_a_script_whose_interpreter_others_can_change_is_not_given(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    interpreter = folder / "sh"
    interpreter.symlink_to(SHELL)
    script = program(tmp_path / "script", f"#! {interpreter} -e\n".encode())
    with trusted_files.opened(str(script)) as found:
        assert found.is_script
    give(folder)
    with pytest.raises(UntrustedFileError), trusted_files.opened(str(script)):
        pass


AS_USER = f"""\
import os
from acr_credential_provider.files import trusted_files
os.setresuid({USER}, {USER}, {USER})
trusted_files.judge("/usr/bin/program", ".")
"""


def test_what_a_user_has_is_good_enough_for_what_runs_as_that_user(root):
    for path in (root, root / "usr/bin", root / "usr/bin/program"):
        give(path)
    root.chmod(0o755)
    assert subprocess.run([sys.executable, "-c", AS_USER], cwd=root, check=False).returncode == 0
    os.lchown(root / "usr/bin/program", USER + 1, 0)
    ended = subprocess.run([sys.executable, "-c", AS_USER], cwd=root, capture_output=True, text=True, check=False)
    assert "UntrustedFileError: /usr/bin/program can be changed by others" in ended.stderr
