"""Builds the container image from the archives in dist/: the bundles of each architecture, and nothing else.

Needs buildah, no daemon and no base image. The same archives give the same image, byte for byte.
Its storage is a folder of its own, so that neither this user's images nor their settings are touched.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

from dist import archives, hardlink
from freeze.bundles import NAME, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

WORK = REPOSITORY / "build" / "image"
ARCHIVE = re.compile(rf"(?P<bundle>{NAME}[a-z-]*)-(?P<version>[0-9][^-]*)-linux-(?P<architecture>[a-z0-9]+)\.tar\.gz")
NOBODY = "65532:65532"
"""Who runs the image, unless the Pod says otherwise: only the node's agent needs to be root."""


def main(dist: Path) -> None:
    """Write the index of all architectures in *dist* as an OCI archive into it, and all checksums anew."""
    packed = [match for file in sorted(dist.glob("*.tar.gz")) if (match := ARCHIVE.fullmatch(file.name))]
    versions = {bundle["version"] for bundle in packed}
    if len(versions) != 1:
        sys.exit(f"error: {dist} holds {len(versions)} versions\nremedy: make clean dist")
    (version,) = versions
    shutil.rmtree(WORK, ignore_errors=True)
    index = f"localhost/{NAME}:{version}"
    buildah("manifest", "create", index)
    for architecture in sorted({bundle["architecture"] for bundle in packed}):
        context = WORK / architecture
        context.mkdir(parents=True)
        root = context / "root"
        for bundle in packed:
            if bundle["architecture"] == architecture:
                with tarfile.open(dist / bundle.string) as archive:
                    archive.extractall(root)  # noqa: S202 - packed by us a moment ago
        hardlink.link_equal_files(list(root.iterdir()))
        (context / "root.tar").write_bytes(archives.tarred(root.rglob("*"), root, archives.time_stamp()))
        (context / "Containerfile").write_text(containerfile(version))
        # Squashed into one layer; --timestamp makes it the same bytes each time.
        buildah(
            *("bud", "--squash", "--timestamp", str(archives.time_stamp()), "--platform", f"linux/{architecture}"),
            *("--manifest", index, str(context)),
        )
    target = dist / f"{NAME}-{version}.oci.tar"
    target.unlink(missing_ok=True)
    layout = WORK / "layout"
    buildah("manifest", "push", "--all", index, f"oci:{layout}:{version}")
    target.write_bytes(archives.tarred(layout.rglob("*"), layout, archives.time_stamp()))
    (dist / "SHA256SUMS").write_text(archives.checksums(dist))
    layers = sum(file.stat().st_size for file in (layout / "blobs").rglob("*") if file.is_file())
    print(f"{target.relative_to(dist.parent)}: {layers / 1e6:.1f} MB of blobs")


def containerfile(version: str) -> str:
    """Return the Containerfile that puts root.tar, and nothing else, into an image."""
    labels = {
        "title": NAME,
        "description": "Pull private images from Alibaba Cloud Container Registry (ACR) on Kubernetes",
        "version": version,
        "licenses": "Apache-2.0",
        "revision": revision(),
    }
    lines = [f"LABEL org.opencontainers.image.{key}={json.dumps(value)}" for key, value in labels.items()]
    entry = json.dumps([f"/{NAME}/{NAME}"])
    return "\n".join(["FROM scratch", "ADD root.tar /", *lines, f"USER {NOBODY}", f"ENTRYPOINT {entry}", ""])


def revision() -> str:
    """Return the commit that this is built from, "" outside of a repository."""
    git = ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def buildah(*words: str) -> None:
    """Run buildah on a storage of its own; exit with the end of its error output if it fails."""
    storage = ["--root", str(WORK / "storage"), "--runroot", str(WORK / "run"), "--storage-driver", "vfs"]
    command = ["buildah", *storage, *words]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("STORAGE_", "BUILDAH_"))}
    environment = inherited | {"BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        why = done.stderr.strip()[-500:]
        sys.exit(f"error: buildah {words[0]} failed: {why}\nremedy: run as root, with buildah installed")


if __name__ == "__main__":
    main(REPOSITORY / "dist")
