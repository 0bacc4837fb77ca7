"""Finds the node's kubelet in /proc, and the flags that it was started with.

Any user may start a process with a kubelet's name, so only a process that is proved to be root's counts.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acr_credential_provider.files import trusted_files
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Family = tuple[str, ...]

CONFIG_FLAG, BIN_DIR_FLAG = "image-credential-provider-config", "image-credential-provider-bin-dir"
RANCHER = "/var/lib/rancher/credentialprovider"
"""The default folder of k3s and RKE2."""
RANCHER_KUBECONFIG = "/var/lib/rancher/k3s/agent/kubelet.kubeconfig"
"""The kubeconfig of k3s's kubelet, which is part of the k3s process; RKE2's kubelet has flags of its own."""
LARGEST = 1 << 20
ENVIRONMENT = (
    *("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE"),
    *("ALIBABA_CLOUD_ROLE_ARN", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "ALIBABA_CLOUD_OIDC_TOKEN_FILE"),
    "ALIBABA_CLOUD_STS_ENDPOINT",
)
"""The variables that the plugin reads. No other variable of a kubelet is used, because loaders, TLS libraries and
interpreters run or load the files that theirs name."""

_MOST_PARENTS = 16
_KUBELET, _RANCHER = ("kubelet", "hyperkube"), ("k3s", "rke2")
EMBEDDING = ("kubelite", "microshift", "edgecore")
"""Programs of MicroK8s, MicroShift and KubeEdge: their kubelet is no process of its own."""
BEHIND_SCRIPT, BEHIND_ANY = "script", "any"


@dataclass(frozen=True, slots=True)
class Kubelet:
    """A running kubelet. *environ* has only its variables in `ENVIRONMENT`.

    *kubeconfig* is its file for the API server, *program* the path of its program on the node, "" if it cannot be seen.
    """

    pid: int
    config: str
    bin_dir: str
    environ: Mapping[str, str] = field(repr=False)
    started: float | None = None  # seconds since the epoch
    arguments: tuple[str, ...] = field(default=(), repr=False)
    """Its command line, the program's name first."""
    unit: str = ""
    """The systemd service of its cgroup, "" for none."""
    kubeconfig: str = ""
    program: str = ""
    parent: int = 0


def find_kubelet(
    proc: str = "/proc", *, root: str = "/", main_pid: Callable[[str], int] = lambda _unit: 0
) -> Kubelet | None:
    """Return the node's kubelet, None if none can be seen; raise `ConfigurationError` for several.

    A candidate is a process of root's (`_Process.is_of_root`) that is a child of PID 1 (or of k3s or RKE2, or of a
    process outside, if the node is a container). If there is none, a kubelet that a script of its unit started and
    waits for is one. Of several, the one in a kubelet's unit is the node's, and of those of one unit the one that is
    *main_pid* or its child. *root* is the path of the node's /; *main_pid* returns systemd's main process of a unit, 0
    if unknown.
    """
    kubelets = [*_kubelets(proc, root, _KUBELET), *_kubelets(proc, root, _RANCHER)]
    kubelets = kubelets or list(_kubelets(proc, root, _KUBELET, may_be_behind=BEHIND_SCRIPT))
    kubelets = [kubelet for kubelet in kubelets if is_kubelet_unit(kubelet.unit)] or kubelets
    # RKE2 starts its kubelet as another process; the kubelet of k3s is a part of k3s.
    kubelets = [kubelet for kubelet in kubelets if _program(kubelet.arguments) not in _RANCHER] or kubelets
    if len(kubelets) > 1:
        main = {unit: main_pid(unit) for unit in {kubelet.unit for kubelet in kubelets} - {""}}
        kubelets = [
            kubelet for kubelet in kubelets if main.get(kubelet.unit) in (kubelet.pid, kubelet.parent)
        ] or kubelets
    if len(kubelets) > 1:
        pids = ", ".join(str(kubelet.pid) for kubelet in kubelets)
        raise ConfigurationError(
            f"more than one kubelet runs here (PIDs {pids})",
            remedy=Remedy("SeveralKubelets", "Stop those that are not this node's."),
        )
    return kubelets[0] if kubelets else None


def flag(words: Sequence[str], name: str) -> str:
    """Return the value of the flag *name*, "" without it. The last one counts, as in the kubelet.

    >>> flag(["kubelet", "--a=1", "--b", "2", "--a=3"], "a"), flag(["kubelet", "--b_c", "2"], "b-c")
    ('3', '2')
    """
    value = ""
    for at, word in enumerate(words):
        given, equals, text = word.partition("=")
        if flag_name(given) == name:
            value = text if equals else "".join(words[at + 1 : at + 2])
    return value


def flag_name(word: str) -> str:
    """Return the name of the flag that *word* is or begins with; a kubelet reads _ in it as -. "" for no flag.

    >>> flag_name("--a_b=c_d"), flag_name("-v"), flag_name("a-b")
    ('a-b', 'v', '')
    """
    if not word.startswith("-"):
        return ""
    return word.partition("=")[0].removeprefix("-").removeprefix("-").replace("_", "-")


