"""A node as a folder, and a kubelet that reads its flags and config as strictly as the real one, and exits as it does.

What the kubelet is doing is kept in a file beside the node, so that a process that is killed takes nothing along.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml
from acr_credential_provider.kubelet.config_validation import problems
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG, flag
from acr_node_config.hostfs.host_files import HostFiles
from acr_node_config.install import bundle, plan
from acr_node_config.install.node import Node
from acr_node_config.install.requests import InstallRequest
from acr_node_config.install.rollback_guard import Guard
from acr_node_config.install.state import InstallerFolder
from acr_node_config.kubelet.health_gate import Clock, HealthGate
from acr_node_config.kubelet.service_manager import ServiceState, UnitText
from acr_node_config.kubelet_config.document import Document
from acr_node_config.kubelet_config.provider_entries import NAME, NAMES
from acr_node_config.model.environment_file import EnvironmentFile, split
from acr_node_config.model.errors import ServiceError
from acr_node_config.model.facts import HostFile, NodeFacts, ProviderConfig, RunningKubelet
from acr_node_config.model.running_config import RunningConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from acr_node_config.model.placement import Placement

UNIT = "kubelet.service"
FOLDERS = (
    "etc/default", "etc/systemd/system/multi-user.target.wants", "etc/kubernetes", "opt", "usr/bin",
    "var/lib/kubelet", "var/cache", "etc/rancher/k3s/config.yaml.d", "proc",
)  # fmt: skip


def covering(*patterns: str, tokens: tuple[str, ...] = ()) -> dict:
    """Return what the program says that settings cover."""
    attributes = {
        "serviceAccountTokenAudience": "sts.aliyuncs.com",
        "cacheType": "ServiceAccount",
        "requireServiceAccount": True,
        "optionalServiceAccountAnnotationKeys": ["pod-identity.alibabacloud.com/role-name"],
    }
    token = {"matchImages": list(tokens), "tokenAttributes": attributes} if tokens else None
    return {"matchImages": list(patterns), "tokenMode": token}


COVERED = covering("*.*.cr.aliyuncs.com")


class StandinService:
    """systemd with a kubelet: `boot` and `restart` start it with what the node's files say at that moment."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: list[str] = []
        self.fails_on: set[str] = set()

    def state(self, unit: str) -> ServiceState:
        self._note("state", unit)
        kept = self.world.kept()
        if kept["pid"] == 0 and kept["crashes"] and unit == UNIT:
            kept["restarts"] += 1
            self.world.keep(kept)
        return ServiceState("active" if kept["pid"] else "activating", kept["pid"], kept["restarts"], "exit-code")

    def text(self, unit: str) -> UnitText:
        return UnitText()

    def restart(self, unit: str) -> None:
        self._note("restart", unit)
        if unit == UNIT:
            self.world.start_kubelet()

    def start(self, unit: str) -> None:
        self._note("start", unit)

    def stop(self, unit: str) -> None:
        self._note("stop", unit)

    def reload(self) -> None:
        self._note("reload", "")

    def _note(self, what: str, unit: str) -> None:
        if what in self.fails_on:
            raise ServiceError("systemd did not do it over D-Bus (ConnectionRefusedError)", remedy="Look at it.")
        self.asked.append(f"{what} {unit}".strip())

    @property
    def restarts(self) -> int:
        return self.asked.count(f"restart {UNIT}")


