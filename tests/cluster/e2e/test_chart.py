"""The chart and the image as they are shipped, on a real cluster: onto the node, pulls, and off it again."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from chart.helm import NAMESPACE, SETS, objects, rendered
from cluster import control_plane
from cluster.chart import NEXT, Release, apply
from cluster.cluster import wait_until
from cluster.node import ADDRESS, NAME
from cluster.worker import PLUGIN
from support import harness

UNDER = "/opt/e2e-node"
CREDENTIALS = "/etc/aliyun-acr-credential-provider/credentials"
SECRETS = "/api/v1/namespaces/{}/secrets"
CONDITION = "ACRCredentialProviderReady"
OTHERS = """\
# The operator's own; it stays.
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: other-provider
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    matchImages: ["images.other.example.com"]
    defaultCacheDuration: 10m
"""


@pytest.mark.parametrize("values", SETS)
def test_a_real_api_server_takes_every_object(cluster, values):
    taken = 0
    found = objects(rendered(values=values))
    for namespace in {each["metadata"].get("namespace", NAMESPACE) for each in found.values()}:
        if (
            cluster.api.find(f"/api/v1/namespaces/{namespace}") is None
        ):  # an existing configuration is in one of its own
            cluster.api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    for (kind, _), document in found.items():
        if kind not in ("PodMonitor", "PrometheusRule"):  # not of Kubernetes: their definitions come with the operator
            apply(cluster, document, dry=True)
            taken += 1
    assert taken


@dataclass
class Operator:
    """What stands on the node before us: a CredentialProviderConfig and a folder of plugins with one of another's."""

    folder: Path

    @property
    def config(self):
        return self.folder / "credential-providers.yaml"

    def prepare(self):
        self.folder.mkdir(mode=0o755)
        self.config.write_text(OTHERS)
        plugins = self.folder / "plugins"
        plugins.mkdir(mode=0o755)
        (plugins / "other-provider").write_text("#!/bin/sh\nexit 1\n")
        (plugins / "other-provider").chmod(0o755)

    def restart_kubelet(self, cluster):
        # As the node knows the folder: what is below /tmp the installer would refuse, and rightly.
        words = ("config", "credential-providers.yaml"), ("bin-dir", "plugins")
        cluster.kubelet.restart(*(f"--image-credential-provider-{name}={UNDER}/{path}" for name, path in words))


@pytest.fixture
def operator(cluster):
    operator = Operator(cluster.node.folder / "operator")
    operator.prepare()
    cluster.node.output(["sh", "-ec", f"mkdir {UNDER} && mount --bind {operator.folder} {UNDER}"])
    operator.restart_kubelet(cluster)
    yield operator
    cluster.kubelet.restart()
    cluster.node.output(["sh", "-ec", f"umount {UNDER} && rmdir {UNDER}"])
    shutil.rmtree(operator.folder)


@pytest.fixture
def release(cluster, tmp_path):
    release = Release(cluster, tmp_path)
    release.bring_image()
    yield release
    release.delete()
    wait_until(lambda: not release.pods("node") + release.pods("pull-secrets"), timeout=180, what="pods to go")
    cluster.api.delete(f"{SECRETS.format(NAMESPACE)}/acr-keys")


def settings_with_keys(cluster, shop, acr):
    """Return settings for *shop*, whose ACR is at *acr*; its key and the authority go into the Secret acr-keys."""
    files = {"id": shop.key.id, "secret": shop.key.secret, "ca.pem": cluster.sandbox.ca_file.read_text()}
    metadata = {"name": "acr-keys", "namespace": NAMESPACE}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": files}
    cluster.api.create(SECRETS.format(NAMESPACE), secret)
    identity = {"accessKeyIdFile": f"{CREDENTIALS}/id", "accessKeySecretFile": f"{CREDENTIALS}/secret"}
    entry = cluster.entry(shop, *shop.hosts, endpoints={"acr": acr})
    registry = {**entry, "identity": {"kind": "accessKey", **identity}}
    return {"registries": [registry], "caBundle": f"{CREDENTIALS}/ca.pem"}


def tree_of(cluster):
    """Return every file that differs from this machine's where an installer may write, and the kubelet's plugins."""
    changed = ("/run/over/etc/upper", "/run/over/opt/upper", UNDER)
    return sorted(cluster.node.output(["find", *changed, "-printf", r"%p %y %m %U %l\n"]).decode().splitlines())


def condition(cluster):
    found = cluster.api.get(f"/api/v1/nodes/{NAME}")["status"]["conditions"]
    return next((each for each in found if each["type"] == CONDITION), {"status": "", "reason": "", "message": ""})


def linked(cluster):
    """Return which of our folders the kubelet runs."""
    return cluster.node.output(["readlink", f"{UNDER}/plugins/{PLUGIN}"]).decode().split("/")[1]


def await_(is_so, release, what, timeout=120):
    try:
        wait_until(is_so, timeout=timeout, what=what)
    except TimeoutError as error:
        told = json.dumps(condition(release.cluster))
        raise AssertionError(f"{error}; {told}; {release.logs()}") from None


