"""Objects stand in the chart alone: the plain manifests are written from it, and overlays say what its values say."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from chart.helm import objects, rendered
from cluster import parts

from generate import manifests

ROOT = Path(__file__).resolve().parents[2]
KUBECTL = Path(sys.executable).parent / "kubectl"
WRITTEN = dict(manifests.files(str(parts.find("helm"))))
MONITORED = "--set=podMonitor.enabled=true,prometheusRule.enabled=true,dashboards.enabled=true"
# Which overlay with which components says the same as the values of the chart's example "plugin" with these words.
PAIRS = [
    ("k3s", ["network-policy", "own-node-only"], []),
    ("k3s", ["network-policy", "own-node-only", "monitoring"], [MONITORED]),
    ("k3s", ["network-policy", "own-node-only", "without-privileged"], ["--set=plugin.privileged=false"]),
    ("k3s", [], ["--set=platform=k3s", "--set=plugin.ownNodeOnly=false,plugin.networkPolicy.enabled=false"]),
    ("openshift", ["network-policy", "own-node-only"], ["--set=platform=openshift"]),
    ("openshift", ["network-policy", "own-node-only", "uninstall"], ["--set=platform=openshift,plugin.uninstall=true"]),
    (
        "ack",
        ["network-policy", "own-node-only", "service-account-tokens"],
        ["--set=platform=ack,plugin.serviceAccountTokens=true"],
    ),
]

HELMS = [f"app.kubernetes.io/{each}" for each in ("instance", "version", "managed-by")]
"""Labels of Pods that only Helm gives."""


def kustomized(overlay, components, tmp_path, manifests="node-config/manifests"):
    (tmp_path / "manifests").symlink_to(ROOT / manifests)
    top = tmp_path / "top"
    top.mkdir()
    document = {
        "resources": [f"../manifests/{overlay}"],
        "components": [f"../manifests/components/{each}" for each in components],
    }
    (top / "kustomization.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run([KUBECTL, "kustomize", top], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def essence(objects_by_name):
    """Return the objects without what is bound to differ: who manages them, and which image it is."""

    def bare(value, key=""):
        if isinstance(value, dict):
            kept = {
                name: bare(each, name) for name, each in value.items() if name not in ("image", "OWN_IMAGE", *HELMS)
            }
            if value.get("name") == "OWN_IMAGE":
                kept.pop("value", None)
            return kept
        if isinstance(value, list):
            return [bare(each, key) for each in value]
        return value

    found = {}
    for (kind, name), each in objects_by_name.items():
        if kind == "ConfigMap":  # the settings are the operator's
            continue
        kept = bare(each)
        kept["metadata"] = {"name": name, "namespace": each["metadata"].get("namespace")}
        found[kind, name] = kept
    return found


@pytest.mark.parametrize(("overlay", "components", "words"), PAIRS)
def test_the_chart_and_the_manifests_of_the_plugin_say_the_same(overlay, components, words, tmp_path):
    by_helm = essence(objects(rendered(*words, values="plugin")))
    by_kustomize = essence(kustomized(f"overlays/{overlay}", components, tmp_path))
    assert by_helm.keys() == by_kustomize.keys()
    for each, expected in by_kustomize.items():
        assert by_helm[each] == expected, each


@pytest.mark.parametrize("account", ["", "aliyun-acr-credential-helper"])
def test_the_chart_and_the_manifests_of_the_controller_say_the_same(account, tmp_path):
    words = [
        "--set=plugin.enabled=false,pullSecrets.enabled=true,pullSecrets.webhook.enabled=true",
        "--kube-version=1.36",
        MONITORED,
    ]
    words.append(f"--set=pullSecrets.serviceAccount.name={account}")
    folder = "pull-secrets-as-acr-credential-helper" if account else "pull-secrets"
    by_helm = essence(objects(rendered(*words, values="plugin")))
    by_kustomize = essence(
        kustomized(folder, ["webhook", "admission-policy", "monitoring"], tmp_path, "packaging/manifests")
    )
    assert by_helm.keys() == by_kustomize.keys()
    for each, expected in by_kustomize.items():
        assert by_helm[each] == expected, each


def test_a_difference_between_the_two_is_found(tmp_path):
    by_kustomize = essence(kustomized("overlays/k3s", ["own-node-only"], tmp_path))
    changed = objects(rendered("--set=plugin.rollout.maxUnavailable=11%", values="plugin"))
    assert essence(changed) != by_kustomize


@pytest.mark.parametrize("file", [*manifests.WHOLE, *manifests.MORE])
def test_the_manifests_are_what_the_chart_says(file):
    assert (ROOT / file).read_text() == WRITTEN[file], "the chart says something else by now: make manifests"


def test_no_manifest_but_kustomizations_and_an_operators_settings_is_written_by_hand():
    folders = [ROOT / "node-config/manifests", ROOT / "packaging/manifests"]
    found = {str(path.relative_to(ROOT)) for folder in folders for path in folder.rglob("*.yaml")}
    by_hand = {file for file in found if Path(file).name in ("kustomization.yaml", "settings.yaml")}
    assert found - by_hand == WRITTEN.keys()
