"""A machine within this machine: namespaces for network, mounts, processes, host name and cgroups.

Nothing outside changes, whatever the kubelet does to its machine: it mounts in a mount
namespace of its own, writes sysctls that are files of ours, and fills folders that lie
over the real ones. When the first process ends (it reads from us, so also when we are
killed) the kernel ends all others and drops every mount.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sandbox.netns import NetworkNamespace

from .cgroups import ENTER, Cgroup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

ADDRESS = "10.123.0.1"
NAME = "e2e-node"
# What a kubelet sets on start, system-wide; kernel/Documentation says they are not namespaced.
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
# Absolute paths that kubelet and containerd do not let one choose; /run too, for their sockets. And what an installer
# may change.
OVERLAID = ("/etc", "/opt", "/var/cache", "/var/lib", "/var/log")
NAMESPACES = ("--net", "--mount", "--pid", "--uts", "--ipc", "--cgroup")
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}


def prefix() -> str:
    """Return how the folders and cgroups of this process's nodes begin."""
    return f"acr-e2e-{os.getpid()}-"


class Node(NetworkNamespace):
    """The machine, up and empty, with a *folder* of its own; `start` runs programs on it.

    127.0.0.1 and 100.100.100.200 are its own, so a sandbox can `listen_in` it; `ADDRESS`
    is the one that a node registers with.
    """

    def __enter__(self) -> Self:
        self._left = contextlib.ExitStack()
        try:
            self._enter()
        except BaseException:
            self._left.close()
            raise
        return self

    def _enter(self) -> None:
        # Not in the test's own folder: a path of a Unix socket has at most 107 bytes.
        self.folder = Path(self._left.enter_context(tempfile.TemporaryDirectory(prefix=prefix())))
        self.folder.chmod(0o755)
        self._cgroup = self._left.enter_context(Cgroup(self.folder.name))
        self._programs: dict[str, Running] = {}
        self._holder = subprocess.Popen(
            self._cgroup.enter(["unshare", *NAMESPACES, "--fork", "--kill-child", "--", "sh", "-ec", self._script()]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        self._left.callback(self._end)
        said = self._holder.stdout.readline() if self._holder.stdout else b""
        if not said.strip().isdigit():
            raise OSError("no namespaces to be had: it takes root, unshare (util-linux) and ip (iproute2)")
        self.pid = int(said)
        self.path = f"/proc/{self.pid}/ns/net"

    @staticmethod
    def sweep(folder: Path) -> None:
        """Remove what is left of a node whose maker was killed: its *folder*, and its empty cgroups."""
        Cgroup(folder.name).__exit__()
        shutil.rmtree(folder, ignore_errors=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.close()

    def _end(self) -> None:
        self._holder.communicate()
        for program in self._programs.values():
            program.wait()

    def _script(self) -> str:
        for name, value in SYSCTLS.items():
            file = self.folder / "sysctl" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(value + "\n")
        lines = [
            # /proc is still the machine's, so this is our number there; read before it is covered.
            "read -r pid rest < /proc/self/stat",
            "mount --make-rshared /",
            "mount -t proc proc /proc",
            "mount -t sysfs sysfs /sys",
            self._cgroup.mount_commands(),
            "mount -t tmpfs -o mode=755 tmpfs /run",
            "mkdir /run/over /run/pids",
        ]
        for folder in OVERLAID:
            upper, work = (f"/run/over{folder}/{part}" for part in ("upper", "work"))
            lines += [
                f"mkdir -p {upper} {work}",
                f"mount -t overlay -o lowerdir={folder},upperdir={upper},workdir={work} overlay {folder}",
            ]
        lines += [
            f"if [ -e /proc/sys/{name} ]; then mount --bind {self.folder}/sysctl/{name} /proc/sys/{name}; fi"
            for name in SYSCTLS
        ]
        lines += [
            f"hostname {NAME}",
            "ip link set lo up",
            "ip address add 100.100.100.200/32 dev lo",
            "ip link add node0 type veth peer name node1",
            f"ip address add {ADDRESS}/24 dev node0",
            "ip link set node0 up",
            "ip link set node1 up",
            'echo "$pid"',
            "exec cat",
        ]
        return "\n".join(lines)

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs *argv* on this machine."""
        where = ["nsenter", f"--target={self.pid}", *NAMESPACES, "--", "sh", "-c", ENTER, "sh"]
        return [*where, *self._cgroup.inner_folders(), "--", *argv]

    def start(self, name: str, argv: Sequence[str], *, log: Path) -> Running:
        """Start the service *name*; it writes to *log* and ends with this machine at the latest."""
        tell = ["sh", "-c", 'echo $$ > "/run/pids/$0"; exec "$@"', name, *argv]
        with log.open("ab") as output:
            process = subprocess.Popen(
                self.command(tell), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=ENVIRONMENT
            )
        self._programs[name] = running = Running(self, name, process, log)
        return running

    def output(self, argv: Sequence[str], **options: Any) -> bytes:
        """Return what *argv* writes; raise with its complaints when it fails."""
        ran = self.run(argv, capture_output=True, env=ENVIRONMENT, **options)
        assert ran.returncode == 0, f"{argv}: {ran.stderr.decode()}"
        return ran.stdout


class Running:
    """A service on a node."""

    def __init__(self, node: Node, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self._node = node
        self._process = process
        self.name = name
        self.log = log

    @property
    def is_up(self) -> bool:
        return self._process.poll() is None

    def stop(self, signal: str = "TERM") -> None:
        """Ask it to end, and wait until it has."""
        # By number and within the namespace: the number means nothing outside.
        self._node.run(["sh", "-c", 'kill -"$0" "$(cat "/run/pids/$1")"', signal, self.name], capture_output=True)
        self.wait()

    def wait(self, timeout: float = 20.0) -> None:
        self._process.wait(timeout)

    def tail(self, lines: int = 25) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def await_(self, is_ready: Any, *, timeout: float = 60.0) -> None:
        """Wait until *is_ready* returns true; fail with the end of the log when it never does."""
        end = time.monotonic() + timeout
        while not is_ready():
            assert self.is_up, f"{self.name} ended:\n{self.tail()}"
            assert time.monotonic() < end, f"{self.name} was not ready in {timeout:.0f} s:\n{self.tail()}"
            time.sleep(0.1)
