"""Builds what no distribution packages: Kubernetes and the kubelets' credential provider code, from Go modules.

`python -m cluster.assets` builds what is not built yet; the result outlives the checkout.
With --packages it only names the distribution's packages that are missing. GOFLAGS and the
rest of Go's environment are honoured; E2E_NICE sets how nice it is (10).
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


def build(module: parts.Module, packages: dict[str, str]) -> None:
    """Build *packages* (by the program's name) of *module*, all of them or nothing."""
    target = module.built
    if all((target / name).exists() for name in packages):
        return
    parts.cache_folder().mkdir(parents=True, exist_ok=True)
    number = module.kubernetes_version
    major, minor = number[1:].split(".")[:2]
    stamps = {"gitVersion": number, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    flags = " ".join(["-s -w", *(f"-X {VERSION}.{key}={value}" for key, value in stamps.items())])
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


def main(arguments: list[str]) -> int:
    if arguments == ["--packages"]:
        _say(" ".join(parts.missing_packages()))
        return 0
    if packages := parts.missing_packages():
        _say(f"error: this machine lacks: {' '.join(packages)}", file=sys.stderr)
        _say(
            f"remedy: apt-get update && apt-get install --yes --no-install-recommends {' '.join(packages)}",
            file=sys.stderr,
        )
        return 1
    if not shutil.which("go"):
        _say("error: this machine lacks Go\nremedy: install it, or name a folder in E2E_ASSETS", file=sys.stderr)
        return 1
    if not all(_is_given(name) for name in parts.KUBERNETES):
        build(parts.CLUSTER, {name: f"k8s.io/kubernetes/cmd/{name}" for name in parts.KUBERNETES})
    for module in parts.lookups():
        build(module, {"lookup": "."})
    for name in (*parts.KUBERNETES, "etcd", "containerd", "runc"):
        part = parts.part(name)
        _say(f"{part.name} {part.version} ({part.origin})")
    return 0


def _is_given(name: str) -> bool:
    folders = (os.environ.get("KUBEBUILDER_ASSETS"), os.environ.get("E2E_ASSETS"))
    return any(folder and (Path(folder) / name).exists() for folder in folders)


def _say(text: str, file: object = None) -> None:
    print(text, file=file or sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
