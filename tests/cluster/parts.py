"""Where the programs of a cluster come from, and which versions they are.

Kubernetes and etcd: the folder in KUBEBUILDER_ASSETS (envtest's convention: etcd,
kube-apiserver), the one in E2E_ASSETS (any of them), what `make e2e-assets` built, or the
PATH. All others: the PATH, where the distribution's packages put them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SOURCES = Path(__file__).resolve().parent / "assets"
KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
PACKAGES = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "ctr": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "runc": "runc",
    "busybox": "busybox-static",
    "ip": "iproute2",
    "unshare": "util-linux",
    "iptables": "iptables",
    # A machine that boots systemd (tests/systemd).
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
}
CNI = Path("/usr/lib/cni")
CNI_PACKAGE = "containernetworking-plugins"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ASK_VERSION = {"helm": "version", "runc": "--version", "etcd": "--version", "busybox": "", "ip": "-V"}


class MissingPartError(Exception):
    """A program that a cluster is made of is not here; the text says how to get it."""


def cache_folder() -> Path:
    """Return where things built once are kept, outside the tree."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "aliyun-acr-credential-provider" / "e2e-assets"


@dataclass(frozen=True)
class Module:
    """A folder with a Go module of ours below `SOURCES`, one of its mod files, and what is built from both.

    *of* is the module that it is all about; where it keeps its version for the linker to stamp.
    """

    name: str
    mod_file: str = "go.mod"
    sources: Path = SOURCES
    of: str = "k8s.io/kubernetes"

    @property
    def source(self) -> Path:
        return self.sources / self.name

    @property
    def version(self) -> str:
        """The version of the module *of* that it requires."""
        text = (self.source / self.mod_file).read_text()
        found = re.search(rf"^\s*(?:require )?{re.escape(self.of)} (v\S+)", text, re.MULTILINE)
        assert found, f"{self.source}/{self.mod_file} requires no {self.of}"
        return found[1]

    @property
    def tag(self) -> str:
        """The build tag that tells this version's code from the others'."""
        return "kubelet_" + "_".join(self.version[1:].split(".")[:2])

    @property
    def built(self) -> Path:
        """A folder that has another name as soon as one of the sources differs."""
        digest = hashlib.sha256()
        sources = [*self.source.glob("*.go"), *self.source.glob(Path(self.mod_file).stem + ".*")]
        for path in sorted(sources):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        return cache_folder() / f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"


CLUSTER = Module("kubernetes")
HELM = Module("helm", of="helm.sh/helm/v4")
AUTH_FILES = Module("authfiles")


def kubelets() -> list[Module]:
    """Return the modules that hold one whole kubelet each, older than the cluster, oldest first."""
    return _by_version(Module("kubernetes", path.name) for path in (SOURCES / "kubernetes").glob("kubelet-*.mod"))


def lookups() -> list[Module]:
    """Return the modules that hold one kubelet version's credential provider code each, oldest first."""
    return _by_version(Module("lookup", path.name) for path in (SOURCES / "lookup").glob("*.mod"))


def _by_version(modules: Iterable[Module]) -> list[Module]:
    return sorted(modules, key=lambda each: [int(part) for part in each.version[1:].split(".")])


def find(name: str) -> Path:
    """Return the program *name*; raise `MissingPartError`."""
    folders = [os.environ.get("KUBEBUILDER_ASSETS"), os.environ.get("E2E_ASSETS"), CLUSTER.built]
    if name in (*KUBERNETES, "etcd"):
        for folder in folders:
            if folder and os.access(path := Path(folder) / name, os.X_OK):
                return path.resolve()
    if name == "helm" and os.access(path := HELM.built / name, os.X_OK):
        return path
    if found := shutil.which(name, path=PATH):
        return Path(found)
    raise MissingPartError(f"{name} is not here: {remedy(name)}")


def remedy(name: str) -> str:
    if name in PACKAGES:
        return f"apt-get install --no-install-recommends {PACKAGES[name]}"
    return "run `make e2e-assets`, or name a folder that has it in E2E_ASSETS"


def missing_packages() -> list[str]:
    """Return the packages whose programs are not here."""
    missing = set()
    for program, package in PACKAGES.items():
        try:
            find(program)
        except MissingPartError:
            missing.add(package)
    if not (CNI / "ptp").exists():
        missing.add(CNI_PACKAGE)
    return sorted(missing)


@dataclass(frozen=True)
class Part:
    """One program as the report names it."""

    name: str
    version: str
    origin: str


@cache
def part(name: str) -> Part:
    path = find(name)
    asked = [str(path), *filter(None, [ASK_VERSION.get(name, "--version")])]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    found = re.search(r"v?(\d+\.\d+\.\d+[^\s\"]*)", said.stdout + said.stderr)
    origin = "package" if path.parent == Path(shutil.which(name, path=PATH) or "/").parent else "folder"
    if path.parent in (CLUSTER.built.resolve(), HELM.built):
        origin = "Go modules"
    return Part(name, found[1].rstrip(",") if found else "?", origin)
