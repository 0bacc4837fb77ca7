"""What was tested with what, as docs/tested-with.md: versions, scenarios, times."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import parts
from .cgroups import hierarchies

PARTS = (*parts.KUBERNETES, "etcd", "containerd", "runc", "busybox")


@dataclass(frozen=True)
class Ran:
    """One test: its name, whether it passed, and how long it took in seconds."""

    name: str
    passed: bool
    seconds: float


@dataclass
class Report:
    """Collects what ran; `write` makes the page of it."""

    ran: list[Ran] = field(default_factory=list)
    seconds_to_start: float = 0.0

    def add(self, name: str, *, passed: bool, seconds: float) -> None:
        self.ran.append(Ran(name, passed, seconds))

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text())

    def text(self) -> str:
        lines = [
            "# Tested with",
            "",
            "Written by `make e2e`: a cluster of real parts, the frozen plugin, and the ACR sandbox in the cloud's place.",
            "",
            f"Last run: {time.strftime('%Y-%m-%d', time.gmtime())}, {_system()}, kernel {platform.release()}, "
            f"{platform.machine()}, cgroup v{1 if hierarchies()[0].option else 2}; "
            f"the cluster was up in {self.seconds_to_start:.0f} s.",
            "",
            "| part | version | from |",
            "|---|---|---|",
        ]
        lines += [f"| {part.name} | {part.version} | {part.origin} |" for part in map(parts.part, PARTS)]
        versions = ", ".join(module.kubernetes_version for module in parts.lookups())
        lines += [
            "",
            f"Credential provider code of these kubelets, from Go modules: {versions}.",
            "",
            "| scenario | | seconds |",
            "|---|---|---|",
        ]
        for each in self.ran:
            name = each.name.partition("[")[2].rstrip("]") or each.name.removeprefix("test_")
            said = name.replace("_", " ").replace("-", ", ")
            lines.append(f"| {said} | {'passed' if each.passed else 'failed'} | {each.seconds:.1f} |")
        return "\n".join(lines) + "\n"


def _system() -> str:
    try:
        names = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    except OSError:
        return platform.system()
    return names.get("PRETTY_NAME", "Linux").strip('"')
