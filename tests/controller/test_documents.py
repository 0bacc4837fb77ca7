"""What a document shows for a cluster is typed as it stands, on a real API server, and does what the document says."""

import re
import shutil

import pytest
from acr_credential_provider.version import VERSION
from cluster import parts
from documents.document import every_typed
from documents.test_typed import check, filled, settings_of
from documents.world import HERE, World, archive
from support import harness
from support.markdown import blocks

PLACEHOLDERS = {"NAMESPACE": "default", "NODE": "worker-1"}
ON_A_CLUSTER = {
    name: [each for each in found if each.needs_cluster and not each.reason] for name, found in every_typed().items()
}
CRDS = {"machineconfigs": "MachineConfig", "machineconfigpools": "MachineConfigPool"}
PREPARED = """
for namespace in team team-a project-a project-b openshift-config; do
    kubectl create namespace $namespace
    kubectl -n $namespace create serviceaccount default
done
kubectl -n default create serviceaccount default || true
kubectl -n kube-system create serviceaccount default || true
kubectl apply -f acr-configuration.yaml
kubectl create clusterrole aliyun-acr-credential-provider-pull-secrets --verb=get --resource=pods
kubectl apply -f webhook.yaml
kubectl -n kube-system create deployment aliyun-acr-credential-helper --image=images.example.com/helper
kubectl -n team create secret generic podman-login --type=kubernetes.io/podmanconfigjson --from-file=auth.json
kubectl -n openshift-config create secret generic pull-secret --type=kubernetes.io/dockerconfigjson \
    --from-file=.dockerconfigjson=auth.json
"""
CLEAN = """
helm uninstall acr --namespace kube-system
kubectl delete -k node-config/manifests/overlays/mine
kubectl delete -f acr-configuration.yaml -f webhook.yaml
kubectl delete clusterrole aliyun-acr-credential-provider-pull-secrets
kubectl -n kube-system delete deployment aliyun-acr-credential-helper
kubectl -n kube-system delete secret additional-pull-secret aliyun-acr-credential-provider-credentials
kubectl -n team delete secret,serviceaccount --all
kubectl -n openshift-config delete secret --all
kubectl delete pod --all
true
"""
WEBHOOK = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: aliyun-acr-credential-provider-pull-secrets}
"""


def definition(plural):
    group, kind = "machineconfiguration.openshift.io", CRDS[plural]
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


@pytest.fixture(scope="module")
def cluster(api):
    """An API server with a node that has the plugin, and with OpenShift's kinds."""
    for plural in CRDS:
        api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(plural))
    api.create("/api/v1/nodes", {"metadata": {"name": "worker-1"}})
    yield api
    api.request("DELETE", "/api/v1/nodes/worker-1")


@pytest.mark.parametrize("name", [name for name, found in ON_A_CLUSTER.items() if found])
def test_what_is_typed_for_a_cluster_works_as_it_stands(name, cluster, tmp_path):
    world = World(
        tmp_path,
        program=harness.FROZEN,
        environment={
            "KUBECONFIG": str(cluster.kubeconfig("admin", group="system:masters")),
        },
    )
    world.file("/usr/local/bin/oc", (HERE / "oc.sh").read_text(), 0o755)
    unit = (HERE / "openshift-kubelet.service").read_text()
    world.file("/etc/systemd/system/openshift-kubelet.service", unit, 0o644)
    world.prepare(f"ln -s {parts.find('helm')} /usr/local/bin/helm")
    if any("ln -s" in each.text for each in ON_A_CLUSTER[name]):  # the page says how to install it
        packed = archive(tmp_path.parent, VERSION, controller=True)
        world.prepare(f"ln '{packed}' '{world.work}/'")
    else:
        world.prepare(f"ln -s {harness.CONTROLLER.with_name('kubectl-acr')} /usr/local/bin/kubectl-acr")
    for folder in ("node-config/manifests", "packaging/chart", "packaging/manifests"):
        shutil.copytree(harness.ROOT / folder, world.work / folder, ignore=shutil.ignore_patterns("mine"))
    login = '{"auths": {"demo-registry.cn-hangzhou.cr.aliyuncs.com": {"auth": "bWU6c2VjcmV0"}}}'
    guide = (harness.ROOT / "docs/install/README.md").read_text()
    for path, text in {
        "settings.yaml": settings_of(name),
        "values.yaml": next(block.text for block in blocks(guide, "yaml") if block.text.startswith("image:")),
        "acr-configuration.yaml": (HERE / "acr-configuration.yaml").read_text(),
        "webhook.yaml": WEBHOOK,
        "auth.json": login,
        "/root/.config/containers/auth.json": login,
        "password": "secret",
        "access-key-id": "LTAI5tExampleExample1",
        "access-key-secret": "secret",
    }.items():
        world.file(path, text)
    if "upgrade" in name:
        world.prepare(f"(cd '{world.work}' && helm install acr packaging/chart -n kube-system --values values.yaml)")
    world.prepare(f"(cd '{world.work}'; {PREPARED}) || true")
    shown = ON_A_CLUSTER[name]
    # The guides have ways side by side: with Helm, what was applied by hand goes first.
    texts = [
        (
            "(" + CLEAN.replace("aliyun-acr-credential-helper", "none") + ") 2>&1 || true\n"
            if "helm install" in each.text
            else ""
        )
        + filled(each.text, **PLACEHOLDERS)
        for each in shown
    ]
    owned = [each.text for each in shown if "--take-ownership" in each.text]  # the records of these are deleted then
    *ended, _ = world.type([*texts, "\n".join([*owned, CLEAN])])
    check(name, shown, ended)
    assert not re.search("Traceback", "".join(each.stderr for each in ended))
