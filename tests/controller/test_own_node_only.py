"""What a reporter can do with its own token, whatever runs with it: its node's condition, and nothing beside.

Each field that the API server's own schemas have is tried: first by an administrator, so that it is known to be one
that can be written, then by the reporter.
"""

import contextlib
import copy
import itertools
import time

import pytest
from cluster.daemonset import collection
from cluster.kube import KubeError
from support.api_fields import Schemas
from unit.node_agent.test_manifests import with_components

NAME = "aliyun-acr-credential-provider"
CONDITION = "ACRCredentialProviderReady"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
EVENTS = "/api/v1/namespaces/default/events"
VARIES = ("managedFields", "resourceVersion")
NUMBERS = itertools.count(1)
# What a kubelet reports, long lists included; a condition of another agent's is among them.
STATUS = {
    "conditions": [
        {"type": kind, "status": "False", "reason": "Kubelet", "message": "x" * 200}
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", *(f"Problem{number}" for number in range(30)))
    ],
    "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
    "capacity": {"cpu": "4", "memory": "8Gi"},
    "allocatable": {"cpu": "4", "memory": "8Gi"},
    "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    "images": [
        {"names": [f"registry.example.com/team/app-{number}@sha256:{'0' * 64}"], "sizeBytes": 1} for number in range(50)
    ],
    "volumesAttached": [{"name": "kubernetes.io/csi/x", "devicePath": ""}],
}


@pytest.fixture(scope="module", autouse=True)
def manifests(api, tmp_path_factory):
    documents = with_components(tmp_path_factory.mktemp("overlay"), "own-node-only")
    for document in documents:
        api.create(collection(document), document)
    yield
    for document in reversed(documents):
        api.request("DELETE", f"{collection(document)}/{document['metadata']['name']}")


class Reporter:
    """A reporter on a node of its own, with the token that the kubelet would give its pod."""

    def __init__(self, api, namespace="kube-system"):
        self.node = f"bounded-{next(NUMBERS)}"
        self.path = f"/api/v1/nodes/{self.node}"
        self._api = api
        labels = {"kubernetes.io/os": "linux"}
        api.create("/api/v1/nodes", {"metadata": {"name": self.node, "labels": labels}})
        api.request("PATCH", f"{self.path}/status", {"status": STATUS}, MERGE)
        spec = {"nodeName": self.node, "serviceAccountName": NAME, "containers": [{"name": "x", "image": "x"}]}
        pod = api.create(f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": self.node}, "spec": spec})
        self.token = api.token_of(namespace, NAME, pod=pod)

    def request(self, *words):
        return self._api.request(*words, token=self.token)

    def tell(self, status="True"):
        condition = {"type": CONDITION, "status": status, "reason": "Installed", "message": "x"}
        return self.request("PATCH", f"{self.path}/status", {"status": {"conditions": [condition]}}, STRATEGIC)

    def refused(self, *words):
        """Return what the policy said; a request that went through fails the test."""
        with pytest.raises(KubeError) as caught:
            self.request(*words)
        assert caught.value.status == 403, caught.value
        assert f"{NAME}-own-node" in str(caught.value)
        return str(caught.value)


@pytest.fixture(scope="module")
def reporter(api, manifests):
    """A reporter that the policy is in force for: it may take a moment."""
    reporter = Reporter(api)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            reporter.request("PATCH", f"{reporter.path}/status?dryRun=All", {"status": {"phase": "Pending"}}, MERGE)
        except KubeError:
            break
        time.sleep(0.2)
    reporter.tell()
    return reporter


def bare(document):
    kept = copy.deepcopy(document)
    for name in VARIES:
        kept["metadata"].pop(name, None)
    return kept


def fields_that_are_refused(api, reporter, kind, under, left_out):
    """Try all fields of *kind*, which is *under* that name in a node, but those *left_out*: a value each, and none.

    Return those that an administrator can write. The reporter must be refused each of these.
    """
    schemas = Schemas(api, "api/v1")
    path = f"{reporter.path}/status"
    written = set()
    for field in schemas.fields(kind):
        for value in (schemas.value(kind, field), None):
            if field in left_out:
                continue
            patch = {under: {field: value}}
            before = bare(api.get(reporter.path))
            try:
                after = bare(api.request("PATCH", f"{path}?dryRun=All", patch, MERGE))
            except KubeError:
                continue  # the API server takes this of nobody
            if after != before:
                written.add(field)
                reporter.refused("PATCH", path, patch, MERGE)
                api.request("PATCH", path, patch, MERGE)  # so that there is something to take away
    return written


def test_the_condition_is_written_beside_all_that_a_kubelet_reports(api, reporter):
    before = api.get(reporter.path)["status"]
    for status in ("False", "True", "Unknown"):
        reporter.tell(status)
    after = api.get(reporter.path)["status"]
    ours = [each for each in after.pop("conditions") if each["type"] == CONDITION]
    assert [each["status"] for each in ours] == ["Unknown"]
    del before["conditions"]
    assert after == before


def test_no_field_of_a_nodes_status_but_its_conditions_can_be_changed(api, reporter):
    written = fields_that_are_refused(api, Reporter(api), "NodeStatus", "status", ["conditions"])
    assert written >= {*STATUS, "nodeInfo", "phase", "volumesInUse", "features", "runtimeHandlers"} - {"conditions"}


def test_no_field_of_a_nodes_metadata_can_be_changed(api, reporter, who_may_own):
    who_may_own(NAME, reporter.token)
    left_out = [*VARIES, "deletionTimestamp"]
    written = fields_that_are_refused(api, Reporter(api), "ObjectMeta", "metadata", left_out)
    assert written >= {"labels", "annotations", "finalizers", "ownerReferences"}


@pytest.mark.parametrize(
    "patch",
    [
        {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}},
        {"metadata": {"labels": {"node-restriction.kubernetes.io/tenant": "payments"}}},
        {"metadata": {"labels": {"kubernetes.io/os": None}}},
        {"metadata": {"annotations": {"csi.volume.kubernetes.io/nodeid": "{}"}}},
        {"metadata": {"finalizers": ["example.com/stays"]}},
        {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 31337}}}},
        {"status": {"images": []}},
        {"status": {"volumesAttached": []}},
        {"status": {"conditions": []}},
        {"status": {"conditions": [{"type": CONDITION, "status": "True"}]}},
        {"status": {"conditions": [*STATUS["conditions"], {"type": "Ready", "status": "False"}]}},
        {"status": {"conditions": [{**each, "status": "True"} for each in STATUS["conditions"]]}},
    ],
)  # fmt: skip
def test_what_would_be_worth_a_nodes_identity_is_refused(reporter, patch):
    reporter.refused("PATCH", f"{reporter.path}/status", patch, MERGE)


