"""The chart and the plain manifests are two ways to write the same objects: here they are held together."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from chart.helm import objects, rendered

ROOT = Path(__file__).resolve().parents[2]
KUBECTL = Path(sys.executable).parent / "kubectl"
# Which overlay with which components says the same as the values of the chart's example "plugin" with these words.
PAIRS = [
    ("k3s", ["own-node-only"], []),
    ("k3s", [], ["--set=platform=k3s", "--set=plugin.ownNodeOnly=false"]),
    ("openshift", ["own-node-only"], ["--set=platform=openshift"]),
    ("ack", ["own-node-only", "service-account-tokens"], ["--set=platform=ack,plugin.serviceAccountTokens=true"]),
]


def kustomized(overlay, components, tmp_path):
    (tmp_path / "manifests").symlink_to(ROOT / "node-config/manifests")
    top = tmp_path / "top"
    top.mkdir()
    document = {
        "resources": [f"../manifests/overlays/{overlay}"],
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
            kept = {name: bare(each, name) for name, each in value.items() if name not in ("image", "OWN_IMAGE")}
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
    by_kustomize = essence(kustomized(overlay, components, tmp_path))
    assert by_helm.keys() == by_kustomize.keys()
    for each, expected in by_kustomize.items():
        assert by_helm[each] == expected, each


def test_a_difference_between_the_two_is_found(tmp_path):
    by_kustomize = essence(kustomized("k3s", ["own-node-only"], tmp_path))
    changed = objects(rendered("--set=plugin.maxUnavailable=11%", values="plugin"))
    assert essence(changed) != by_kustomize


def manifests_of_the_controller():
    folder = ROOT / "packaging/manifests/pull-secrets"
    return objects("\n---\n".join(path.read_text() for path in folder.glob("*.yaml") if path.stem != "kustomization"))


def rules(found, kind):
    """Return all that the roles of *kind* allow, however it is spread over them."""
    listed = [rule for (each, name), role in found.items() if each == kind for rule in role["rules"] if "pull" in name]
    return sorted(yaml.safe_dump(rule) for rule in listed)


CONTROLLER = ["--set=plugin.enabled=false", "--set=pullSecrets.enabled=true", "--set=settings=null"]


def test_the_controllers_pods_are_the_same_in_both():
    name = "aliyun-acr-credential-provider-pull-secrets"
    by_helm = objects(rendered(*CONTROLLER, values="plugin"))["Deployment", name]["spec"]
    by_hand = manifests_of_the_controller()["Deployment", name]["spec"]
    for spec in (by_helm, by_hand):
        pod = spec["template"]["spec"]
        (container,) = pod["containers"]
        for operators_own in ("args", "image", "imagePullPolicy"):
            container.pop(operators_own, None)
        container["volumeMounts"] = [each for each in container["volumeMounts"] if each["name"] != "credentials"]
        pod["volumes"] = [each for each in pod["volumes"] if each["name"] != "credentials"]
    assert by_helm == by_hand


@pytest.mark.parametrize("kind", ["ClusterRole", "Role"])
def test_the_controllers_rights_are_the_same_in_both(kind):
    assert rules(objects(rendered(*CONTROLLER, values="plugin")), kind) == rules(manifests_of_the_controller(), kind)


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "NetworkPolicy"])
def test_what_surrounds_the_controller_is_the_same_in_both(kind):
    by_helm = {key: each.get("spec") for key, each in objects(rendered(*CONTROLLER, values="plugin")).items()}
    by_hand = {key: each["spec"] for key, each in manifests_of_the_controller().items() if key[0] == kind}
    assert by_hand
    assert {key: spec for key, spec in by_helm.items() if key[0] == kind} == by_hand
