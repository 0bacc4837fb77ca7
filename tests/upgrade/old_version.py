"""The version that upgrades begin with: its two bundles, built from its commit once and kept outside of the tree.

`python -m upgrade.old_version` builds them if they are not there. They are frozen by that commit's own scripts, in the
environments that the present bundles are frozen in (`make freeze freeze-controller`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import parts
from support import harness

COMMIT = "7a738efd47a893c23d24e98200897cd7b052f03f"
NAME = "aliyun-acr-credential-provider"
ENVIRONMENTS = {"plugin": "freeze-venv", "controller": "controller-venv"}
# Words of the settings that were other ones then, by those of today: values of `kind`, and names of fields.
OLD_KINDS = {"basicAuth": "login", "stsSession": "sts"}
OLD_FIELDS = {"maxCacheDuration": "kubeletCache", "allowImdsV1": "allowMetadataV1"}


class NoSuchCommitError(Exception):
    """This clone does not have the commit."""


@dataclass(frozen=True)
class Bundles:
    """One version of the product: its frozen programs, and the words that it understands."""

    plugin: Path
    controller: Path
    is_old: bool

    def settings(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the settings *document*, which is in words of today, in this version's words."""
        return in_old_words(document) if self.is_old else document

    def option(self, *names: str, command: str) -> str:
        """Return which of *names*, which mean the same, is an option of the plugin's *command*."""
        usage = subprocess.run([self.plugin, *command.split(), "--help"], capture_output=True, text=True, check=True)
        (option,) = [name for name in names if f" [{name} " in usage.stdout]
        return option


PRESENT = Bundles(harness.FROZEN, harness.CONTROLLER, is_old=False)


def in_old_words(value: Any) -> Any:
    """Return settings, or a part of them, in the words of `COMMIT`."""
    if isinstance(value, list):
        return [in_old_words(item) for item in value]
    if not isinstance(value, dict):
        return value
    document = {OLD_FIELDS.get(name, name): in_old_words(item) for name, item in value.items()}
    if "admission" in document:
        admission = document.pop("admission")
        document["webhook"] = {"enabled": admission.pop("mode") != "none", **admission}
    if "kind" in document:
        document["kind"] = OLD_KINDS.get(document["kind"], document["kind"])
    return document


def folder() -> Path:
    """Return where the bundles are kept."""
    return parts.cache_folder().parent / f"bundles-{COMMIT[:12]}"


def bundles() -> Bundles:
    """Return the old bundles, built if they are not there; raise `NoSuchCommitError`."""
    kept = folder()
    kept.parent.mkdir(parents=True, exist_ok=True)
    with open(kept.parent / f".{kept.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            build(kept)
    return Bundles(kept / NAME / NAME, kept / "controller" / NAME, is_old=True)


def build(target: Path) -> None:
    """Freeze both bundles of `COMMIT` into *target*, all or nothing."""
    packed = subprocess.run(["git", "-C", harness.ROOT, "archive", COMMIT], capture_output=True, check=False)
    if packed.returncode:
        raise NoSuchCommitError(f"this clone does not have {COMMIT[:7]}: fetch the whole history")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as work:
        source = Path(work) / "source"
        source.mkdir()
        subprocess.run(["tar", "--extract"], input=packed.stdout, cwd=source, check=True)
        for bundle, environment in ENVIRONMENTS.items():
            python = harness.ROOT / "build" / environment / "bin" / "python"
            assert python.exists(), (
                "run `make freeze freeze-controller` first: the same environments freeze both versions"
            )
            # Nothing there is a repository, and none around it is this one's.
            ceiling = {**os.environ, "GIT_CEILING_DIRECTORIES": work}
            subprocess.run([python, "packaging/freeze.py", bundle], cwd=source, env=ceiling, check=True)
        shutil.rmtree(target, ignore_errors=True)
        (source / "build/dist").rename(target)


def main() -> int:
    """Build what is not built yet, and print its folder; return the exit code."""
    try:
        bundles()
    except NoSuchCommitError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    sys.stdout.write(f"{folder()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
