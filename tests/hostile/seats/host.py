"""The tree of a node that root installs on, with folders of a user's in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from e2e.assertions import NOBODY
from support import harness

from .node import NAME, PYTHON, SWAPPER, tree

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import AcrSandbox

BIN, CONFIG = "/opt/acr/bin", "/etc/kubernetes/acr.yaml"
SETTINGS = f"/etc/{NAME}/settings.yaml"
SECRET = "a-line-that-only-root-may-read"


class Host:
    """`root` is the node's /; /home/user and /tmp in it are as on any node. /etc/shadow is what nobody may see."""

    def __init__(self, folder: Path, bundle: Path, sandbox: AcrSandbox) -> None:
        self.folder, self.bundle, self.sandbox = folder, bundle, sandbox
        self.root = folder / "host"
        for name in ("etc", "var/lib", "var/cache", "opt", "tmp", "home/user", "dev"):
            (self.root / name).mkdir(parents=True)
            (self.root / name).chmod(0o1777 if name == "tmp" else 0o755)
        self.root.chmod(0o755)
        (self.root / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\n")
        (self.root / "etc/shadow").write_text(f"{SECRET}\n")
        (self.root / "etc/shadow").chmod(0o600)
        os.chown(self.at("/home/user"), NOBODY, NOBODY)
        self.settings = folder / "settings.yaml"
        shutil.copy(sandbox.settings_file, self.settings)
        self.mark = folder / "a user's program was run by root"
        self.heard: list[bytes] = []
        self.processes: list[subprocess.Popen[bytes]] = []

    def at(self, path: str) -> Path:
        """Return where *path* of the node is."""
        return self.root / path.lstrip("/")

    def node(self, verb: str, *options: str) -> harness.Ended:
        """Have root run ``node`` *verb* here."""
        program = harness.Program((str(self.bundle / NAME),), self.settings, self.folder)
        ended = program.run(b"", "node", verb, "--host-root", str(self.root), *options)
        self.heard += [ended.stdout, ended.stderr]
        assert b"Traceback" not in ended.stderr
        return ended

    def install(self, **options: str) -> harness.Ended:
        """Install, with other *options* than the usual ones."""
        chosen = {"settings": str(self.settings), "bin_dir": BIN, "config": CONFIG, "mode": "files-only"} | options
        words = [f"--{name.replace('_', '-')}={value}" for name, value in chosen.items()]
        return self.node("install", "--service=none", *words)

    def his(self, path: str) -> Path:
        """Make what is at *path*, and all below it, the user's."""
        top = self.at(path)
        for each in (top, *top.rglob("*")):
            os.chown(each, NOBODY, NOBODY, follow_symlinks=False)
        return top

    def link(self, path: str, target: str) -> None:
        """Put a symlink of the user's at *path*."""
        self.at(path).symlink_to(target)
        os.chown(self.at(path), NOBODY, NOBODY, follow_symlinks=False)

    def script(self, path: Path) -> None:
        """Write a program that leaves the mark whoever runs it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n: > '{self.mark}'\n")
        path.chmod(0o755)

    def swap(self, one: str, two: str) -> None:
        """Let the user exchange two paths for ever."""
        words = [PYTHON, "-c", SWAPPER, str(self.at(one)), str(self.at(two))]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/")
        self.processes.append(process)
        assert process.stdout
        assert process.stdout.readline()

    def tree(self) -> dict[str, str]:
        """Return all that is on the node but the folder that the installer makes for its lock."""
        return {path: what for path, what in tree(self.root).items() if path != f"var/lib/{NAME}"}

    def prove(self) -> None:
        """Nothing of his was run, and no line of root's was shown."""
        self.close()
        assert not self.mark.exists()
        assert not any(SECRET.encode() in text for text in self.heard)
        assert self.at("/etc/shadow").read_text() == f"{SECRET}\n"
        for secret in self.sandbox.state.secrets():
            assert not any(secret.encode() in text for text in self.heard)

    def close(self) -> None:
        """End all that he started."""
        for process in self.processes:
            process.kill()
            process.communicate()
        self.processes.clear()
