"""Writes the manifest with which krew installs `kubectl acr`, for the archives in dist/: `python -m dist.krew URL`.

URL is the folder of the release's files. krew refuses archives with symlinks, so kubectl-acr is a script.
"""

from __future__ import annotations

import hashlib
import re
import sys
from typing import TYPE_CHECKING, Any

import yaml

from dist import archives
from freeze.bundles import CONTROLLER, NAME, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = "acr"
DESCRIPTION = """\
Finds why pulls from Alibaba Cloud Container Registry (ACR) fail in a cluster, says what the pull-secrets controller
would do, takes away what it wrote, and converts an acr-configuration ConfigMap.
"""
ARCHIVE = re.compile(rf"{NAME}-{CONTROLLER.folder}-(?P<version>[0-9][^-]*)-linux-(?P<architecture>[a-z0-9]+)\.tar\.gz")


def main(dist: Path, url: str) -> None:
    """Write the manifest into *dist*, and all checksums anew."""
    found = [(match, file) for file in sorted(dist.iterdir()) if (match := ARCHIVE.fullmatch(file.name))]
    versions = {match["version"] for match, _ in found}
    if len(versions) != 1:
        sys.exit(f"error: {dist} holds {len(versions)} versions of the controller\nremedy: make clean dist")
    digests = {match["architecture"]: hashlib.sha256(file.read_bytes()).hexdigest() for match, file in found}
    document = manifest(versions.pop(), digests, url.rstrip("/"))
    (dist / f"{PLUGIN}.yaml").write_text(yaml.safe_dump(document, sort_keys=False, width=1000))
    (dist / "SHA256SUMS").write_text(archives.checksums(dist))


def manifest(version: str, digests: dict[str, str], url: str) -> dict[str, Any]:
    """Return the manifest of *version*; *digests* are those of the archives, by architecture."""
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": PLUGIN},
        "spec": {
            "version": f"v{version}",
            "shortDescription": "Look after pull credentials of Alibaba Cloud ACR",
            "description": DESCRIPTION,
            "platforms": [
                {
                    "selector": {"matchLabels": {"os": "linux", "arch": architecture}},
                    "uri": f"{url}/{archives.stem_of(CONTROLLER, version, architecture)}.tar.gz",
                    "sha256": digest,
                    "files": [{"from": f"{CONTROLLER.folder}/*", "to": "."}],
                    "bin": "kubectl-acr",
                }
                for architecture, digest in sorted(digests.items())
            ],
        },
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("error: the release's URL is not given\nremedy: make krew RELEASE_URL=https://...")
    main(REPOSITORY / "dist", sys.argv[1])