class StandinKubelet:
    """What `KubeletProbe` sees, of the one above."""

    def __init__(self, service: StandinService, flags: dict[str, str] | None) -> None:
        self._service = service
        self._flags = flags

    def state(self) -> ServiceState:
        return self._service.state(UNIT)

    def healthz_holder(self) -> str:
        return ""

    def is_healthy(self) -> bool | None:
        return self._service.world.is_healthy and self._service.world.kept()["pid"] != 0

    def has_flags(self, pid: int) -> bool | None:
        words = self._service.world.kept()["words"]
        return None if self._flags is None else all(flag(words, name) == it for name, it in self._flags.items())

    def running_config(self, pid: int) -> RunningConfig | None:
        world = self._service.world
        words = world.kept()["words"]
        path = flag(words, CONFIG_FLAG)
        files = world.files(path) if path and world.at(path).exists() else []
        names = [name for file in files for name in Document.parse(file.read_bytes(), str(file)).names]
        return RunningConfig.of(words, [name for name in names if name not in NAMES])

    def restart(self) -> int:
        pid = self.state().pid
        self._service.restart(UNIT)
        return pid

    def start_id(self) -> str:
        kept = self._service.world.kept()
        return f"{kept['boot']} {kept['pid']}" if kept["pid"] else ""


@dataclass
class StandinSystem:
    """What `HostSystem` gives, of the node below; *tried* is told each program that is tried."""

    world: World
    service: StandinService | None
    tried: Callable[[str], None]
    kubelet_type: type[StandinKubelet] = StandinKubelet

    def discover(self) -> NodeFacts:
        return self.world.facts()

    def kubelet(self, placement: Placement | None, *, is_leaving: bool = False) -> StandinKubelet | None:
        if self.service is None or placement is None or not placement.unit:
            return None
        return self.kubelet_type(self.service, {} if is_leaving else plan.visible_flags(placement))

    def smoke_test(self, tree: str) -> None:
        self.tried(tree)


