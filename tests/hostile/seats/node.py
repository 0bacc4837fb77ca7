"""A node as one of its users finds it: root's plugin with settings, keys and a warm cache, and folders of his own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import time
from typing import TYPE_CHECKING

from e2e.assertions import DEADLINE, NOBODY, assert_whole, image_of
from support import harness
from support.node import NODE

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import AcrSandbox

NAME = "aliyun-acr-credential-provider"
PYTHON = "/usr/bin/python3"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAM = """
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void go(void) { close(open(MARK, O_CREAT | O_WRONLY, 0644)); }
int main(int count, char **words) {
    if (count > 2 && strstr(words[0], "kubelet"))
        for (;;)
            pause();
    return write(1, "Kubernetes v1.34.0\\n", 19) != 19;
}
"""
SWAPPER = """
import ctypes, os, sys
libc, (one, two) = ctypes.CDLL(None), (os.fsencode(each) for each in sys.argv[1:])
print("begun", flush=True)
while True:
    libc.renameat2(-100, one, -100, two, 2)
"""
"""Exchanges two paths for ever, as fast as the kernel can."""


def tree(folder: Path) -> dict[str, str]:
    """Return all that is below *folder* with owners, modes and contents; the times of changes are left out."""
    found = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        seen = path.lstat()
        what = f"{seen.st_mode:o} {seen.st_uid}:{seen.st_gid} "
        if stat.S_ISLNK(seen.st_mode):
            what += os.readlink(path)
        elif stat.S_ISREG(seen.st_mode):
            what += hashlib.sha256(path.read_bytes()).hexdigest() if seen.st_size < 1 << 24 else str(seen.st_size)
        found[str(path.relative_to(folder))] = what
    return found


class Node:
    """Root's: `roots`, with settings and cache of `plugin`. The user's: `home`, and `shared`, which is like /tmp."""

    def __init__(self, folder: Path, bundle: Path, sandbox: AcrSandbox) -> None:
        self.folder, self.bundle, self.sandbox = folder, bundle, sandbox
        self.roots, self.home, self.shared = (folder / each for each in ("roots", "home", "tmp"))
        for each in (self.roots, self.home, self.shared):
            each.mkdir()
            each.chmod(0o1777 if each == self.shared else 0o755)
        os.chown(self.home, NOBODY, NOBODY)
        self.mark = self.roots / "a user's program was run by root"
        self.settings = self.roots / "settings.yaml"
        shutil.copy(sandbox.settings_file, self.settings)
        self.settings.chmod(0o600)
        (self.roots / "var").mkdir()
        self.cache = self.roots / "var/cache"
        self.plugin = self.plugin_with(self.cache)
        assert_whole(self.ask().stdout, sandbox)
        self.heard: list[bytes] = []
        """What the user's processes, and root's that he can listen to, wrote."""
        self.processes: list[subprocess.Popen[bytes]] = []
        self.before = self.of_root()

    def plugin_with(self, cache: Path | str, settings: Path | None = None) -> harness.Program:
        """Return root's plugin with another cache folder."""
        return harness.Program((str(self.bundle / NAME),), settings or self.settings, cache)

    @property
    def image(self) -> str:
        return image_of(self.sandbox)

    def ask(self, plugin: harness.Program | None = None, **options) -> harness.Ended:
        """Have root's *plugin* answer the kubelet; its answer is the kubelet's, its stderr may be anybody's."""
        ended = (plugin or self.plugin).ask(self.image, **options)
        if hasattr(self, "heard"):
            self.heard.append(ended.stderr)
        assert b"Traceback" not in ended.stderr
        return ended

    def root(self, *words: str, **options) -> harness.Ended:
        """Have root run a command of the program's."""
        ended = self.plugin.run(b"", *words, **options)
        self.heard += [ended.stdout, ended.stderr]
        assert b"Traceback" not in ended.stderr
        return ended

    def of_root(self) -> dict[str, str]:
        """Return all of root's but what a pull may change: the cache's own files."""
        return {name: what for name, what in tree(self.roots).items() if not name.startswith("var/cache/")}

    # What the user does.
    def user(self, *words: str, timeout: float = 60.0, uid: int = NOBODY, **options) -> subprocess.CompletedProcess:
        """Run *words* as the user to their end."""
        options = {"cwd": self.home, "env": {"PATH": PATH, "HOME": str(self.home)}, "input": b"", **options}
        done = subprocess.run(
            words, capture_output=True, check=False, timeout=timeout, user=uid, group=uid, extra_groups=[], **options
        )
        self.heard += [done.stdout, done.stderr]
        return done

    def start(self, *words: str, **options) -> subprocess.Popen[bytes]:
        """Start *words* as the user; a first line on stdout says that it is at work."""
        options = {"cwd": self.home, "env": {"PATH": PATH}, "stdin": subprocess.DEVNULL, **options}
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, user=NOBODY, group=NOBODY, extra_groups=[], start_new_session=True, **options
        )
        self.processes.append(process)
        assert process.stdout
        assert process.stdout.readline(), "his program did not even begin"
        return process

    def python(self, script: str, *words: str, **options) -> subprocess.CompletedProcess:
        """Run a Python script as the user."""
        return self.user(PYTHON, "-c", script, *words, **options)

    def swap(self, one: Path, two: Path) -> None:
        """Let the user exchange two paths in folders of his for ever."""
        self.start(PYTHON, "-c", SWAPPER, str(one), str(two))

    def give(self, path: Path, content: bytes | str = b"", mode: int = 0o644) -> Path:
        """Write a file of the user's."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        for each in (path, *path.parents):
            if each in (self.home, self.shared, self.folder):
                break
            os.chown(each, NOBODY, NOBODY)
        return path

    def script(self, path: Path) -> Path:
        """Write a program of the user's that leaves the mark if root runs it."""
        return self.give(path, f"#!/bin/sh\n: > '{self.mark}'\necho 'Kubernetes v1.34.0'\n", 0o755)

    def compiled(self, path: Path, *options: str) -> Path:
        """Make a program of the user's that leaves the mark; with ``-shared``, a library that does."""
        path.parent.mkdir(parents=True, exist_ok=True)
        gcc = ["gcc", "-x", "c", *options, f'-DMARK="{self.mark}"', "-o", str(path), "-"]
        subprocess.run(gcc, input=PROGRAM.encode(), check=True)
        return self.give(path, path.read_bytes(), 0o755)

    def beside(self, *processes: tuple, ready: Path | None = None) -> tuple[str, ...]:
        """Return words that run a command in a process namespace with *processes* (`NODE`), once *ready* is there."""

        wait = f"timeout 20 sh -c \"until [ -e '{ready}' ]; do sleep 0.02; done\" && sleep 0.2 && " if ready else ""
        return (*NODE, json.dumps(processes), "/bin/sh", "-c", f'{wait}exec "$@"', "sh")

    # What must be so in the end.
    def prove(self) -> None:
        """Nothing of root's is changed, run or seen; the kubelet still gets its answer in time."""
        self.close()
        assert not self.mark.exists(), f"it ran as user {self.mark.stat().st_uid}"
        assert self.of_root() == self.before
        self.prove_silent()
        ended = self.ask(timeout=40)
        assert ended.code == 0, ended
        assert_whole(ended.stdout, self.sandbox)
        assert ended.seconds < DEADLINE

    def prove_silent(self) -> None:
        """No secret is in what was heard, nor in any file that the user can read."""
        secrets = {each.encode() for each in self.sandbox.state.secrets()}
        for secret in secrets:
            assert not any(secret in text for text in self.heard), "a secret was seen"
        grep = [
            "grep",
            "--recursive",
            "--files-with-matches",
            "--text",
            "--fixed-strings",
            "--devices=skip",
            "--file=-",
        ]
        found = self.user(*grep, str(self.folder), input=b"\n".join(sorted(secrets)) + b"\n")
        assert found.returncode == 1 or not found.stdout, f"he can read a secret in {found.stdout.decode()}"

    def close(self) -> None:
        """End all that the user started."""
        for process in self.processes:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.communicate()
        self.processes.clear()


def until(is_so, seconds: float = 30.0, what: str = "it") -> None:
    """Wait until *is_so*; fail after *seconds*."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"{what} never came"
        time.sleep(0.05)
