"""The reporters of twenty nodes against a real API server, with the rights and the policy of the manifests alone."""

import copy
import itertools
from urllib.parse import urlsplit

import pytest
from acr_credential_provider.kube_api.client import STRATEGIC_MERGE, ApiRefusedError, NodeKubeClient
from acr_credential_provider.kube_api.in_cluster import InCluster
from acr_node_config.reporter.restart_leases import REJECTED, ROLLOUT, slot_name
from acr_node_config.rollout import agent_status
from cluster.daemonset import collection
from cluster.kube import KubeError
from unit.node_agent.fakes import CONFIG, LEASES, Clock
from unit.node_agent.machine import Machine, run
from unit.node_agent.test_manifests import with_components

NAME = "aliyun-acr-credential-provider"
GOOD = "match: *.*.cr.aliyuncs.com\n"
WIDER = GOOD + "match: images.example.com\n"
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module", autouse=True)
def manifests(api, tmp_path_factory):
    """All that an operator applies, on the server once; the Leases as they come anew for each test."""
    documents = with_components(tmp_path_factory.mktemp("overlay"), "own-node-only")
    for document in documents:
        api.create(collection(document), document)
    yield documents
    for document in reversed(documents):
        api.request("DELETE", f"{collection(document)}/{document['metadata']['name']}")


@pytest.fixture(autouse=True)
def leases(api, manifests):
    yield
    for document in manifests:
        if document["kind"] == "Lease":
            path = LEASES + document["metadata"]["name"]
            fresh = copy.deepcopy(document)
            fresh["metadata"]["resourceVersion"] = api.get(path)["metadata"]["resourceVersion"]
            api.request("PUT", path, fresh)


def reporter_on(api, node, folder):
    """Return the API as the reporter's pod on *node* sees it."""
    api.create("/api/v1/nodes", {"metadata": {"name": node}})
    pod = {
        "metadata": {"name": f"reporter-{node}"},
        "spec": {"nodeName": node, "serviceAccountName": NAME, "containers": [{"name": "x", "image": "x"}]},
    }
    uid = api.create("/api/v1/namespaces/kube-system/pods", pod)["metadata"]["uid"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": f"reporter-{node}", "uid": uid}
    asked = {"spec": {"audiences": [], "expirationSeconds": 3600, "boundObjectRef": bound}}
    answer = api.create(f"/api/v1/namespaces/kube-system/serviceaccounts/{NAME}/token", asked)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "token").write_text(answer["status"]["token"])
    where = urlsplit(api.url)
    return NodeKubeClient(InCluster(where.hostname, where.port, str(folder / "token"), str(api.ca_file)).find)


def machines_of(api, tmp_path, clock, count):
    group = next(NUMBERS)
    machines = []
    for number in range(count):
        name = f"group-{group}-node-{number:02}"
        api_of_node = reporter_on(api, name, tmp_path / "tokens" / name)
        machine = Machine(tmp_path / name, clock, name=name, api=api_of_node)
        machine.push(GOOD)
        machines.append(machine)
    return machines


def condition(api, node):
    conditions = api.get(f"/api/v1/nodes/{node}")["status"].get("conditions", [])
    (found,) = (each for each in conditions if each["type"] == "ACRCredentialProviderReady")
    return found["status"], found["reason"]


def reasons(api, node):
    events = api.get("/api/v1/namespaces/default/events")["items"]
    return [each["reason"] for each in events if each["involvedObject"]["name"] == node]


def test_a_rollout_without_leases_makes_them_and_the_release_owns_them(api, manifests, tmp_path):
    names = [each["metadata"]["name"] for each in manifests if each["kind"] == "Lease"]
    for name in names:
        api.request("DELETE", LEASES + name)
    clock = Clock()
    machines = machines_of(api, tmp_path, clock, 3)
    run(machines, clock, 200)

    assert [machine.status["state"] for machine in machines] == [agent_status.READY] * 3
    assert [machine.said for machine in machines] == [[]] * 3
    for name in names:
        (owner,) = api.get(LEASES + name)["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("Role", f"{NAME}-slots")


def test_one_bad_node_of_twenty_stops_the_rollout_and_the_others_are_untouched(api, tmp_path):
    clock = Clock()
    machines = machines_of(api, tmp_path, clock, 20)
    run(machines, clock, 900)
    assert [machine.status["state"] for machine in machines] == [agent_status.READY] * 20
    assert [machine.said for machine in machines] == [[]] * 20
    assert {condition(api, machine.name) for machine in machines} == {("True", "Installed")}
    bad, others = machines[0], machines[1:]
    bad.node.lives_with = lambda config: "images.example.com" not in config
    bad.push(WIDER)
    run([bad], clock, 340)
    for machine in others:
        machine.push(WIDER)

    run(machines, clock, 600)

    assert bad.status["state"] == agent_status.REJECTED
    assert condition(api, bad.name) == ("True", "ChangeRejected")
    assert "ACRChangeRejected" in reasons(api, bad.name)
    for machine in others:
        assert machine.node.restarts == 1
        assert machine.node.text(CONFIG) == GOOD
        assert machine.status["state"] == agent_status.WAITING
        assert bad.name in machine.status["message"]
    annotations = api.get(LEASES + ROLLOUT)["metadata"]["annotations"]
    assert [name for name in annotations if name.startswith(REJECTED)]
    assert not api.get(LEASES + slot_name(0))["spec"].get("holderIdentity")


def test_a_reporter_may_not_write_another_nodes_status_nor_another_condition_of_its_own(api, tmp_path):
    reporter = reporter_on(api, "policed", tmp_path)
    api.create("/api/v1/nodes", {"metadata": {"name": "another"}})

    def patch(node, kind):
        document = {"status": {"conditions": [{"type": kind, "status": "True", "reason": "X", "message": "x"}]}}
        reporter.patch(f"/api/v1/nodes/{node}/status", document, STRATEGIC_MERGE)

    patch("policed", "ACRCredentialProviderReady")
    with pytest.raises(ApiRefusedError, match=r"422|403"):
        patch("another", "ACRCredentialProviderReady")
    with pytest.raises(ApiRefusedError, match=r"422|403"):
        patch("policed", "Ready")


def test_a_reporter_has_no_other_rights(api, tmp_path):
    reporter = reporter_on(api, "curious", tmp_path)
    for path in (
        "/api/v1/secrets",
        "/api/v1/namespaces/kube-system/secrets",
        "/api/v1/nodes",
        "/api/v1/namespaces/kube-system/pods",
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases",
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler",
    ):
        with pytest.raises(ApiRefusedError, match="403") as caught:
            reporter.get(path)
        assert "RBAC" in caught.value.remedy


def test_the_pods_of_the_daemonset_are_what_the_server_takes_them_for(api):
    """The server fills in defaults and refuses what is wrong; what it took must be what was meant."""
    found = api.get(f"/apis/apps/v1/namespaces/kube-system/daemonsets/{NAME}")
    pod = found["spec"]["template"]["spec"]

    assert "hostPID" not in pod
    assert [each["name"] for each in pod["containers"]] == ["agent", "reporter"]
    with pytest.raises(KubeError, match="404"):
        api.get(f"/apis/apps/v1/namespaces/default/daemonsets/{NAME}")
