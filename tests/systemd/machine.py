"""A machine that boots systemd, in a container of systemd-nspawn, with a kubelet as kubeadm sets it up.

Its root is made once per list of packages, kept outside of the tree, and never changed: each machine has a layer of its
own over it. All ends with the machine; nothing on this one is changed.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from cluster import parts
from support import harness

PACKAGES = ("systemd", "systemd-sysv", "dbus", "procps", "util-linux", "curl", "python3")
SUITE = "bookworm"
HERE = Path(__file__).resolve().parent
NAME = "aliyun-acr-credential-provider"
STATE = f"/var/lib/{NAME}"
KEPT = ("etc", "opt", "usr", "var/lib", "var/cache")
"""What is compared before and after."""
UNIT = """\
[Unit]
Description=kubelet: The Kubernetes Node Agent
[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=1
[Install]
WantedBy=multi-user.target
"""
DROP_IN = """\
[Service]
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""
SETTINGS = """\
apiVersion: aliyun-acr-credential-provider/v1
kind: ProviderSettings
registries:
  - instanceId: cri-0123456789abcdef
    region: cn-hangzhou
    domains: [demo-registry.cn-hangzhou.cr.aliyuncs.com]
    identity: {kind: nodeRole}
"""


def root() -> Path:
    """Return the folder of the root that all machines share, made if it is not there."""
    digest = hashlib.sha256(" ".join((SUITE, *PACKAGES)).encode()).hexdigest()[:12]
    folder = parts.cache_folder().parent / f"systemd-root-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / ".systemd-root.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as building:
                made = Path(building) / "root"
                words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE]
                subprocess.run([*words, str(made)], check=True)
                made.rename(folder)
    return folder