def find_supervised(proc: str = "/proc", *, root: str = "/") -> Kubelet | None:
    """Return the one kubelet, k3s or RKE2 that another process of the node started, None for none or several.

    For a node without a unit of its kubelet; `find_kubelet` has the others.
    """
    found = [*_kubelets(proc, root, _KUBELET, may_be_behind=BEHIND_ANY)]
    found = found or [*_kubelets(proc, root, _RANCHER, may_be_behind=BEHIND_ANY)]
    return found[0] if len(found) == 1 else None


def find_embedding(proc: str = "/proc", *, root: str = "/") -> Kubelet | None:
    """Return a process of the node's root that has a kubelet inside (one of `EMBEDDING`), None without one."""
    return next(_kubelets(proc, root, EMBEDDING, may_be_behind=BEHIND_ANY), None)


def is_in_container(proc: str = "/proc") -> bool:
    """True if a root process named kubelet runs in a container that is no pod's. For words alone: it is no proof."""
    for entry in filter(str.isdigit, _listed(proc)):
        if _program(_words(_read(f"{proc}/{entry}/cmdline"))) not in _KUBELET:
            continue
        with _opened(proc, entry) as process:
            if process is not None and process.is_in_container:
                return True
    return False


def _kubelets(proc: str, root: str, names: Family, *, may_be_behind: str = "") -> Iterator[Kubelet]:
    for entry in sorted(filter(str.isdigit, _listed(proc)), key=int):
        if _program(_words(_read(f"{proc}/{entry}/cmdline"))) not in names:
            continue
        with _opened(proc, entry) as process:
            kubelet = _kubelet(process, root, names, may_be_behind) if process is not None else None
        if kubelet is not None:
            yield kubelet


def _kubelet(process: _Process, root: str, names: Family, may_be_behind: str) -> Kubelet | None:
    """Return *process* as a kubelet called one of *names*, None if it is none."""
    program = process.program(root)
    if program is None or not process.is_of_root(program, names):
        return None
    words = _words(process.read("cmdline"))  # only now that the process is known to be root's
    if _program(words) not in names or (words[0].endswith("hyperkube") and words[1:2] != ["kubelet"]):
        return None
    parent = process.parent
    is_started_by_init = parent in (0, 1) or _program(_words(_read(f"{process.proc}/{parent}/cmdline"))) in _RANCHER
    is_behind_script = may_be_behind == BEHIND_SCRIPT and process.is_below_its_own_unit
    is_behind_any = (
        may_be_behind == BEHIND_ANY and process.has_nodes_mounts and not {"--version", "--help", "-h"} & set(words)
    )
    if not (is_started_by_init or is_behind_script or is_behind_any):
        return None
    config, bin_dir, kubeconfig = (flag(words, name) for name in (CONFIG_FLAG, BIN_DIR_FLAG, "kubeconfig"))
    if names is _RANCHER and not (config or bin_dir) and os.path.isdir(f"{RANCHER}/bin"):
        config, bin_dir = f"{RANCHER}/config.yaml", f"{RANCHER}/bin"
    if names is _RANCHER and not kubeconfig and os.path.exists(RANCHER_KUBECONFIG):
        kubeconfig = RANCHER_KUBECONFIG
    variables = dict(line.split("=", 1) for line in process.read("environ").split("\0") if "=" in line)
    return Kubelet(
        process.pid,
        config,
        bin_dir,
        {name: variables[name] for name in ENVIRONMENT if name in variables},
        started=_started(_read(f"{process.proc}/stat"), process.read("stat")),
        arguments=tuple(words),
        unit=process.unit,
        kubeconfig=kubeconfig,
        program=program,
        parent=parent,
    )


