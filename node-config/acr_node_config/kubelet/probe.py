"""The kubelet that runs on the node, as far as it can be observed: process, flags, health; and its restart."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.kubelet.process import CONFIG_FLAG, flag
from acr_credential_provider.model.errors import ConfigurationError

from acr_node_config.discovery.discovery import provider_config
from acr_node_config.hostfs import host_exec
from acr_node_config.hostfs.boot import boot_id
from acr_node_config.hostfs.host_reader import HostReader
from acr_node_config.kubelet_config.document import Document
from acr_node_config.kubelet_config.provider_entries import NAMES
from acr_node_config.model.errors import ServiceError
from acr_node_config.model.paths import tidy
from acr_node_config.model.running_config import RunningConfig, is_kubelet

from . import healthz

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .healthz import Listener
    from .service_manager import ServiceManager, ServiceState

HEALTH = {b"ok": True, b"no": False}
"""What ``node healthz`` prints for a healthy kubelet and for another one."""


@dataclass(frozen=True, slots=True)
class KubeletProbe:
    """The kubelet of *unit*, observed through *root*/proc. *flags* are those that it should have.

    *program* is a path of the node where our own program is: in a pod without hostNetwork, /healthz is asked by running
    it in the node's network. *config* is the CredentialProviderConfig, a file or a folder.
    """

    service: ServiceManager
    unit: str
    root: str = "/"
    flags: Mapping[str, str] | None = None
    program: str = ""
    config: str = ""
    reloads: bool = False
    """Whether systemd must read the unit's files again before a restart."""
    port: int = healthz.PORT

    def state(self) -> ServiceState:
        """Return what systemd says of its unit; raise `ServiceError`."""
        return self.service.state(self.unit)

    def restart(self) -> int:
        """Have it restarted; return the process that this should end, 0 for none."""
        pid = self.state().pid
        if self.reloads:
            self.service.reload()
        self.service.restart(self.unit)
        return pid

    def is_healthy(self) -> bool | None:
        """Return the result of its /healthz; None if that cannot be asked from here, or others may have answered."""
        before = self._listeners()
        if before is None or not self._owns(before):
            return None
        is_well = self.ask_healthz()
        return is_well if self._listeners() == before else None

    def healthz_holder(self) -> str:
        """Return who listens at the address of its /healthz in its place, "" for nobody."""
        found = self._listeners()
        if not found or self._owns(found):
            return ""
        users = ", ".join(sorted({str(listener.user) for listener in found}))
        return f"127.0.0.1:{self.port} belongs to a process of user {users} that is not the kubelet's"

    def ask_healthz(self) -> bool | None:
        """Return what is answered at its address, whoever does; None if that cannot be reached from here."""
        if host_exec.is_in("net", self.root):
            return healthz.answers(self.port)
        if not self.program:
            return None
        command = host_exec.Command([self.program, "node", "healthz"], ["--target", "1", "--net"])
        try:
            ended = host_exec.run(command, root=self.root, seconds=healthz.SECONDS + 8.0)
        except ServiceError:
            return None
        return HEALTH.get(ended.stdout.strip())  # not by the exit code, which may be nsenter's own

    def has_flags(self, pid: int) -> bool | None:
        """True if process *pid* has our flags; None if none are expected or its command line cannot be read."""
        if self.flags is None:
            return None
        words = self._command_line(pid)
        if not words:
            return None
        return all(tidy(flag(words, name)) == tidy(value) for name, value in self.flags.items())

    def running_config(self, pid: int) -> RunningConfig | None:
        """Return the flags and the other providers of process *pid*; None if they cannot be read."""
        words = self._command_line(pid)
        return RunningConfig.of(words, self._providers(flag(words, CONFIG_FLAG) or self.config)) if words else None

    def start_id(self) -> str:
        """Return an ID of this start of the kubelet (boot ID, PID, start tick), or ""; no clock is read."""
        try:
            pid = self.state().pid
        except ServiceError:
            return ""
        if not pid:
            return ""
        fields = self._stat_fields(pid)
        return f"{boot_id()} {pid} {fields[19] if len(fields) > 19 else ''}"

    def _providers(self, path: str) -> list[str] | None:
        """Return the names of others' providers in the configuration at *path*, None if it cannot be read."""
        config = provider_config(HostReader(self.root), path)
        try:
            documents = [Document.parse(file.content, file.path) for file in config.files] if config else []
        except ConfigurationError:
            return None
        return [name for document in documents for name in document.names if name not in NAMES]

    def _command_line(self, pid: int) -> list[str]:
        """Return the command line of the kubelet that *pid* is or started (by a script); else that of *pid*.

        A script that passes its arguments on may add some of its own.
        """
        words = _words(f"{self._proc}/{pid}/cmdline")
        if not words or is_kubelet(words):
            return words
        commands = (_words(f"{self._proc}/{child}/cmdline") for child in self._descendants(pid))
        kubelets = [command for command in commands if is_kubelet(command)]
        return kubelets[0] if len(kubelets) == 1 else words

    def _descendants(self, pid: int) -> list[int]:
        """Return the processes that *pid* or one of its own started, without those of pods."""
        parents = {}
        for entry in filter(str.isdigit, _listed(self._proc)):
            fields = self._stat_fields(int(entry))
            if len(fields) > 1 and fields[1].isdigit():
                parents[int(entry)] = int(fields[1])
        family = [pid]
        for member in family:
            family += [child for child, parent in parents.items() if parent == member and child not in family]
        return [child for child in family[1:] if "kubepods" not in _read(f"{self._proc}/{child}/cgroup")]

    def _listeners(self) -> frozenset[Listener] | None:
        """Return the sockets at the address of its /healthz, None if they cannot be seen."""
        try:
            return healthz.listeners(self._proc, self.port)
        except (OSError, ValueError):
            return None

    def _owns(self, listeners: frozenset[Listener]) -> bool:
        """True if all *listeners* are of the unit's process, or of one that it started. A pod's processes are not."""
        if not listeners:
            return True
        try:
            pid = self.state().pid
            sockets = healthz.sockets_of(self._proc, [pid]) if pid else frozenset()
            if pid and not sockets.issuperset(listener.inode for listener in listeners):
                sockets = healthz.sockets_of(self._proc, [pid, *self._descendants(pid)])
        except (OSError, ServiceError):  # it has ended, or may not be looked into
            return False
        return sockets.issuperset(listener.inode for listener in listeners)

    def _stat_fields(self, pid: int) -> list[str]:
        """Return the fields of /proc/PID/stat from the state on: the program's name before may hold spaces."""
        return _read(f"{self._proc}/{pid}/stat").rpartition(")")[2].split()

    @property
    def _proc(self) -> str:
        return "/proc" if self.root == "/" else f"{self.root}/proc"


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(1 << 20)
    except OSError:
        return ""


def _words(path: str) -> list[str]:
    text = _read(path)
    return text.removesuffix("\0").split("\0") if text else []
