"""What `make dist` leaves for both architectures, of one small ELF file each: for tests that build nothing."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

from dist import archives
from freeze.bundles import BUNDLES, NAME

if TYPE_CHECKING:
    from pathlib import Path

ELF = b"\x7fELF 1"


def tar(path: Path, contents: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as packed:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))


def dist(
    folder: Path, version: str, commit: str, *, listed: bytes = ELF, architectures: tuple[str, ...] = ("amd64", "arm64")
) -> None:
    """Fill *folder*; the SBOMs list the file *listed*, and the image is for *architectures*."""
    info = json.dumps({"commit": commit}).encode()
    for architecture in archives.ARCHITECTURES.values():
        for bundle in BUNDLES.values():
            stem = archives.stem_of(bundle, version, architecture)
            top = bundle.folder
            tar(folder / f"{stem}.tar.gz", {f"{top}/{NAME}": ELF, f"{top}/lib/build-info.json": info})
            file = {"name": NAME, "hashes": [{"content": hashlib.sha256(listed).hexdigest()}]}
            bill = {"metadata": {"component": {"components": [file]}}, "components": []}
            (folder / f"{stem}.cdx.json").write_text(json.dumps(bill))
            (folder / f"{stem}.vex.cdx.json").write_text("{}")
    for name in (f"{NAME}-{version}.tgz", f"{NAME}-manifests-{version}.tar.gz"):
        tar(folder / name, {})
    labels = {"org.opencontainers.image.revision": commit}
    images = {
        f"blobs/sha256/{each}": json.dumps({"architecture": each, "rootfs": {}, "config": {"Labels": labels}}).encode()
        for each in architectures
    }
    tar(folder / f"{NAME}-{version}.oci.tar", {**images, "blobs/sha256/layer": b"\x1f\x8b"})
    (folder / "SHA256SUMS").write_text(archives.checksums(folder))
