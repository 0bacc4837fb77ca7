"""Builds what no distribution packages, from Go modules: Kubernetes, Helm, and readers' code that judges ours.

`python -m cluster.assets` builds what is not built yet; the result outlives the checkout.
With --packages it only names the distribution's packages that are missing; with --kubelets it builds the whole kubelets
older than the cluster, and names the folder of each. GOFLAGS and the rest of Go's environment are honoured; E2E_NICE
sets how nice it is (10).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import parts

VERSION = "k8s.io/component-base/version"
KUBELET = {"kubelet": "k8s.io/kubernetes/cmd/kubelet"}


def build(module: parts.Module, packages: dict[str, str]) -> None:
    """Build *packages* (by the program's name) of *module*, all of them or nothing."""
    target = module.built
    parts.cache_folder().mkdir(parents=True, exist_ok=True)
    number = module.version
    flags = " ".join(["-s -w", *(f"-X {key}={value}" for key, value in _stamps(module).items())])
    with tempfile.TemporaryDirectory(dir=parts.cache_folder(), prefix=".building-") as folder:
        # A build takes minutes; the checkout may change meanwhile.
        source = shutil.copytree(module.source, Path(folder) / "source")
        for name, package in packages.items():
            began = time.monotonic()
            command = ["go", "build", "-mod=readonly", f"-modfile={module.mod_file}", f"-tags={module.tag}"]
            command += ["-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", f"{folder}/{name}", package]
            subprocess.run(
                ["nice", "-n", os.environ.get("E2E_NICE", "10"), *command],
                cwd=source,
                env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"},
                check=True,
            )
            _say(f"built {name} {number} in {time.monotonic() - began:.0f} s")
        # By rename, so that no half-built folder is ever taken for a whole one.
        built = Path(folder) / "built"
        built.mkdir(mode=0o755)
        for name in packages:
            (Path(folder) / name).rename(built / name)
        shutil.rmtree(target, ignore_errors=True)
        built.rename(target)


def _stamps(module: parts.Module) -> dict[str, str]:
    """Return what the linker writes into a program, so that it knows its version."""
    if module.of != parts.CLUSTER.of:
        return {f"{module.of}/internal/version.version": module.version}
    major, minor = module.version[1:].split(".")[:2]
    stamps = {"gitVersion": module.version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return {f"{VERSION}.{key}": value for key, value in stamps.items()}


def main(arguments: list[str]) -> int:
    if arguments == ["--packages"]:
        _say(" ".join(parts.missing_packages()))
        return 0
    if arguments == ["--kubelets"]:
        for module in parts.kubelets():
            if not _is_built(module, KUBELET):
                build(module, KUBELET)
            _say(str(module.built))
        return 0
    if packages := parts.missing_packages():
        _say(f"error: this machine lacks: {' '.join(packages)}", file=sys.stderr)
        _say(
            f"remedy: apt-get update && apt-get install --yes --no-install-recommends {' '.join(packages)}",
            file=sys.stderr,
        )
        return 1
    missing = [(module, programs) for module, programs in _wanted() if not _is_built(module, programs)]
    if missing and not shutil.which("go"):
        _say("error: this machine lacks Go, and nothing is built yet", file=sys.stderr)
        _say("remedy: install the Go that tests/cluster/assets/kubernetes/go.mod names, or newer", file=sys.stderr)
        return 1
    for module, programs in missing:
        build(module, programs)
    for name in (*parts.KUBERNETES, "helm", "etcd", "containerd", "runc"):
        part = parts.part(name)
        _say(f"{part.name} {part.version} ({part.origin})")
    return 0


def _wanted() -> list[tuple[parts.Module, dict[str, str]]]:
    """Return what a whole run needs: modules, and by the programs' names which packages of them."""
    wanted = [(module, {"lookup": "."}) for module in parts.lookups()]
    if not all(_is_given(name) for name in parts.KUBERNETES):
        wanted.insert(0, (parts.CLUSTER, {name: f"k8s.io/kubernetes/cmd/{name}" for name in parts.KUBERNETES}))
    wanted.append((parts.HELM, {"helm": "helm.sh/helm/v4/cmd/helm"}))
    wanted.append((parts.AUTH_FILES, {"authfiles": "."}))
    return wanted


def _is_built(module: parts.Module, programs: dict[str, str]) -> bool:
    return all((module.built / name).exists() for name in programs)


def _is_given(name: str) -> bool:
    folders = (os.environ.get("KUBEBUILDER_ASSETS"), os.environ.get("E2E_ASSETS"))
    return any(folder and (Path(folder) / name).exists() for folder in folders)


def _say(text: str, file: object = None) -> None:
    print(text, file=file or sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