def test_from_a_chart_to_a_pull_and_back(cluster, operator, release):
    shop = cluster.open_shop("chart", "team/app", "team/next", "team/other")
    endpoints = {"sts": cluster.sandbox.sts.url}
    settings = {**settings_with_keys(cluster, shop, cluster.sandbox.openapi.url), "endpoints": endpoints}
    before = tree_of(cluster)

    # The kubelet of these tests is no unit of a systemd: its restart is ours to do.
    plugin = {"settings": settings, "installer": ["--service=none"], "rollout": {"settingsSpreadSeconds": 1}}
    values = {"plugin": plugin, "credentialsSecret": "acr-keys", "allowedHosts": ["127.0.0.1"]}
    release.upgrade(values)
    await_(lambda: release.is_ready("node"), release, "the agent and its reporter to be ready")
    await_(lambda: b"aliyun-acr-credential-provider" in operator.config.read_bytes(), release, "the merge")
    assert "other-provider" in operator.config.read_text()
    operator.restart_kubelet(cluster)
    assert cluster.pull(shop.image("team/app")) == shop.digest("team/app")
    await_(lambda: condition(cluster)["status"] == "True", release, "the node to be reported as ready")

    # Another image, the same kubelet: the agent's successor brings the node its program.
    started, program = cluster.kubelet.started, linked(cluster)
    release.bring_next_image()
    values["image"] = {"tag": NEXT}
    release.upgrade(values)
    await_(lambda: release.is_ready("node", tag=NEXT), release, "the agent of the next image", timeout=180)
    await_(lambda: linked(cluster) != program, release, "the node's new program")
    assert cluster.pull(shop.image("team/next")) == shop.digest("team/next")
    await_(lambda: condition(cluster)["status"] == "True", release, "the node to be reported as ready")
    assert cluster.kubelet.started == started

    # Settings that the plugin refuses never reach the node; pulls go on. Helm does not know the hosts.
    refused = {**settings, "endpoints": {"sts": "https://sts.example.com"}}
    release.upgrade({**values, "plugin": {**plugin, "settings": refused}})
    await_(lambda: condition(cluster)["status"] != "True" or "settings" in condition(cluster)["message"], release,
           "the refused settings to be told", timeout=180)  # fmt: skip
    assert cluster.pull(shop.image("team/other")) == shop.digest("team/other")

    release.upgrade({**values, "plugin": {**plugin, "uninstall": True}})
    await_(lambda: operator.config.read_text() == OTHERS, release, "the config to be what it was", timeout=180)
    await_(lambda: "ninstalled" in condition(cluster)["reason"] + condition(cluster)["message"], release,
           "the node to be reported as uninstalled")  # fmt: skip
    assert tree_of(cluster) == before
    operator.restart_kubelet(cluster)


DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{PLUGIN}-pull-secrets"
DEFAULT = "/api/v1/namespaces/default/serviceaccounts/default"


@pytest.fixture
def fallback(cluster):
    """A shop, and the chart's values for the controller alone; the node's kubelet has no plugin."""
    cluster.kubelet.restart(with_plugins=False)
    shop = cluster.open_shop("fallback", "team/app", "team/next")
    # Pods reach the cloud at the node's own address.
    port = cluster.sandbox.openapi.addresses[0][1]
    cluster.node.call(lambda: cluster.sandbox.openapi.listen(ADDRESS, port))
    settings = settings_with_keys(cluster, shop, f"https://{ADDRESS}:{port}")
    settings["pullSecrets"] = {"namespaces": ["default"], "serviceAccounts": ["default"]}
    values = {
        "credentialsSecret": "acr-keys",
        "allowedHosts": [ADDRESS],
        "plugin": {"enabled": False},
        "pullSecrets": {"enabled": True, "settings": settings},
    }
    yield shop, values
    cluster.kubelet.restart()


def uid_of_pull_secret(cluster):
    (name,) = {each["name"] for each in cluster.api.get(DEFAULT)["imagePullSecrets"]}
    return name, cluster.api.get(f"{SECRETS.format('default')}/{name}")["metadata"]["uid"]


def test_the_controller_from_the_image_keeps_pulls_going_through_an_upgrade_and_leaves_nothing(
    cluster, release, fallback
):
    shop, values = fallback
    before = cluster.api.get(DEFAULT).get("imagePullSecrets")
    release.upgrade(values)
    await_(lambda: release.is_ready("pull-secrets"), release, "the replicas to be ready")
    assert len(release.pods("pull-secrets")) == 2
    await_(lambda: cluster.api.get(DEFAULT).get("imagePullSecrets"), release, "the pull secret")
    assert cluster.pull(shop.image("team/app")) == shop.digest("team/app")
    secret, asked = uid_of_pull_secret(cluster), cluster.tokens_asked(shop)

    # Another image: its replicas take over with the logins that there are.
    release.bring_next_image()
    release.upgrade({**values, "image": {"tag": NEXT}})
    await_(lambda: release.is_ready("pull-secrets", tag=NEXT), release, "the replicas of the next image", timeout=180)
    assert len(release.pods("pull-secrets")) == 2
    assert cluster.pull(shop.image("team/next")) == shop.digest("team/next")
    assert uid_of_pull_secret(cluster) == secret
    assert cluster.tokens_asked(shop) == asked

    # As NOTES.txt and the guide say.
    cluster.api.patch(DEPLOYMENT, {"spec": {"replicas": 0}})
    await_(lambda: not release.pods("pull-secrets"), release, "the replicas to go")
    admin = cluster.pki.kubeconfig("chart-uninstaller", control_plane.SERVER, group="system:masters")
    words = ["pull-secrets", "uninstall", f"--namespace={NAMESPACE}", f"--kubeconfig={admin}"]
    cluster.node.output([str(harness.CONTROLLER), *words])
    release.delete()
    assert cluster.api.get(DEFAULT).get("imagePullSecrets") == before
    assert cluster.api.find(f"{SECRETS.format('default')}/{secret[0]}") is None
