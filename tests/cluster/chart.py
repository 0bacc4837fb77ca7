"""The chart on a cluster: its objects applied as Helm applies them, its image brought to the node."""

from __future__ import annotations

import gzip
import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml
from chart.helm import NAMESPACE, helm, objects
from sandbox.oci import OciImage, image_over
from support import harness

from . import parts
from .worker import SOCKET

if TYPE_CHECKING:
    from pathlib import Path

    from .cluster import Cluster

CHART = harness.ROOT / "packaging/chart"
NAME = "aliyun-acr-credential-provider"
NEXT = "next"
REPOSITORY = "registry.example.com/tools/acr"
PLURALS = {
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "NetworkPolicy": "networkpolicies",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
}
FIRST = ("ServiceAccount", "ConfigMap", "ClusterRole", "Role", "Lease")


def path_of(document: dict[str, Any]) -> str:
    """Return where in the API *document* is."""
    version, kind, metadata = document["apiVersion"], document["kind"], document["metadata"]
    prefix = "/api/v1" if version == "v1" else f"/apis/{version}"
    where = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"{prefix}{where}/{PLURALS.get(kind, f'{kind.lower()}s')}/{metadata['name']}"


def apply(cluster: Cluster, document: dict[str, Any], *, dry: bool = False) -> dict[str, Any]:
    """Apply *document* on the server's side; return what it made of it."""
    query = "?fieldManager=helm&force=true&fieldValidation=Strict" + ("&dryRun=All" if dry else "")
    body = json.dumps(document).encode()
    return json.loads(cluster.api.raw("PATCH", path_of(document) + query, body, "application/apply-patch+yaml"))


def archive() -> Path:
    """Return the image that `make image` built."""
    (found,) = (harness.ROOT / "dist").glob("*.oci.tar")
    return found


def next_image() -> OciImage:
    """Return what comes after that image: the same programs, told apart by a file in each folder."""
    with tarfile.open(archive()) as tar:

        def blob(digest: str) -> bytes:
            file = tar.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert file
            return file.read()

        file = tar.extractfile("index.json")
        assert file
        (index,) = json.load(file)["manifests"]
        manifest = json.loads(blob(json.loads(blob(index["digest"]))["manifests"][0]["digest"]))
        (layer,) = manifest["layers"]
        runs = json.loads(blob(manifest["config"]["digest"]))["config"]
        packed = gzip.decompress(blob(layer["digest"]))
    return image_over(packed, {f"{each}/lib/mark": b"next" for each in (NAME, "controller")}, runs)


@dataclass
class Release:
    """A release on *cluster*: `upgrade` makes it what *values* say, `delete` takes it away."""

    cluster: Cluster
    folder: Path
    applied: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def bring_image(self) -> None:
        """Put the image that `make image` built on the node, as if it had been pulled."""
        ctr = [str(parts.find("ctr")), f"--address={SOCKET}", "--namespace=k8s.io", "images", "import"]
        self.cluster.node.output([*ctr, f"--base-name={REPOSITORY}", str(archive())])

    def bring_next_image(self) -> None:
        """Put its successor there too, with the tag `NEXT`."""
        self.cluster.runtime.load(f"{REPOSITORY}:{NEXT}", next_image())

    def upgrade(self, values: dict[str, Any]) -> None:
        file = self.folder / "values.yaml"
        image = {"repository": REPOSITORY, "pullPolicy": "Never", **values.get("image", {})}
        file.write_text(yaml.safe_dump({**values, "image": image}))
        done = helm("template", "acr", str(CHART), f"--namespace={NAMESPACE}", f"--values={file}")
        assert done.returncode == 0, done.stderr
        wanted = objects(done.stdout)
        for key in self.applied.keys() - wanted.keys():
            self.cluster.api.delete(path_of(self.applied.pop(key)))
        for key, document in sorted(wanted.items(), key=lambda item: item[0][0] not in FIRST):
            apply(self.cluster, document)
            self.applied[key] = document

    def delete(self) -> None:
        for document in self.applied.values():
            self.cluster.api.delete(path_of(document), propagationPolicy="Background")
        self.applied.clear()

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Return the release's pods of *component* (``node``, ``pull-secrets``)."""
        label = f"app.kubernetes.io/component={component}"
        return self.cluster.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector=label)["items"]

    def is_ready(self, component: str, *, tag: str = "") -> bool:
        """Say whether it has pods, all of them from the image with *tag*, and all their containers are ready."""
        pods = self.pods(component)
        found = [each for pod in pods for each in pod["status"].get("containerStatuses", [])]
        images = {each["image"] for pod in pods for each in pod["spec"]["containers"]}
        return bool(found) and all(each["ready"] for each in found) and (not tag or images == {f"{REPOSITORY}:{tag}"})

    def logs(self) -> str:
        """Return what its containers wrote."""
        # The API server would have to know the node's name.
        return self.cluster.node.output(["sh", "-c", f"cat /var/log/pods/{NAMESPACE}_*/*/*.log"]).decode(
            errors="replace"
        )
