"""The kubelet that runs on the node, as far as it can be seen from here: its process, its flags, its health."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.kubelet_flags import flag

from . import commands_on_host, guard, loaded_config, loopback
from .failures import ServiceError
from .finding import provider_config
from .host_tree import HostTree

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from .kubelet_service import Service, ServiceState

HEALTHZ_PORT = 10248
SECONDS = 2.0
HEALTH = {b"ok": True, b"no": False}
"""What ``node healthz`` says where the kubelet is well, and where it is not."""


@dataclass(frozen=True, slots=True)
class LiveKubelet:
    """The process of *unit*, seen through *root*/proc. *flags* are those that it should have.

    *program* is a path of the node where our own program is: where the node's network is another one than ours (a pod
    without hostNetwork), that is run in it to ask. *config* is the CredentialProviderConfig, a file or a folder.
    """

    service: Service
    unit: str
    root: str = "/"
    flags: Mapping[str, str] | None = None
    program: str = ""
    config: str = ""

    def state(self) -> ServiceState:
        """Return what systemd says of it."""
        return self.service.state(self.unit)

    def is_healthy(self) -> bool | None:
        """Return what its /healthz says; None if it can't be asked from here."""
        if commands_on_host.is_in("net", self.root):
            return answers()
        ended = self._asked_there("healthz")
        return HEALTH.get(ended.stdout.strip()) if ended else None  # the code of a failure may be nsenter's own

    def config_there(self) -> str:
        """Return the digest of the CredentialProviderConfig that is there now, "" without one."""
        found = provider_config(HostTree(self.root), self.config)
        return loaded_config.digest(file.content for file in found.files) if found else ""

    def config_read(self) -> str:
        """Return the digest of the one that it says it has read, "" where it does not say."""
        if commands_on_host.is_in("net", self.root):
            return loaded_config.ask()
        ended = self._asked_there("loaded-config")
        return ended.stdout.decode("utf-8", "replace").strip() if ended and ended.returncode == 0 else ""

    def has_flags(self, pid: int) -> bool | None:
        """Say whether process *pid* has the flags that it should have, and no others of their names."""
        if self.flags is None:
            return None
        words = _words(f"{self._proc}/{pid}/cmdline")
        if not words:
            return None
        return all(flag(words, name) == value for name, value in self.flags.items())

    def start_mark(self) -> str:
        """Return the boot and the process with the moment of its start, in ticks since the boot: no clock is in it."""
        try:
            pid = self.state().pid
        except ServiceError:
            return ""
        if not pid:
            return ""
        fields = _read(f"{self._proc}/{pid}/stat").rpartition(")")[2].split()
        return f"{guard.boot_id()} {pid} {fields[19] if len(fields) > 19 else ''}"

    def _asked_there(self, verb: str) -> subprocess.CompletedProcess[bytes] | None:
        """Run our program on the node, in the node's network; None if that can't be done from here."""
        if not self.program:
            return None
        words = ["nsenter", "--target", "1", "--net", "--", self.program, "node", verb]
        try:
            return commands_on_host.run(words, root=self.root, seconds=SECONDS + 8.0)
        except ServiceError:
            return None

    @property
    def _proc(self) -> str:
        return "/proc" if self.root == "/" else f"{self.root}/proc"


def answers(port: int = HEALTHZ_PORT, *, seconds: float = SECONDS) -> bool:
    """Say whether the /healthz on this network's loopback is well, and says so within *seconds*."""
    return loopback.is_ok(loopback.get(port, "/healthz", seconds=seconds, largest=loopback.STATUS))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(1 << 20)
    except OSError:
        return ""


def _words(path: str) -> list[str]:
    return _read(path).removesuffix("\0").split("\0") if _read(path) else []