@dataclass(frozen=True, slots=True)
class _Process:
    """A process by its open *folder* in *proc*, so that a later process with its number is not read."""

    proc: str
    pid: int
    folder: int

    def read(self, name: str) -> str:
        """Return the text of one of its files, "" if that cannot be read."""
        return _read(name, self.folder)

    @property
    def parent(self) -> int:
        return _parent(self.read("status"))

    @property
    def unit(self) -> str:
        return _service(self.read("cgroup"))

    @property
    def is_below_its_own_unit(self) -> bool:
        """True if it is in a kubelet's unit, and so are all processes above it but PID 1."""
        above, unit = self.parent, self.unit
        for _ in range(_MOST_PARENTS):
            if above == 1:
                return is_kubelet_unit(unit)
            if _service(_read(f"{self.proc}/{above}/cgroup")) != unit:
                return False
            above = _parent(_read(f"{self.proc}/{above}/status"))
        return False

    def is_of_root(self, program: str, names: Family) -> bool:
        """True if it is a process of the node's root, in no pod, whose *program* is a kubelet's.

        Its user namespace must be that of PID 1, because root of another one is not the node's. So must its mount
        namespace, because pods have a root too; except in a kubelet's unit, which may have mounts of its own and into
        which only systemd puts processes. If a namespace cannot be seen, the unit decides.
        """
        user = re.search(r"^Uid:\s*(\d+)\s+(\d+)\s+(\d+)", self.read("status"), re.MULTILINE)
        if not user or set(user.groups()) != {"0"} or _is_of_a_pod(self.read("cgroup")):
            return False
        is_users_shared = self._shares("user")
        if is_kubelet_unit(self.unit):
            return is_users_shared is not False
        is_named_so = any(name in os.path.basename(program) for name in (*_KUBELET, *_RANCHER, *names))
        return is_named_so and is_users_shared is True and self._shares("mnt") is True

    @property
    def has_nodes_mounts(self) -> bool:
        """True if it has the mounts of PID 1, and is in no unit that is called as a kubelet's."""
        return self._shares("mnt") is True and not is_kubelet_unit(self.unit)

    @property
    def is_in_container(self) -> bool:
        """True if it is root's, in no pod, and has other mounts than PID 1, outside of a kubelet's own unit."""
        user = re.search(r"^Uid:\s*0\s", self.read("status"), re.MULTILINE)
        is_elsewhere = self._shares("mnt") is False and not is_kubelet_unit(self.unit)
        return bool(user) and is_elsewhere and not _is_of_a_pod(self.read("cgroup"))

    def program(self, root: str) -> str | None:
        """Return the path of its program below *root*, "" if it cannot be seen, None if others can change it.

        A program that was replaced while it runs is the file that is there now. A setuid program is refused (None),
        because any user can start it under any name.
        """
        try:
            path = os.readlink("exe", dir_fd=self.folder)
        except OSError:  # it has ended, or this user may not read it
            return ""
        for candidate in dict.fromkeys((path, path.removesuffix(" (deleted)"))):
            try:
                with trusted_files.opened(candidate, root) as program:
                    return None if program.status.st_mode & (stat.S_ISUID | stat.S_ISGID) else candidate
            except (OSError, trusted_files.UntrustedFileError):
                continue
        return None

    def _shares(self, kind: str) -> bool | None:
        """True if its namespace *kind* is that of PID 1, None if that cannot be seen."""
        try:
            own, first = os.stat(f"ns/{kind}", dir_fd=self.folder), os.stat(f"{self.proc}/1/ns/{kind}")
        except OSError:
            return None
        return (own.st_dev, own.st_ino) == (first.st_dev, first.st_ino)


@contextmanager
def _opened(proc: str, entry: str) -> Iterator[_Process | None]:
    try:
        folder = os.open(f"{proc}/{entry}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # it has ended
        yield None
        return
    try:
        yield _Process(proc, int(entry), folder)
    finally:
        os.close(folder)


def _is_of_a_pod(cgroups: str) -> bool:
    r"""True if the text of /proc/PID/cgroup names a pod, also relative to another pod's cgroup.

    >>> _is_of_a_pod("0::/kubepods.slice/x.scope"), _is_of_a_pod("0::/../../pod0a1b2c3d-1111-2222-3333-444455556666/x")
    (True, True)
    >>> _is_of_a_pod("0::/system.slice/kubelet.service")
    False
    """
    return re.search(r"kubepods|/pod[0-9a-f]{8}[-_]?[0-9a-f]{4}", cgroups) is not None


def is_kubelet_unit(unit: str) -> bool:
    """True if *unit* is called as distributions, snaps, k3s and RKE2 call a kubelet's unit."""
    return "kubelet" in unit or unit.startswith(_RANCHER)


def _service(cgroups: str) -> str:
    r"""Return the systemd service that the text of /proc/PID/cgroup names, "" for none.

    A user's services do not count, because users choose their names.

    >>> _service("12:pids:/system.slice/kubelet.service\n0::/system.slice/kubelet.service/sub\n"), _service("0::/\n")
    ('kubelet.service', '')
    >>> _service("0::/user.slice/user-1000.slice/user@1000.service/app.slice/kubelet.service")
    ''
    """
    if re.search(r"/user(\.slice|-\d+\.slice|@\d+\.service)", cgroups):
        return ""
    services = re.findall(r"/([A-Za-z0-9_.:\\@-]+\.service)(?:/|$)", cgroups, re.MULTILINE)
    return str(services[-1]) if services else ""


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read(path: str, folder: int | None = None) -> str:
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags, dir_fd=folder)) as file:
            return file.read(LARGEST).decode("utf-8", "surrogateescape")
    except OSError:  # it has ended, or this user may not read it
        return ""


def _words(cmdline: str) -> list[str]:
    return cmdline.removesuffix("\0").split("\0")


def _program(words: Sequence[str]) -> str:
    """Return the program's name; k3s overwrites its first word with its whole command line."""
    return os.path.basename(words[0].split(" ")[0])


def _parent(status: str) -> int:
    """Return the parent in the text of /proc/PID/status, -1 for none."""
    match = re.search(r"^PPid:\s*(\d+)", status, re.MULTILINE)
    return int(match[1]) if match else -1


def _started(machine: str, process: str) -> float | None:
    """Return the time (seconds since the epoch) at which a process started, from /proc/stat and its own stat."""
    boot = re.search(r"^btime (\d+)", machine, re.MULTILINE)
    fields = process.rpartition(")")[2].split()
    if not boot or len(fields) < 20 or not fields[19].isdigit():
        return None
    return int(boot[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