def test_the_status_of_another_node_is_refused(api, reporter):
    other = Reporter(api)
    other.tell()
    condition = {"type": CONDITION, "status": "False", "reason": "X", "message": "x"}
    patch = {"status": {"conditions": [condition]}}
    assert "only the status of its own node" in reporter.refused("PATCH", f"{other.path}/status", patch, STRATEGIC)


def event(node, kind="Node", **more):
    metadata = {"name": f"{node}.{next(NUMBERS)}", "namespace": "default", **more.pop("metadata", {})}
    involved = {"apiVersion": "v1", "kind": kind, "name": node}
    source = {"component": more.pop("component", NAME), "host": node}
    return {
        "metadata": metadata,
        "involvedObject": involved,
        "source": source,
        "reason": "ACRInstalled",
        "message": "x",
    }


def test_events_are_about_its_own_node_only(api, reporter):
    reporter.request("POST", EVENTS, event(reporter.node))
    for document in (
        event("another"),
        event(reporter.node, kind="Namespace"),
        event(reporter.node, component="kubelet"),
        event(reporter.node, metadata={"finalizers": ["example.com/stays"]}),
    ):
        assert "Events only about its own node" in reporter.refused("POST", EVENTS, document)


@pytest.fixture
def lease(api):
    """Return a function that makes a Lease what it was, but for what is given; who looks sees it as it was left."""
    names = (f"{NAME}-slot-0", f"{NAME}-rollout")
    fresh = {name: api.get(f"{LEASES}/{name}") for name in names}

    def put(name, spec=None, annotations=None):
        document = copy.deepcopy(fresh[name])
        document["metadata"]["resourceVersion"] = api.get(f"{LEASES}/{name}")["metadata"]["resourceVersion"]
        document["metadata"]["annotations"] = annotations or {}
        document["spec"] = spec or {}
        return api.request("PUT", f"{LEASES}/{name}", document)

    yield put
    for name in names:
        put(name)


def test_a_slot_is_held_and_given_back_for_its_own_node_only(reporter, lease):
    path = f"{LEASES}/{NAME}-slot-0"
    found = lease(f"{NAME}-slot-0", {"holderIdentity": ""})
    held = reporter.request("PUT", path, {**found, "spec": {"holderIdentity": reporter.node}})
    given_back = reporter.request("PUT", path, {**held, "spec": {"holderIdentity": ""}})
    assert "for its own node" in reporter.refused("PUT", path, {**given_back, "spec": {"holderIdentity": "another"}})
    others = lease(f"{NAME}-slot-0", {"holderIdentity": "another"})
    assert "for its own node" in reporter.refused("PUT", path, {**others, "spec": {"holderIdentity": ""}})


@pytest.fixture
def without_leases(api):
    """The Leases are not there, as Argo CD leaves them out; what was made instead is not there afterwards."""
    path = f"{LEASES}/{NAME}-slot-0"
    found = api.get(path)
    api.request("DELETE", path)
    yield
    with contextlib.suppress(KubeError):
        api.request("DELETE", path)
    metadata = {name: value for name, value in found["metadata"].items() if name in ("name", "labels")}
    api.create(LEASES, {"metadata": metadata})


