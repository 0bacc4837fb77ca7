"""Other machines' root folders, to run the bundle in: what is in them, and how to get in.

Distributions' roots are made once by mmdebstrap and kept outside of the tree. A test works on an
overlay that goes with its processes.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from support import harness

BUNDLE = Path(os.environ.get("BUNDLE") or harness.FROZEN.parent)
"""What is tested; one of another architecture runs where the kernel knows an emulator for it."""
OLD_KERNEL = Path(__file__).parents[1] / "support/old_kernel.py"
INSIDE = "/opt/aliyun-acr-credential-provider"
MADE_OF = {
    "bullseye": ("bullseye", "minbase", "nscd"),
    "bookworm": ("bookworm", "minbase", "openssl"),
    "musl": ("bookworm", "extract", "musl"),
}
"""Suite, variant and package of each root; openssl brings the openssl.cnf that most nodes have."""

# What chroot(1) does, on an older kernel if one is named. But that, and env(1), would be led astray by the variables
# that are meant for the program.
ENTER = """
import json, os, runpy, sys
kernel, root, environment, *command = sys.argv[1:]
if kernel:
    runpy.run_path(kernel)["enter"]()
os.chroot(root)
os.chdir("/")
os.execve(command[0], command, json.loads(environment))
"""


def cache_folder() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "aliyun-acr-credential-provider" / "roots"


def distribution(name: str) -> Path:
    """Return the root called *name* in `MADE_OF`, made now if nobody did before (a quarter of a minute)."""
    suite, variant, package = MADE_OF[name]
    target = cache_folder() / f"{suite}-{package}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            fresh = target.with_name(f".{target.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            words = ["mmdebstrap", "--quiet", f"--variant={variant}", f"--include={package}", suite, str(fresh)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"
            fresh.rename(target)
    return target


@dataclass
class Root:
    """A root to run in: over *lower* (nothing at all without one) come the files in *etc*, then *more* is done.

    *folder* is there under its own path, writable; *more* are lines of sh, with the root in ``$root``. With
    *has_proc* false it is as bare as a chroot; with *is_old* its kernel is Linux 3.10 (tests/support/old_kernel.py).
    """

    folder: Path
    lower: Path | None = None
    etc: dict[str, str] = field(default_factory=dict)
    more: list[str] = field(default_factory=list)
    has_proc: bool = True
    is_old: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    bundle: Path = BUNDLE

    def program(self, settings: Path, cache: Path) -> harness.Program:
        return harness.Program((f"{INSIDE}/{harness.FROZEN.name}",), settings, cache)

    @property
    def under(self) -> tuple[str, ...]:
        """The words that come before a command to run it inside, with no environment but its own."""
        processes = ("--pid", "--fork", "--kill-child") if self.has_proc else ()
        return ("unshare", "--mount", *processes, "/bin/sh", "-euc", self._script(), "sh")

    def _script(self) -> str:
        stage = self.folder / "stage"
        stage.mkdir(exist_ok=True)
        files = self.folder / "etc"
        files.mkdir(exist_ok=True)
        for name, content in self.etc.items():
            (files / name).write_text(content)
        root = f"{stage}/root"
        enter = [sys.executable, "-I", "-c", ENTER, str(OLD_KERNEL) if self.is_old else ""]
        overlay = f"lowerdir={self.lower},upperdir={stage}/upper,workdir={stage}/work"
        lines = [
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            f"root={root}",
            f"mount -t tmpfs tmpfs {stage}",
            f"mkdir {stage}/upper {stage}/work {root}",
            f"mount -t overlay -o {overlay} overlay {root}" if self.lower else f"mount --bind {root} {root}",
            f"mkdir -p {root}/etc {root}/proc {root}{INSIDE}",
            f"mount --bind {self.bundle} {root}{INSIDE}",
            f"cp -r {files}/. {root}/etc",
            *([f"mount -t proc proc {root}/proc"] if self.has_proc else []),
            *self.more,
            f"mkdir -p {root}{self.folder}",
            f"mount --bind {self.folder} {root}{self.folder}",
            f'exec {shlex.join([*enter, root, json.dumps(self.environment)])} "$@"',
        ]
        return "\n".join(lines)
