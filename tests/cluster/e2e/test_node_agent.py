"""The DaemonSet on a real node: install, first pull, poisoned settings, upgrade without a restart, uninstall."""

import json

import pytest
from cluster.cluster import NotPulledError, wait_until
from cluster.daemonset import BIN, CONFIG, DaemonSet
from cluster.worker import PLUGIN

CREDENTIALS = "/etc/aliyun-acr-credential-provider/credentials"
FLAGS = (f"--image-credential-provider-config={CONFIG}", f"--image-credential-provider-bin-dir={BIN}")
PATIENCE = 180.0


@pytest.fixture
def daemonset(cluster, tmp_path):
    daemonset = DaemonSet(cluster, tmp_path)
    daemonset.prepare()
    yield daemonset
    daemonset.clear_away()
    cluster.kubelet.restart()


def settings_of(cluster, shop, **more):
    """Return settings for *shop* whose key is in the pushed Secret, and that Secret's content."""
    entry = cluster.entry(shop, *shop.hosts)
    names = ("accessKeyIdFile", "accessKeySecretFile")
    authority = cluster.sandbox.ca_file.read_text()
    entry["identity"] = {"kind": "accessKey", **{name: f"{CREDENTIALS}/{name}" for name in names}}
    document = cluster.sandbox.settings() | {"registries": [entry], "caBundle": f"{CREDENTIALS}/ca.pem", **more}
    document["endpoints"] = {"sts": cluster.sandbox.sts.url}
    return json.dumps(document), {names[0]: shop.key.id, names[1]: shop.key.secret, "ca.pem": authority}


def until(daemonset, is_so, what):
    try:
        wait_until(is_so, timeout=PATIENCE, what=what)
    except TimeoutError as error:
        pytest.fail(f"{error}: {daemonset.condition()}\n{daemonset.log()}")


def reason(daemonset):
    return daemonset.condition().get("reason")


def listed(cluster, folder):
    return cluster.node.output(["sh", "-c", f"ls -A {folder} 2>/dev/null; true"]).decode().split()


def test_a_node_is_given_the_plugin_kept_right_upgraded_and_given_back(cluster, daemonset):
    shop = cluster.open_shop("agent", "team/app", "team/later", "team/last")
    with pytest.raises(NotPulledError):
        cluster.pull(shop.image("team/app"))
    daemonset.load("one")
    daemonset.push(*settings_of(cluster, shop))

    # Install.
    daemonset.apply("one")
    until(daemonset, lambda: reason(daemonset) == "Installed", "the installation")
    assert daemonset.condition()["status"] == "True"
    cluster.kubelet.restart(*FLAGS)
    assert cluster.pull(shop.image("team/app")) == shop.digest("team/app")
    assert cluster.tokens_asked(shop) == 1
    started = cluster.kubelet.started

    # Poisoned settings: a kubelet that starts anew with them there pulls all the same.
    daemonset.push("registries: [", {})
    until(daemonset, lambda: "not usable" in daemonset.condition().get("message", ""), "the verdict")
    assert cluster.pull(shop.image("team/later")) == shop.digest("team/later")
    daemonset.push(*settings_of(cluster, shop, maxCacheDuration="1m"))
    until(daemonset, lambda: "not usable" not in daemonset.condition()["message"], "the repair")

    # Another program, the same kubelet.
    trees = listed(cluster, f"{BIN}/.{PLUGIN}")
    daemonset.load("two", marked="another program")
    daemonset.apply("two")
    until(daemonset, lambda: len(listed(cluster, f"{BIN}/.{PLUGIN}")) == 2, "the upgrade")
    until(daemonset, lambda: linked(cluster) not in trees, "the flip of the link")
    runs = cluster.kubelet.plugin_runs()
    assert cluster.pull(shop.image("team/last")) == shop.digest("team/last")
    assert cluster.kubelet.plugin_runs() == runs + 1 or cluster.tokens_asked(shop) == 1
    assert cluster.kubelet.started == started

    # Given back while pods pull: the kubelet goes on, and nothing of ours is left.
    pods = [cluster.start_pod(shop.image("team/app")) for _ in range(5)]
    daemonset.apply("two", uninstall=True)
    until(daemonset, lambda: reason(daemonset) == "Uninstalled", "the end")
    for pod in pods:
        assert cluster.digest_of(pod, patient=False) == shop.digest("team/app")
    assert listed(cluster, "/var/lib/acr-e2e") == []
    assert listed(cluster, "/etc/aliyun-acr-credential-provider") == []
    assert cluster.kubelet.started == started
    assert shop.key.secret not in daemonset.log()


def linked(cluster):
    target = cluster.node.output(["readlink", f"{BIN}/{PLUGIN}"]).decode()
    return target.split("/")[1]


def projected(cluster):
    """Return the keys in the agent's mount of the Secret, None while there is no projection."""
    data = f"{cluster.kubelet.root}/pods/*/volumes/kubernetes.io~secret/credentials/..data"
    lines = listed(cluster, f"-d {data} && ls -A {data}/")
    return lines[1:] if lines else None


def test_the_kubelet_says_by_an_empty_projection_that_a_secret_is_gone(cluster, daemonset):
    """By that the agent knows it: a mount that is only late looks otherwise."""
    daemonset.load("gone")
    daemonset.delete_secret()
    daemonset.apply("gone")
    until(daemonset, lambda: projected(cluster) == [], "the mount of a Secret that never was")
    daemonset.push("{}", {"id": "LTAIexample"})
    until(daemonset, lambda: projected(cluster) == ["id"], "the Secret")
    daemonset.delete_secret()
    until(daemonset, lambda: projected(cluster) == [], "the end of the Secret")