def new_lease(name=f"{NAME}-slot-0", spec=None, **more):
    metadata = {"name": name, "namespace": "kube-system", **more}
    document = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
    return {**document, **({"spec": spec} if spec else {})}


def owner(**other):
    named = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "name": f"{NAME}-slots", "uid": "0", **other}
    return {"ownerReferences": [named]}


def test_a_missing_lease_may_be_made_empty_and_with_its_role_as_its_owner(api, reporter, without_leases):
    role = reporter.request("GET", f"/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles/{NAME}-slots")
    reporter.request("POST", LEASES, new_lease(**owner(uid=role["metadata"]["uid"])))
    assert api.get(f"{LEASES}/{NAME}-slot-0")["metadata"]["ownerReferences"][0]["name"] == f"{NAME}-slots"


@pytest.mark.parametrize(
    "document",
    [
        new_lease("kube-scheduler"),
        new_lease(f"{NAME}-pull-secrets"),
        new_lease(f"{NAME}-slot-100"),
        new_lease(f"{NAME}-slot-0.example"),
        new_lease(f"x-{NAME}-slot-0"),
        new_lease(spec={"holderIdentity": "another"}),
        new_lease(spec={"leaseTransitions": 1}),
        new_lease(annotations={f"rejected.{NAME}/0123": "another: x"}),
        new_lease(labels={"app": "x"}),
        new_lease(finalizers=["example.com/stays"]),
        new_lease(**owner(kind="ConfigMap")),
        new_lease(**owner(name="another")),
    ],
)
def test_no_other_lease_may_be_made(reporter, without_leases, document):
    assert "only its release's Leases, and empty ones" in reporter.refused("POST", LEASES, document)


def test_no_lease_may_be_made_in_another_namespace(api, reporter):
    """Should a right for that be given too."""
    namespace = api.namespace(f"tools-{next(NUMBERS)}")
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rules = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]}]
    api.create(f"{rbac}/roles", {"metadata": {"name": "x"}, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x"}
    subjects = [{"kind": "ServiceAccount", "name": NAME, "namespace": "kube-system"}]
    api.create(f"{rbac}/rolebindings", {"metadata": {"name": "x"}, "roleRef": role, "subjects": subjects})
    document = new_lease()
    document["metadata"]["namespace"] = namespace
    path = LEASES.replace("kube-system", namespace)
    assert "only its release's Leases" in reporter.refused("POST", path, document)


def test_what_others_rejected_cannot_be_said_in_their_name(reporter, lease):
    path, name = f"{LEASES}/{NAME}-rollout", f"{NAME}-rollout"
    key = f"rejected.{NAME}/0123"
    found = lease(name, annotations={"operator": "x"})

    def written(**annotations):
        metadata = {**found["metadata"], "annotations": annotations}
        return {**found, "metadata": metadata}

    for annotations in ({key: "another: x", "operator": "x"}, {"operator": "y"}, {}, {"operator": "x", "more": "x"}):
        assert "its own node rejected" in reporter.refused("PUT", path, written(**annotations))
    reporter.request("PUT", path, written(operator="x", **{key: f"{reporter.node}: x"}))


def test_the_policy_keeps_neither_a_slot_of_another_node_nor_what_others_rejected(reporter, lease):
    """The threat model's page says so: a policy sees no clock, and old rejections have to make room."""
    slot, rollout = f"{NAME}-slot-0", f"{NAME}-rollout"
    held = lease(slot, {"holderIdentity": "another"})
    reporter.request("PUT", f"{LEASES}/{slot}", {**held, "spec": {"holderIdentity": reporter.node}})
    rejected = lease(rollout, annotations={f"rejected.{NAME}/0123": "another: x"})
    metadata = {**rejected["metadata"], "annotations": {}}
    reporter.request("PUT", f"{LEASES}/{rollout}", {**rejected, "metadata": metadata})


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": None},
        {"finalizers": ["example.com/stays"]},
        {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0"}]},
    ],
)
def test_a_lease_cannot_be_kept_from_its_owner_nor_given_another(reporter, lease, metadata, who_may_own):
    who_may_own(NAME, reporter.token)
    found = lease(f"{NAME}-slot-0")
    document = {**found, "metadata": {**found["metadata"], **metadata}}
    assert "metadata" in reporter.refused("PUT", f"{LEASES}/{NAME}-slot-0", document)


def test_a_reporter_that_an_overlay_moved_to_another_namespace_is_bound_too(api, reporter):
    namespace = api.namespace(f"tools-{next(NUMBERS)}")
    api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": NAME}})
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"{NAME}-reporter"}
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    api.create(bindings, {"metadata": {"name": namespace}, "roleRef": role, "subjects": [subject]})
    moved = Reporter(api, namespace)
    moved.tell()
    moved.refused("PATCH", f"{moved.path}/status", {"metadata": {"labels": {"x": "y"}}}, MERGE)
    api.request("DELETE", f"{bindings}/{namespace}")
