"""The DaemonSet of node-config/manifests on a cluster's node, with an image made of the frozen bundle."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from sandbox.oci import folder_image
from support import harness

from .control_plane import PORT
from .node import ADDRESS, NAME
from .worker import PLUGIN

if TYPE_CHECKING:
    from .cluster import Cluster

MANIFESTS = harness.ROOT / "node-config/manifests"
IMAGE = "e2e.invalid/aliyun-acr-credential-provider"
NAMESPACE = "kube-system"
# Where the machine that the node is in keeps things of its own; what is written here ends with the node.
ROOT = "/var/lib/acr-e2e"
BIN, CONFIG = f"{ROOT}/bin", f"{ROOT}/credential-providers.yaml"
OVER = ("/etc", "/var/cache")
COLLECTIONS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "MutatingWebhookConfiguration": "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
}


def collection(document: dict[str, Any]) -> str:
    """Return the path that *document* is created in."""
    return COLLECTIONS[document["kind"]].format(document["metadata"].get("namespace"))


def rendered(folder: Path) -> list[dict[str, Any]]:
    """Return what kustomize makes of *folder*."""
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([str(kubectl), "kustomize", str(folder)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return list(yaml.safe_load_all(done.stdout))


class DaemonSet:
    """The DaemonSet on *cluster*, which has no service manager: who applies it restarts the kubelet."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._path = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/{PLUGIN}"

    def prepare(self) -> None:
        """Lay something over those folders of the machine that an installation writes to."""
        for folder in OVER:
            upper, work = (f"/run/over{folder}/{part}" for part in ("upper", "work"))
            options = f"lowerdir={folder},upperdir={upper},workdir={work}"
            script = f"mkdir -p {upper} {work} && mount -t overlay -o {options} overlay {folder}"
            self._cluster.node.output(["sh", "-ec", script])
        self._cluster.node.output(["mkdir", "-p", ROOT])

    def clear_away(self) -> None:
        """Take it all off the cluster and the machine."""
        self._cluster.api.delete(self._path, propagationPolicy="Background")
        for folder in OVER:
            self._cluster.node.run(["umount", "--lazy", folder], capture_output=True)

    def load(self, tag: str, *, marked: str = "") -> None:
        """Have the image with *tag* on the node; one that is *marked* is another program of the same version."""
        bundle = self._folder / f"bundle-{tag}"
        shutil.copytree(harness.FROZEN.parent, bundle, symlinks=True)
        if marked:
            (bundle / "lib" / "mark").write_text(marked)
        runs = {"Entrypoint": [f"/{PLUGIN}/{PLUGIN}"], "User": "65532:65532"}
        self._cluster.runtime.load(f"{IMAGE}:{tag}", folder_image(bundle, PLUGIN, runs))

    def apply(self, tag: str, *, uninstall: bool = False) -> None:
        """Do what `kubectl apply -k` of an operator's overlay does."""
        for document in rendered(self._overlay(tag, uninstall=uninstall)):
            path = f"{collection(document)}/{document['metadata']['name']}"
            found = self._cluster.api.find(path)
            if found is None:
                self._cluster.api.create(collection(document), document)
            elif document["kind"] == "DaemonSet":
                self._cluster.api.patch(path, {"spec": document["spec"]})

    def push(self, settings: str, credentials: dict[str, str]) -> None:
        """Write the ConfigMap and the Secret, and have the kubelet look at once."""
        for kind, name, content in (
            ("ConfigMap", "settings", {"data": {"settings.yaml": settings}}),
            ("Secret", "credentials", {"stringData": credentials}),
        ):
            document = {"kind": kind, "metadata": {"name": f"{PLUGIN}-{name}", "namespace": NAMESPACE}, **content}
            path = f"{collection(document)}/{PLUGIN}-{name}"
            if self._cluster.api.find(path) is None:
                self._cluster.api.create(collection(document), {"apiVersion": "v1", **document})
            else:
                self._cluster.api.patch(path, content)
        self._look()

    def delete_secret(self) -> None:
        """Delete the Secret, and have the kubelet look at once."""
        self._cluster.api.delete(f"/api/v1/namespaces/{NAMESPACE}/secrets/{PLUGIN}-credentials")
        self._look()

    def _look(self) -> None:
        for pod in self.pods():
            mark = {"metadata": {"annotations": {"e2e.invalid/pushed": str(self._cluster.next_number())}}}
            self._cluster.api.patch(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}", mark)

    def pods(self) -> list[dict[str, Any]]:
        found = self._cluster.api.get(
            f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector=f"app.kubernetes.io/name={PLUGIN}"
        )
        return [each for each in found["items"] if not each["metadata"].get("deletionTimestamp")]

    def condition(self) -> dict[str, str]:
        """Return the node's condition, empty when there is none."""
        found = self._cluster.api.get(f"/api/v1/nodes/{NAME}")["status"].get("conditions", [])
        return next((each for each in found if each["type"] == "ACRCredentialProviderReady"), {})

    def log(self) -> str:
        """Return what both containers wrote so far, and how the pods are."""
        words = ["sh", "-c", f"cat /var/log/pods/{NAMESPACE}_{PLUGIN}*/*/*.log; true"]
        text = self._cluster.node.output(words).decode(errors="replace")
        return text + str([each["status"].get("containerStatuses") for each in self.pods()])

    def _overlay(self, tag: str, *, uninstall: bool) -> Path:
        top = self._folder / f"overlay-{tag}-{uninstall}"
        top.mkdir(exist_ok=True)
        link = self._folder / "manifests"
        if not link.is_symlink():
            link.symlink_to(MANIFESTS)
        server = [
            # There is no kube-proxy here, so the service's address leads nowhere.
            {"op": "add", "path": "/spec/template/spec/containers/1/env/-", "value": {"name": name, "value": value}}
            for name, value in (("KUBERNETES_SERVICE_HOST", ADDRESS), ("KUBERNETES_SERVICE_PORT", str(PORT)))
        ]
        arguments = [
            "--rollout-window=0",
            "--allow-host=127.0.0.1",
            "--",
            "--mode=files-only",
            "--service=none",
            f"--bin-dir={BIN}",
            f"--config={CONFIG}",
        ]
        if uninstall:
            arguments.insert(0, "--uninstall")
        agent = [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": each} for each in arguments]
        document = {
            "resources": ["../manifests/base"],
            "components": ["../manifests/components/own-node-only"],
            "images": [{"name": PLUGIN, "newName": IMAGE, "newTag": tag}],
            "patches": [{"target": {"kind": "DaemonSet"}, "patch": yaml.safe_dump(server + agent)}],
        }
        (top / "kustomization.yaml").write_text(yaml.safe_dump(document))
        return top