@dataclass
class World:
    """The node at *root*; *flags_file* and *variable* are where its kubelet's unit takes more flags from."""

    folder: Path
    flags_file: str = "/etc/default/kubelet"
    variable: str = "KUBELET_EXTRA_ARGS"
    base: tuple[str, ...] = ("/usr/bin/kubelet", "--config=/var/lib/kubelet/config.yaml")
    value: str = ""
    """What the unit itself sets *variable* to (``Environment=``): a file that sets it takes that away."""
    version: tuple[int, int] = (1, 34)
    rancher: str = ""
    defaults: tuple[str, str] = ("", "")
    """A file and a folder that this kubelet takes for its flags once both are there."""
    is_healthy: bool = True
    refuses: str = ""
    """A text in its config that this kubelet crashes with, whatever the rules say."""
    time: list[float] = field(default_factory=lambda: [0.0])

    def __post_init__(self) -> None:
        self.root = self.folder / "host"
        if self._kept.exists():
            return
        for name in FOLDERS:
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for path in [self.root, *self.root.rglob("*")]:
            path.chmod(0o755)
        self.keep({"boot": 1, "pid": 0, "next": 100, "restarts": 0, "words": [], "crashes": False})

    @property
    def _kept(self) -> Path:
        return self.folder / "kubelet.json"

    def kept(self) -> dict:
        return json.loads(self._kept.read_text())

    def keep(self, what: dict) -> None:
        draft = self.folder / "kubelet.draft"
        draft.write_text(json.dumps(what))
        draft.rename(self._kept)

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).write_text(text)
        self.at(path).chmod(mode)

    def add_provider(self, bin_dir: str, name: str) -> None:
        self.write(f"{bin_dir}/{name}", "#!/bin/sh\n", 0o755)

    def words(self) -> list[str]:
        """Return the command line that the next start has."""
        words = list(self.base)
        if self.rancher:
            names = (CONFIG_FLAG, BIN_DIR_FLAG)
            for file in sorted(self.at(self.rancher).glob("*.yaml")):
                said = yaml.safe_load(file.read_text()) or {}
                words += [f"--{name}={said[name]}" for name in names if name in said]
            if all(self.defaults) and all(self.at(each).exists() for each in self.defaults):
                words += [f"--{name}={path}" for name, path in zip(names, self.defaults, strict=True)]
        else:
            file = self.at(self.flags_file)
            found = EnvironmentFile.parse(file.read_bytes()).value(self.variable) if file.exists() else None
            words += split(self.value if found is None else found) or []
        return words

    def faults(self, words: list[str]) -> str:
        """Return why a kubelet with these flags exits at its start, "" if it does not."""
        config, bin_dir = flag(words, CONFIG_FLAG), flag(words, BIN_DIR_FLAG)
        if not config and not bin_dir:
            return ""
        if not (config and bin_dir):
            return "one flag alone"
        place = self.at(config)
        if not place.exists() or not self.at(bin_dir).is_dir():
            return "a path is not there"
        texts = {str(file): file.read_bytes() for file in self.files(config)}
        runnable = [file.name for file in self.at(bin_dir).iterdir() if file.is_file() and os.access(file, os.X_OK)]
        wrong = problems(texts, self.version, is_directory=place.is_dir(), executables=runnable)
        if wrong:
            return str(wrong[0])
        if self.refuses and any(self.refuses.encode() in text for text in texts.values()):
            return f"it does not like {self.refuses}"
        return ""

    def files(self, config: str) -> list[Path]:
        """Return the files that a kubelet reads for *config*, in its order."""
        place = self.at(config)
        return sorted(place.iterdir()) if place.is_dir() else [place]

    def start_kubelet(self) -> str:
        kept, words = self.kept(), self.words()
        fault = self.faults(words)
        kept |= {"next": kept["next"] + 1, "restarts": 0, "words": words, "crashes": bool(fault)}
        kept["pid"] = 0 if fault else kept["next"]
        self.keep(kept)
        return fault

    def boot(self) -> str:
        """Have the machine start anew; return why its kubelet does not run, "" if it does."""
        self.keep(self.kept() | {"boot": self.kept()["boot"] + 1})
        return self.start_kubelet()

    def facts(self) -> NodeFacts:
        words = self.kept()["words"] or self.words()
        config, bin_dir = flag(words, CONFIG_FLAG), flag(words, BIN_DIR_FLAG)
        files = []
        if config and self.at(config).exists():
            for file in self.files(config):
                name = "/" + str(file.relative_to(self.root))
                files.append(HostFile(name, file.read_bytes(), stat.S_IMODE(file.stat().st_mode)))
        found = self.at(bin_dir) if bin_dir else None
        return NodeFacts(
            kubelet=RunningKubelet(1, words[0], tuple(words), config, bin_dir, self.version, UNIT),
            version=self.version,
            config=ProviderConfig(config, self.at(config).is_dir(), tuple(files)) if files else None,
            executables=frozenset(file.name for file in found.iterdir() if file.is_file()) if found else frozenset(),
        )

    def node(self, service: StandinService | None = None, after_each=lambda _: None, tried=lambda _: None) -> Node:
        """Return the installer of this node; *after_each* is told each change of its files."""
        host = HostFiles(str(self.root), after_each)
        state = InstallerFolder(host)

        def sleep(seconds: float) -> None:
            self.time[0] += seconds

        gate = HealthGate(Clock(lambda: self.time[0], sleep))
        return Node(host, state, Guard(host, state.folder, service), StandinSystem(self, service, tried), gate)

    def tree(self) -> dict[str, str]:
        """Return all that is on the node, as text that is the same for the same bytes and modes."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            seen = path.lstat()
            if path.is_symlink():
                what = f"-> {os.readlink(path)}"
            else:
                what = f"{seen.st_mode:o} {seen.st_uid}:{seen.st_gid} "
                what += hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
            found[str(path.relative_to(self.root))] = what
        return found


def program(folder: Path, version: str = "0.1.0") -> bundle.Bundle:
    """Make a program to install that says *version*; what else it does is of no interest to those who copy it."""
    folder.mkdir(parents=True)
    script = folder / NAME
    script.write_text(f"#!/bin/sh\necho {NAME} {version}\n")
    script.chmod(0o755)
    (folder / "lib").mkdir()
    (folder / "lib" / "data").write_text(version)
    return bundle.read(str(folder))


def request(of: bundle.Bundle, placement, *, covered: dict = COVERED, **options) -> InstallRequest:
    return InstallRequest(of, covered, lambda _facts: placement, **options)
