"""Small but whole OCI images: manifest, config and one layer, with true digests."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
BUSYBOX = Path("/bin/busybox")
"""Debian's busybox-static."""


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class OciImage:
    """The manifest's bytes, and the blobs it names by digest."""

    manifest: bytes
    blobs: dict[str, bytes]

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)

    def archive(self, name: str) -> bytes:
        """Return it as a tar file in OCI layout, as `ctr images import` takes it, to be known as *name*."""
        descriptor = _descriptor(MANIFEST_TYPE, self.manifest)
        index = {
            "schemaVersion": 2,
            "manifests": [{**descriptor, "annotations": {"io.containerd.image.name": name}}],
        }
        blobs = {**self.blobs, self.digest: self.manifest}
        files = {f"blobs/{digest.replace(':', '/')}": content for digest, content in blobs.items()}
        layout = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
        return _tar({name: (content, 0o644) for name, content in {**layout, **files}.items()})


@cache
def small_image() -> OciImage:
    """Build an image that holds one text and cannot run; the same bytes every time."""
    return _image([_tar({"hello.txt": (b"Pulled from the ACR sandbox.\n", 0o644)})], {})


@cache
def runnable_image(name: str, program: Path = BUSYBOX) -> OciImage:
    """Build an image that sleeps until it is killed; *program* is a static busybox.

    Images share the layer with the program, as images from one base do; the other one holds their *name*.
    """
    config = {
        "Entrypoint": ["/bin/busybox", "sleep", "86400"],
        "StopSignal": "SIGKILL",  # a first process has no handler for the usual one
    }
    return _image([_base_layer(program), _tar({"name.txt": (name.encode(), 0o644)})], config)


@cache
def _base_layer(program: Path) -> bytes:
    return _tar({"bin/busybox": (program.read_bytes(), 0o755)})


def image_over(layer: bytes, files: dict[str, bytes], runs: dict[str, Any]) -> OciImage:
    """Build an image of *layer* (a tar file) and of *files* over it; *runs* is how it runs."""
    return _image([layer, _tar({name: (content, 0o644) for name, content in files.items()})], runs)


def folder_image(folder: Path, at: str, runs: dict[str, Any]) -> OciImage:
    """Build an image of nothing but *folder*, at the path *at* of the image; *runs* is how it runs."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(folder, at.strip("/"), filter=_of_root)
    return _image([packed.getvalue()], runs)


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    return entry


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    """Return a tar file of *files*: by name, the content and the mode."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = mode
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@cache
def _packed(layer: bytes) -> bytes:
    return gzip.compress(layer, mtime=0)


def _image(layers: list[bytes], runs: dict[str, Any]) -> OciImage:
    """Put an image together of *layers* (tar files); *runs* is how it runs."""
    packed = [_packed(layer) for layer in layers]
    config = json.dumps(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": runs,
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, config),
            "layers": [_descriptor(LAYER_TYPE, layer) for layer in packed],
        }
    ).encode()
    return OciImage(manifest, {digest_of(blob): blob for blob in (config, *packed)})


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}
