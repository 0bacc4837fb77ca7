"""Assertions of the end-to-end tests: the only two ways in which a run may end, and odd places to run in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

DEADLINE = 15.0
NOBODY = 65534
NOT_ROOT = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs")


def image_of(sandbox):
    return sandbox.image.partition(":latest")[0]


def assert_answered(ended, sandbox):
    """Say that *ended* is a whole answer with a login that the cloud handed out, and nothing else."""
    assert (ended.code, ended.stderr) == (0, b"")
    assert_whole(ended.stdout, sandbox)


def assert_whole(stdout, sandbox):
    assert stdout.endswith(b"\n")
    document = json.loads(stdout)
    assert list(document["auth"]) == [sandbox.registry.address], "another host's token"
    login = document["auth"][sandbox.registry.address]
    assert sandbox.state.find_login(login["username"], login["password"]) is not None


def assert_told(ended, *words, within=DEADLINE):
    """Say that *ended* is one error and one remedy, in time, with *words* in them and nothing on stdout."""
    assert ended.stdout == b""
    assert ended.code == 1, ended
    lines = ended.stderr.decode().splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["error", "remedy"], ended.stderr
    assert ended.seconds < within
    for word in words:
        assert word in ended.stderr.decode()


def assert_whole_or_nothing(ended, sandbox):
    """Say that *ended* is an answer, or no answer and no traceback."""
    assert b"Traceback" not in ended.stderr
    if ended.code == 0:
        assert_whole(ended.stdout, sandbox)
    else:
        assert ended.stdout == b""


def files_in(folder):
    """Return every byte below *folder*, by file; a folder that is not there has none."""
    if not folder.is_dir():
        return {}
    return {each: each.read_bytes() for each in folder.rglob("*") if each.is_file() and not each.is_symlink()}


def assert_no_token(folder, sandbox, *, but=(".memo", "cache.db")):
    """Say that no login is in a file below *folder* where none belongs."""
    for path, content in files_in(folder).items():
        if not path.name.endswith(but):
            assert b"cr_temp_user" not in content, path
        assert sandbox.key.secret.encode() not in content, path


@contextmanager
def unprivileged(program, sandbox, folder):
    """Give a program that user nobody can run: its own copy of bundle, settings, keys and cache below *folder*."""
    folder.chmod(0o755)
    bundle = folder / "bundle"
    shutil.copytree(Path(program.command[0]).parent, bundle)
    settings = sandbox.settings()
    keys = folder / "keys"
    keys.mkdir()
    for name, source in (("accessKeyIdFile", sandbox.key_id_file), ("accessKeySecretFile", sandbox.key_secret_file)):
        settings["registries"][0]["identity"][name] = str(shutil.copy(source, keys))
    settings["caBundle"] = str(shutil.copy(sandbox.ca_file, keys))
    path = folder / "settings.yaml"
    path.write_text(json.dumps(settings))
    cache = folder / "cache"
    cache.mkdir(mode=0o700)
    for each in (*keys.iterdir(), path):
        each.chmod(0o600)
    for each in (keys, *keys.iterdir(), path, cache):
        os.chown(each, NOBODY, NOBODY)
    yield type(program)((str(bundle / Path(program.command[0]).name),), path, cache)


def mounted(*commands):
    """Return words that run a command after shell *commands* in a mount namespace of its own (root only)."""
    return ("unshare", "--mount", "--propagation=private", "sh", "-ec", "; ".join((*commands, 'exec "$@"')), "sh")


def can_mount():
    return (
        os.geteuid() == 0
        and subprocess.run([*mounted("true"), "true"], capture_output=True, check=False).returncode == 0
    )
