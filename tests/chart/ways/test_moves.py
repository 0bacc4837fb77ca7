"""From one way to another on a real API server: what runs is not deleted on the way, and nothing is left at the end."""

import pytest
import yaml
from chart.helm import CHART
from chart.ways.cluster_objects import all_objects, delete, differences
from chart.ways.test_ways import new_objects, settled
from chart.ways.ways import NAME, VALUES, FluxKustomization, Helm, Kustomized, Piped, key_of, ran
from cluster import parts

OWN = "kube-system"
HELPER = "aliyun-acr-credential-helper"
RUNNING = [("DaemonSet", OWN, NAME), ("Deployment", OWN, f"{NAME}-pull-secrets")]


class Adopting(Helm):
    """Helm, as docs/install/ways.md says for objects that are there already."""

    def apply(self, stage):
        self.wanted = self.render(stage)
        options = ["--install", "--take-ownership", "--server-side=true", "--force-conflicts"]
        self.helm("upgrade", "acr", CHART, f"--values={self.values(stage)}", *options)


@pytest.mark.parametrize("earlier", [Kustomized, Piped, FluxKustomization], ids=lambda way: way.__name__)
def test_helm_takes_over_what_another_way_brought_and_it_runs_on(earlier, api, admin, tmp_path):
    before = all_objects(api).keys()
    for name in ("earlier", "helm"):
        (tmp_path / name).mkdir()
    earlier = earlier(admin, tmp_path / "earlier", OWN)
    earlier.apply("first")
    uids = {key: new_objects(api, before)[key]["metadata"]["uid"] for key in RUNNING}
    way = Adopting(admin, tmp_path / "helm", OWN)
    way.apply("first")
    way.apply("second")

    found = new_objects(api, before)
    declared = {key_of(each): each for each in way.wanted}
    assert {key: found[key]["metadata"]["uid"] for key in RUNNING} == uids
    assert {key: wrong for key, each in declared.items() if (wrong := differences(each, found[key]))} == {}
    way.delete()
    assert settled(api, before, set()).keys() == set()


def test_another_way_takes_over_what_helm_brought_and_it_runs_on(api, admin, tmp_path):
    before = all_objects(api).keys()
    (tmp_path / "helm").mkdir()
    Helm(admin, tmp_path / "helm", OWN).apply("first")
    uids = {key: new_objects(api, before)[key]["metadata"]["uid"] for key in RUNNING}
    way = FluxKustomization(admin, tmp_path, OWN)
    way.apply("first")
    way.kubectl("delete", "secrets", "--namespace=kube-system", "--selector=owner=helm,name=acr")
    way.apply("second")

    assert {key: new_objects(api, before)[key]["metadata"]["uid"] for key in RUNNING} == uids
    way.delete()
    left = settled(api, before, set()).keys()
    assert left == {("ConfigMap", OWN, f"{NAME}-settings"), ("ConfigMap", OWN, f"{NAME}-pull-secrets-settings")}
    for key in left:  # the manifests have none; the operator's own would be in their place
        delete(api, all_objects(api)[key])


@pytest.mark.parametrize("options", [[], ["--server-side", "--force-conflicts", "--field-manager=argocd-controller"]])
def test_our_entry_in_a_service_account_stays_when_its_owner_applies_it_again(options, api, admin, tmp_path):
    """As Argo CD and Flux do every few minutes."""
    team = api.namespace(f"team-{len(options)}")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app", "namespace": team}}
    way = Helm(admin, tmp_path, OWN)
    way.kubectl("apply", *options, "-f", "-", given=yaml.safe_dump(account))
    entry = {"imagePullSecrets": [{"name": "acr-credential-aliyun"}]}
    path = f"/api/v1/namespaces/{team}/serviceaccounts/app"
    api.request("PATCH", path, entry, "application/strategic-merge-patch+json")
    account["metadata"]["labels"] = {"changed": "yes"}
    way.kubectl("apply", *options, "-f", "-", given=yaml.safe_dump(account))

    assert api.get(path)["metadata"]["labels"] == {"changed": "yes"}
    assert api.get(path)["imagePullSecrets"] == entry["imagePullSecrets"]
    api.request("DELETE", path)


def test_an_add_ons_service_account_is_used_and_survives_the_release(api, admin, tmp_path):
    """The migration's case: aliyun-acr-credential-helper is an add-on of the cluster, and its account stays its own."""
    path = f"/api/v1/namespaces/{OWN}/serviceaccounts"
    account = api.create(path, {"metadata": {"name": HELPER, "annotations": {"add-on": "yes"}}})
    before = all_objects(api).keys()
    values = {**VALUES["first"], "pullSecrets": {"enabled": True, "serviceAccount": {"create": False, "name": HELPER}}}
    way = Helm(admin, tmp_path, OWN)
    way.values = lambda stage: _written(tmp_path / "values.yaml", values)
    way.apply("first")
    pod = api.get(f"/apis/apps/v1/namespaces/{OWN}/deployments/{NAME}-pull-secrets")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == HELPER
    way.delete()

    assert settled(api, before, set()).keys() == set()
    assert api.get(f"{path}/{HELPER}")["metadata"]["uid"] == account["metadata"]["uid"]
    api.request("DELETE", f"{path}/{HELPER}")


def _written(file, values):
    file.write_text(yaml.safe_dump(values))
    return file


def test_a_second_release_is_refused_and_changes_nothing(api, admin, tmp_path):
    first = Helm(admin, tmp_path, OWN)
    first.apply("first")
    there = {key: each["metadata"]["resourceVersion"] for key, each in all_objects(api).items()}
    elsewhere = api.namespace("second-release")
    words = ["install", "another", CHART, f"--values={first.values('first')}", f"--kubeconfig={admin}"]
    with pytest.raises(AssertionError, match="cannot be imported into the current release"):
        ran([parts.find("helm"), *words, f"--namespace={elsewhere}"])

    now = {key: each["metadata"]["resourceVersion"] for key, each in all_objects(api).items() if key in there}
    assert now == there
    first.delete()