@functools.cache
def standin() -> bytes:
    """Return the program that stands in for a kubelet."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "kubelet"
        subprocess.run(["gcc", "-static", "-O", "-o", str(program), str(HERE / "kubelet.c")], check=True)
        return program.read_bytes()


class Machine:
    """One machine. *tmpfs* are folders of it with a file system of their own: path to size."""

    OTHERS = ("/var/lib/systemd", "/etc/machine-id", "/var/lib/dbus", "/var/cache/ldconfig", "/etc/resolv.conf")
    """What changes without an installer."""

    def __init__(self, folder: Path, *, version: str = "v1.34", tmpfs: dict[str, str] | None = None) -> None:
        self._folder = folder
        self._tmpfs = tmpfs or {}
        self.root = folder / "root"
        self._process: subprocess.Popen | None = None
        self.leader = 0
        for name in ("root", "upper", "work"):
            (folder / name).mkdir(parents=True)
        layers = f"lowerdir={root()},upperdir={folder}/upper,workdir={folder}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", str(self.root)], check=True)
        self._set_up(version)

    def _set_up(self, version: str) -> None:
        self._put_kubelet(version)
        self.write("/settings/settings.yaml", SETTINGS)
        self.write("/etc/machine-id", "")
        wants = self.root / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir(parents=True, exist_ok=True)
        (wants / "kubelet.service").symlink_to("../kubelet.service")

    def _put_kubelet(self, version: str) -> None:
        self.write("/usr/bin/kubelet", standin(), 0o755)
        self.write("/usr/lib/standin/kubelet.py", (HERE / "kubelet.py").read_text())
        for module in parts.lookups():
            name = ".".join(module.version.split(".")[:2])
            self.write(f"/usr/lib/standin/lookup-{name}", (module.built / "lookup").read_bytes(), 0o755)
        self.write("/usr/lib/standin/version", version)
        self.write("/etc/systemd/system/kubelet.service", UNIT)
        self.write("/etc/systemd/system/kubelet.service.d/10-kubeadm.conf", DROP_IN)
        self.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--v=2\n")
        self.write("/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\n")

    def _held(self, words: list[str]) -> list[str]:
        """Return the command line that starts the machine with *words*."""
        return words

    def _mounts(self) -> list[str]:
        """Return the options of systemd-nspawn that put more of this machine into it."""
        return []

    def write(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)

    def __enter__(self) -> Self:
        try:
            self.boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_power()
        subprocess.run(["umount", str(self.root)], check=True)

    def boot(self) -> None:
        """Start it; return once systemd is done and the kubelet had a first moment."""
        words = ["systemd-nspawn", f"--directory={self.root}", f"--machine=acr-{os.getpid()}", "--register=no"]
        words += ["--keep-unit", "--boot", "--private-network", "--console=pipe", "--quiet", "--link-journal=no"]
        words += [f"--bind-ro={harness.FROZEN.parent}:/bundle"]
        words += self._mounts()
        words += [f"--tmpfs={path}:size={size},mode=755" for path, size in self._tmpfs.items()]
        with open(self._folder / "console.log", "ab") as log:
            self._process = subprocess.Popen(self._held(words), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + 90
        while time.monotonic() < until:
            assert self._process.poll() is None, (self._folder / "console.log").read_text()
            self.leader = self._leader()
            if self.leader and self.say("systemctl", "is-system-running") in ("running", "degraded"):
                return
            time.sleep(0.2)
        raise AssertionError(f"it did not boot: {(self._folder / 'console.log').read_text()}")

    def cut_power(self) -> None:
        """End everything in it at once; its files stay as they are."""
        if self._process is None:
            return
        for pid in (self.leader, self._process.pid):
            try:
                if pid:
                    os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._process.wait(30)
        self._process, self.leader = None, 0

    def _leader(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        try:
            found = children.read_text().split()
            return int(found[0]) if found and Path(f"/proc/{found[0]}/root/run/systemd").is_dir() else 0
        except OSError:
            return 0

    def run(self, *words: str, timeout: float = 120) -> subprocess.CompletedProcess:
        """Run a program in it."""
        return subprocess.run(self._entering(words), check=False, capture_output=True, text=True, timeout=timeout)

    def start(self, *words: str) -> subprocess.Popen:
        return subprocess.Popen(self._entering(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _entering(self, words: tuple[str, ...]) -> list[str]:
        enter = ["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root"]
        return [*enter, "--wd=/", "--", *words]

    def say(self, *words: str) -> str:
        return self.run(*words).stdout.strip()

    def node(self, *words: str, bundle: str = "/bundle") -> subprocess.CompletedProcess:
        """Run the installer in it, as an operator does."""
        return self.run(f"{bundle}/{NAME}", "node", *words)

    def node_from_pod(self, *words: str) -> subprocess.CompletedProcess:
        """Run the installer as a pod with hostPID does: the node's / is a mount, the network another one."""
        enter = ["nsenter", f"--target={self.leader}", "--mount", "--pid", "--ipc", "--root", "--wd=/", "--"]
        script = f'mount --rbind / /mnt && exec /bundle/{NAME} node "$@" --host-root /mnt'
        words = (*enter, "unshare", "--mount", "--", "sh", "-c", script, "sh", *words)
        return subprocess.run(words, check=False, capture_output=True, text=True, timeout=120)

    def status(self) -> dict:
        return json.loads(self.node("status", "--output", "json").stdout)

    def kubelet(self) -> dict[str, str]:
        """Return what systemd says of the kubelet."""
        names = "ActiveState,SubState,MainPID,NRestarts"
        said = self.say("systemctl", "show", f"--property={names}", "kubelet.service")
        return dict(line.split("=", 1) for line in said.splitlines())

    def command_line(self) -> str:
        return self.say("cat", f"/proc/{self.kubelet()['MainPID']}/cmdline").replace("\0", " ")

    def runs(self) -> bool:
        """Say whether the kubelet is up and says that it is healthy."""
        asked = self.run("curl", "--silent", "--fail", "--max-time", "2", "http://127.0.0.1:10248/healthz")
        return self.kubelet()["ActiveState"] == "active" and asked.returncode == 0

    def wait_until(self, what, seconds: float = 60, told=lambda: "") -> None:
        until = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < until, told() + self.say("journalctl", "--no-pager", "-n", "60")
            time.sleep(0.1)

    @property
    def inside(self) -> Path:
        """Its root as its processes see it, mounts included."""
        return Path(f"/proc/{self.leader}/root")

    def journal(self) -> dict | None:
        """Return the installer's journal, None if there is none."""
        try:
            return json.loads((self.inside / STATE.lstrip("/") / "journal.json").read_text())
        except (OSError, ValueError):
            return None

    def tree(self) -> dict[str, str]:
        """Return bytes, modes and owners of what an installer could have to do with."""
        words = ["find", *(f"/{each}" for each in KEPT), "-xdev", "-printf", r"%p %y %m %U:%G %l\n"]
        lines = self.say(*words).splitlines()
        found = dict(line.split(" ", 1) for line in lines if not line.startswith(self.OTHERS))
        for path in ("/etc/default/kubelet", "/var/lib/kubelet/config.yaml"):
            found[path] = found.get(path, "") + " " + self.say("sha256sum", path)
        return found


if __name__ == "__main__":
    sys.stdout.write(f"{root()}\n")
