"""What was tested with what, as docs/tested-with.md: versions, scenarios, times."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import parts
from .cgroups import hierarchies

PARTS = (*parts.KUBERNETES, "etcd", "containerd", "runc", "busybox")
SECTIONS = {
    "test_scenarios": "On a node of the newest kubelet",
    "test_service_accounts": "Pods as their own ServiceAccounts, on the same node",
    "test_kubelets": "Credential provider code of several kubelets, each a program built from that version's Go module",
    "test_broken_plugin": "Plugins broken on purpose: what they break must fail, the rest must not",
    "test_node": "The test's own machine",
}


@dataclass(frozen=True)
class Ran:
    """One test: where it is, its name, how it ended ("passed"), and how long it took in seconds."""

    module: str
    name: str
    outcome: str
    seconds: float

    @property
    def words(self) -> str:
        """The promise as a sentence, and what it was tried with."""
        name, _, tried = self.name.removeprefix("test_").partition("[")
        tried = tried.rstrip("]")
        if name == "on_a_real_node":
            name, tried = tried, ""
        return (f"{tried.replace('-', ', ')}: " if tried else "").replace("_", " ") + name.replace("_", " ")


@dataclass
class Report:
    """Collects what ran; `text` is the page."""

    ran: list[Ran] = field(default_factory=list)
    seconds_to_start: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def text(self) -> str:
        kernel = platform.release().partition("-")[0]  # what follows is its builder's name for it
        system = f"{_system()}, kernel {kernel}, {platform.machine()}, {os.cpu_count()} CPUs"
        minutes, seconds = divmod(round(time.monotonic() - self.began), 60)
        lines = [
            "# Tested with",
            "",
            "Written by `make tested-with`. All parts are real but the cloud, which is the ACR sandbox.",
            "",
            f"Last run: {time.strftime('%Y-%m-%d', time.gmtime())}, {system}, "
            f"cgroup v{1 if hierarchies()[0].option else 2}. "
            f"The cluster was up in {self.seconds_to_start:.0f} s, the whole run took {minutes} min {seconds} s"
            + (", with the long scenario in full." if os.environ.get("E2E_FULL") == "1" else "."),
            "",
            "| part | version | from |",
            "|---|---|---|",
        ]
        lines += [f"| {part.name} | {part.version} | {part.origin} |" for part in map(parts.part, PARTS)]
        for module, title in SECTIONS.items():
            rows = [each for each in self.ran if each.module == module]
            if rows:
                lines += ["", f"## {title}", "", "| promise | | seconds |", "|---|---|--:|"]
                lines += [f"| {each.words} | {each.outcome} | {each.seconds:.1f} |" for each in rows]
        return "\n".join(lines) + "\n"


def _system() -> str:
    try:
        names = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    except OSError:
        return platform.system()
    return names.get("PRETTY_NAME", "Linux").strip('"')
