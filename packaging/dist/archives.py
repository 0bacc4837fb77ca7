"""Packs what operators install into dist/: each bundle with its SBOM and VEX, the chart, the manifests, all checksums.

The same inputs give the same bytes. SOURCE_DATE_EPOCH is the time that they bear, else the commit's.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

from dist import sbom
from freeze import inventory
from freeze.bundles import BUNDLES, NAME, REPOSITORY, Bundle

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
CHART = REPOSITORY / "packaging" / "chart"
MANIFESTS = [
    REPOSITORY / folder
    for folder in ("node-config/bootstrap", "node-config/manifests", "packaging/manifests", "packaging/chart/files")
]
"""What is not Helm's, under the paths that the guides name."""

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def main(target: Path) -> None:
    """Write everything of this machine's architecture to *target*, and all checksums anew."""
    at = time_stamp()
    target.mkdir(exist_ok=True)
    for bundle in BUNDLES.values():
        if not (bundle.executable.parent / "share").is_dir():
            sys.exit(f"error: {bundle.folder} has no completion and no man page\nremedy: make freeze freeze-controller")
        parts = json.loads(bundle.inventory.read_text())
        stem = stem_of(bundle, parts["version"], ARCHITECTURES[parts["architecture"]])
        (target / f"{stem}.tar.gz").write_bytes(archive(bundle.executable.parent, at))
        (target / f"{stem}.cdx.json").write_text(sbom.sbom(parts, at=at, distribution=distribution()))
        (target / f"{stem}.vex.cdx.json").write_text(sbom.vex(parts, at=at))
    version = inventory.version()
    (target / f"{NAME}-{version}.tgz").write_bytes(chart(at))
    (target / f"{NAME}-manifests-{version}.tar.gz").write_bytes(manifests(at))
    (target / "SHA256SUMS").write_text(checksums(target))
    for file in sorted(target.iterdir()):
        print(f"{file.relative_to(target.parent)}: {file.stat().st_size} bytes")


def stem_of(bundle: Bundle, version: str, architecture: str) -> str:
    """Return the start of the file names of *bundle* in dist/."""
    name = NAME if bundle.folder == NAME else f"{NAME}-{bundle.folder}"
    return f"{name}-{version}-linux-{architecture}"


def chart(at: int) -> bytes:
    """Return the chart as `helm package` lays it out, dated *at*."""
    return compressed(tarred(tracked(CHART), CHART, at, folder=NAME))


def manifests(at: int) -> bytes:
    """Return the manifests and bootstrap scripts for those without Helm as a tar.gz, dated *at*."""
    paths = [path for folder in MANIFESTS for path in tracked(folder)]
    return compressed(tarred(paths, REPOSITORY, at, folder=f"{NAME}-manifests"))


def archive(folder: Path, at: int) -> bytes:
    """Return *folder* as a tar.gz, the same bytes each time (`tarred`)."""
    return compressed(tarred([folder, *folder.rglob("*")], folder.parent, at))


def tracked(folder: Path, top: Path = REPOSITORY) -> set[Path]:
    """Return the files and folders in *folder* that git knows at *top*; others are of the person who builds."""
    git = ["git", "-C", str(top), "ls-files", "-z", str(folder)]
    listed = subprocess.run(git, capture_output=True, text=True, check=True)
    files = {top / name for name in listed.stdout.split("\0") if name}
    return files | {parent for file in files for parent in file.parents if folder in parent.parents}


def compressed(content: bytes) -> bytes:
    """Return *content* as gzip writes it, without a name or a time."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as stream:
        stream.write(content)
    return packed.getvalue()


def tarred(paths: Iterable[Path], top: Path, at: int, *, folder: str = "") -> bytes:
    """Return *paths* as a tar: sorted, of root, not writable by others, dated *at* (Unix seconds).

    They are named from *top*, and lie in *folder*.
    """

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mtime = at
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(paths):
            tar.add(path, os.path.join(folder, path.relative_to(top)), recursive=False, filter=plain)
    return packed.getvalue()


def checksums(target: Path) -> str:
    """Return the content of SHA256SUMS for the other files in *target*."""
    files = [file for file in sorted(target.iterdir()) if file.name != "SHA256SUMS"]
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


def time_stamp() -> int:
    """Return the time that what is built bears, in Unix seconds."""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(epoch)
    git = ["git", "-C", str(REPOSITORY), "log", "-1", "--format=%ct"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit("error: this is no git repository\nremedy: set SOURCE_DATE_EPOCH to the release's time (Unix seconds)")
    return int(done.stdout)


def distribution() -> str:
    """Return this machine's distribution as package URLs spell it ("debian-12")."""
    release = platform.freedesktop_os_release()
    return f"{release['ID']}-{release.get('VERSION_ID', '')}"


if __name__ == "__main__":
    main(REPOSITORY / "dist")
