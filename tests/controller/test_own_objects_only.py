"""What can be done with the controller's own token, whatever runs with it: its work, and nothing beside.

The rights and the policy are those of the manifests. Each thing that must be refused is tried with a token that the API
server made, beside what the controller does in life, which must go through.
"""

import copy
import itertools
import time
from base64 import b64encode

import pytest
import yaml
from acr_credential_provider.pull_secrets.kube.event_recorder import Event
from acr_credential_provider.pull_secrets.model.plan import ChangeAccount
from acr_credential_provider.pull_secrets.model.pull_secret import PullSecret
from acr_credential_provider.pull_secrets.model.telemetry import ObjectRef
from acr_credential_provider.pull_secrets.webhook import registration, serving_certificates
from acr_credential_provider.pull_secrets.webhook.registration import ServiceReference
from acr_credential_provider.settings.pull_secrets import Admission, PullSecrets
from cluster.daemonset import collection, rendered
from cluster.kube import KubeError
from cluster.replicas import delete
from support.api_fields import Schemas
from support.harness import ROOT

NAME = "aliyun-acr-credential-provider"
CONTROLLER = f"{NAME}-pull-secrets"
HELPER = "aliyun-acr-credential-helper"
OWN = "kube-system"
SECRET = "acr-credential-aliyun"
MANIFESTS = ROOT / "packaging/manifests"
RBAC = "rbac.authorization.k8s.io/v1"
HOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
KINDS = (
    *("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
    *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
)
ANOTHER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "0"}
EMPTY = b64encode(b'{"auths": {}}').decode()
NUMBERS = itertools.count(1)


def overlay(folder, *, base="pull-secrets", components=("webhook",)):
    """Return the rights and the policy of what an operator applies."""
    (folder / "manifests").symlink_to(MANIFESTS)
    top = folder / "top"
    top.mkdir()
    document = {
        "resources": [f"../manifests/{base}"],
        "components": [f"../manifests/components/{each}" for each in components],
    }
    (top / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return [each for each in rendered(top) if each["kind"] in KINDS]


class Caller:
    """Who signs in with the controller's token."""

    def __init__(self, api, account=CONTROLLER, namespace=OWN, pod=None):
        self._api = api
        self.token = api.token_of(namespace, account, pod=pod)

    def request(self, *words):
        return self._api.request(*words, token=self.token)

    def refused(self, *words):
        """Return what the policy said; a request that went through fails the test, and one that RBAC refuses too."""
        with pytest.raises(KubeError) as caught:
            self.request(*words)
        assert caught.value.status == 403, caught.value
        assert f"{CONTROLLER}-own-objects" in str(caught.value)
        return str(caught.value)


@pytest.fixture(scope="module")
def applied(api, tmp_path_factory):
    documents = overlay(tmp_path_factory.mktemp("rights"))
    for document in documents:
        api.create(collection(document), document)
    yield documents
    for document in reversed(documents):
        api.request("DELETE", f"{collection(document)}/{document['metadata']['name']}")


def await_policy(caller):
    """Wait until the API server goes by the policy."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            caller.request("POST", f"{secrets('default')}?dryRun=All", secret("anything"))
        except KubeError:
            return
        time.sleep(0.2)


@pytest.fixture(scope="module")
def controller(api, applied):
    caller = Caller(api)
    await_policy(caller)
    return caller


def secrets(namespace, name=""):
    return f"/api/v1/namespaces/{namespace}/secrets" + (f"/{name}" if name else "")


def accounts(namespace, name=""):
    return f"/api/v1/namespaces/{namespace}/serviceaccounts" + (f"/{name}" if name else "")


def secret(name, kind="kubernetes.io/dockerconfigjson", *, data=None, **metadata):
    """Return a Secret that is labelled as the controller's own are."""
    data = {".dockerconfigjson": EMPTY} if data is None else data
    labels = PullSecret(name, b"{}").manifest("x")["metadata"]["labels"]
    return {"metadata": {"name": name, "labels": labels, **metadata}, "type": kind, "data": data}


def owner(api, name=CONTROLLER, **more):
    uid = api.get(f"/apis/{RBAC}/clusterroles/{name}")["metadata"]["uid"]
    return {"apiVersion": RBAC, "kind": "ClusterRole", "name": name, "uid": uid, **more}


# Secrets.
def test_a_secret_of_its_own_without_the_label_is_labelled_again_and_deleted(api, controller, namespace):
    """A tenant can take the label off. Who wrote the Secret is in its managedFields."""
    path = secrets(namespace, SECRET)
    for _ in range(2):
        controller.request("POST", f"{secrets(namespace)}?fieldManager={CONTROLLER}", secret(SECRET))
        api.request("PATCH", path, {"metadata": {"labels": None}}, MERGE)
        controller.request("DELETE", path)
    controller.request("POST", f"{secrets(namespace)}?fieldManager={CONTROLLER}", secret(SECRET))
    api.request("PATCH", path, {"metadata": {"labels": None}}, MERGE)
    controller.refused(
        "PATCH", path, {"data": {".dockerconfigjson": EMPTY}, "metadata": {"annotations": {"a": "b"}}}, MERGE
    )
    controller.request("PATCH", path, {"metadata": {"labels": secret(SECRET)["metadata"]["labels"]}}, MERGE)


def test_the_token_of_another_serviceaccount_cannot_be_had(api, controller):
    """Kubernetes puts a token into each Secret of this type, and the controller may read those of its own name."""
    api.create(accounts(OWN), {"metadata": {"name": "mighty"}})
    wanted = secret(
        SECRET,
        "kubernetes.io/service-account-token",
        data={},
        annotations={"kubernetes.io/service-account.name": "mighty"},
    )
    for namespace in (OWN, "default"):
        controller.refused("POST", secrets(namespace), wanted)
        with pytest.raises(KubeError, match="404"):
            controller.request("GET", secrets(namespace, SECRET))


@pytest.mark.parametrize(
    ("namespace", "document"),
    [
        (OWN, secret("bootstrap-token-abcdef", "bootstrap.kubernetes.io/token", data={
            "token-id": b64encode(b"abcdef").decode(), "token-secret": b64encode(b"0123456789abcdef").decode(),
            "usage-bootstrap-authentication": b64encode(b"true").decode(),
        })),
        ("default", secret(SECRET, "Opaque")),
        ("default", secret(SECRET, "kubernetes.io/dockercfg", data={".dockercfg": EMPTY})),
        ("default", secret("registry-login")),
        ("default", {**secret(""), "metadata": {**secret("")["metadata"], "generateName": SECRET}}),
        ("default", secret("acr-credential-secret-aggregation")),
        ("default", secret(SECRET, labels={"app": "x"})),
        ("default", secret(SECRET, finalizers=["example.com/stays"])),
        ("default", secret(SECRET, ownerReferences=[ANOTHER])),
        ("default", secret(f"{NAME}-tokens", "Opaque", data={})),
        ("default", secret(f"{NAME}-webhook", "Opaque", data={})),
        (OWN, secret(f"{NAME}-credentials", "Opaque", data={})),
        (OWN, secret(f"{NAME}-tokens", "kubernetes.io/service-account-token", data={},
                     annotations={"kubernetes.io/service-account.name": "default"})),
    ],
)  # fmt: skip
def test_a_secret_that_is_none_of_its_own_is_refused(controller, namespace, document):
    controller.refused("POST", secrets(namespace), document)


def test_the_secrets_that_it_keeps_are_written_changed_and_deleted(api, controller, namespace):
    goes_with = {"ownerReferences": [owner(api)]}
    kept = PullSecret(SECRET, b'{"auths": {}}').manifest(namespace)
    kept["metadata"] |= goes_with
    controller.request("POST", secrets(namespace), kept)
    patch = [{"op": "add", "path": "/data", "value": PullSecret(SECRET, b'{"auths": {"x": {}}}').data()}]
    controller.request("PATCH", secrets(namespace, SECRET), patch, JSON_PATCH)
    controller.request("DELETE", secrets(namespace, SECRET))
    first = serving_certificates.first("x.svc", now=time.time(), lives=serving_certificates.Lifetimes())
    for document in (
        secret(f"{NAME}-tokens", "Opaque", data={"tokens.json": EMPTY}, labels=registration.OURS),
        serving_certificates.manifest(OWN, first),
    ):
        document["metadata"] |= goes_with
        made = controller.request("POST", secrets(OWN), document)
        path = secrets(OWN, document["metadata"]["name"])
        controller.request("PUT", path, made)
        api.request("DELETE", path)


def test_a_secret_of_its_name_that_is_another_ones_is_left_alone(api, controller, namespace):
    api.create(secrets(namespace), secret(SECRET, labels={"app": "x"}))
    path = secrets(namespace, SECRET)
    labels = secret(SECRET)["metadata"]["labels"]
    controller.refused("PATCH", path, {"metadata": {"labels": labels}}, MERGE)
    controller.refused("PATCH", path, {"data": {".dockerconfigjson": EMPTY}}, MERGE)
    controller.refused("DELETE", path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"finalizers": ["example.com/stays"]},
        {"ownerReferences": [ANOTHER]},
        {"labels": {f"{NAME}/pull-secret": None}},
    ],
)
def test_its_secret_is_not_made_another_ones(api, controller, namespace, metadata):
    controller.request("POST", secrets(namespace), secret(SECRET))
    controller.refused("PATCH", secrets(namespace, SECRET), {"metadata": metadata}, MERGE)


def test_what_it_writes_goes_with_no_other_clusterrole(api, controller, namespace):
    document = secret(SECRET, ownerReferences=[owner(api, f"{NAME}-webhook")])
    controller.refused("POST", secrets(namespace), document)


# ServiceAccounts.
def changed(api, namespace, **change):
    found = api.get(accounts(namespace, "default"))
    read = ChangeAccount(
        namespace, "default", found["metadata"]["resourceVersion"], "imagePullSecrets" in found, **change
    )
    return accounts(namespace, "default"), read.patch(), JSON_PATCH


def test_its_entry_comes_and_goes_and_all_else_stays(api, controller, namespace):
    before = {
        "metadata": {"name": "default", "labels": {"a": "b"}, "annotations": {"role": "x"}, "finalizers": ["a.b/c"]},
        "imagePullSecrets": [{"name": "theirs"}],
        "secrets": [{"name": "mounted"}],
        "automountServiceAccountToken": False,
    }
    api.create(accounts(namespace), before)
    controller.request("PATCH", *changed(api, namespace, add=SECRET))
    assert [each["name"] for each in api.get(accounts(namespace, "default"))["imagePullSecrets"]] == ["theirs", SECRET]
    controller.request("PATCH", *changed(api, namespace, remove=((1, SECRET),)))
    found = api.get(accounts(namespace, "default"))
    del before["metadata"]
    assert before.items() <= found.items()
    api.request("PATCH", accounts(namespace, "default"), {"metadata": {"finalizers": None}}, MERGE)


def test_no_other_field_of_a_serviceaccount_can_be_changed(api, controller, namespace, who_may_own):
    """Each that the API server's own schemas have, of the object and of its metadata, added and taken away."""
    who_may_own(CONTROLLER, controller.token)
    schemas = Schemas(api, "api/v1")
    path = accounts(namespace, "default")
    api.create(accounts(namespace), {"metadata": {"name": "default"}, "imagePullSecrets": [{"name": "theirs"}]})
    tried = [("ServiceAccount", (), field) for field in schemas.fields("ServiceAccount")]
    tried += [("ObjectMeta", ("metadata",), field) for field in schemas.fields("ObjectMeta")]
    written = set()
    for kind, where, field in tried:
        if field in ("metadata", "imagePullSecrets", "managedFields", "resourceVersion", "deletionTimestamp"):
            continue
        for value in (schemas.value(kind, field), None):
            patch = {field: value}
            for name in where:
                patch = {name: patch}
            before = bare(api.get(path))
            try:
                after = bare(api.request("PATCH", f"{path}?dryRun=All", patch, MERGE))
            except KubeError:
                continue  # the API server takes this of nobody
            if after != before:
                written.add(field)
                controller.refused("PATCH", path, patch, MERGE)
            if value is not None and after != before:
                api.request("PATCH", path, patch, MERGE)
    assert {
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "secrets",
        "automountServiceAccountToken",
    } <= written
    api.request("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)


def bare(document):
    kept = copy.deepcopy(document)
    for name in ("managedFields", "resourceVersion"):
        kept["metadata"].pop(name, None)
    return kept


def test_a_role_cannot_be_given_to_a_serviceaccount_by_an_annotation(api, controller, namespace):
    api.create(accounts(namespace), {"metadata": {"name": "default"}})
    patch = {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/admin"}}}
    controller.refused("PATCH", accounts(namespace, "default"), patch, MERGE)


def test_no_other_pull_secret_is_put_into_a_serviceaccount(api, controller, namespace):
    api.create(accounts(namespace), {"metadata": {"name": "default"}, "imagePullSecrets": [{"name": "theirs"}]})
    for entries in ([{"name": "theirs"}, {"name": "other"}], [{"name": "other"}], [{"name": SECRET}, {}]):
        controller.refused("PATCH", accounts(namespace, "default"), {"imagePullSecrets": entries}, MERGE)


# The webhook.
def hook(**change):
    """Return the configuration as the controller writes it, its one webhook with *change*."""
    spec = PullSecrets(admission=Admission(mode="webhook", failurePolicy="Ignore"))
    document = registration.manifest(spec, ServiceReference(OWN, registration.SERVICE), b"")
    document["webhooks"][0] |= change
    return document


def test_the_webhook_of_its_own_is_configured_and_taken_away(api, controller):
    document = hook(clientConfig={"service": {"namespace": OWN, "name": f"{NAME}-webhook", "path": "/", "port": 443}})
    document["metadata"]["ownerReferences"] = [owner(api)]
    made = controller.request("POST", HOOKS, document)
    controller.request("PUT", f"{HOOKS}/{CONTROLLER}", made)
    made["webhooks"][0]["clientConfig"] = {"url": "https://attacker.example.com/"}
    controller.refused("PUT", f"{HOOKS}/{CONTROLLER}", made)
    controller.request("DELETE", f"{HOOKS}/{CONTROLLER}")


def test_its_webhook_may_stop_new_serviceaccounts_and_answer_late(controller):
    """The threat model's page says so: settings may ask for both, so the policy allows them."""
    controller.request("POST", f"{HOOKS}?dryRun=All", hook(failurePolicy="Fail", timeoutSeconds=30))


SERVICE = {"namespace": OWN, "name": f"{NAME}-webhook"}
PODS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}


@pytest.mark.parametrize(
    "change",
    [
        {"clientConfig": {"url": "https://attacker.example.com/"}},
        {"clientConfig": {"service": {**SERVICE, "namespace": "default"}}},
        {"clientConfig": {"service": {**SERVICE, "name": "another"}}},
        {"rules": [PODS]},
        {"rules": [{**PODS, "resources": ["*"]}]},
        {"rules": [{**PODS, "resources": ["serviceaccounts", "serviceaccounts/token"]}]},
        {"rules": [{**PODS, "resources": ["serviceaccounts"], "operations": ["CREATE", "UPDATE"]}]},
        {"rules": [{**PODS, "resources": ["serviceaccounts"], "apiGroups": ["*"]}]},
        {"namespaceSelector": {}},
    ],
)
def test_a_webhook_that_sees_anything_else_is_refused(controller, change):
    controller.refused("POST", HOOKS, hook(**change))


def test_a_webhook_of_another_name_is_refused(controller):
    document = hook()
    document["metadata"]["name"] = "another"
    controller.refused("POST", HOOKS, document)


def test_a_second_webhook_beside_its_own_is_refused(controller):
    document = hook()
    document["webhooks"].append({**document["webhooks"][0], "name": "a.second.one", "rules": [PODS]})
    controller.refused("POST", HOOKS, document)


def test_without_the_component_there_is_no_right_to_any_webhook(tmp_path):
    rules = [
        rule
        for document in overlay(tmp_path, components=())
        for rule in document.get("rules", [])
        if "mutatingwebhookconfigurations" in rule["resources"]
    ]
    assert [(rule["verbs"], rule["resourceNames"]) for rule in rules] == [(["get", "delete"], [CONTROLLER])]


# Leases and Events.
def test_it_holds_its_own_lease_only(api, controller):
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{OWN}/leases"
    delete(api, f"{leases}/{CONTROLLER}")
    controller.refused("POST", leases, {"metadata": {"name": "kube-scheduler"}, "spec": {"holderIdentity": "x"}})
    made = controller.request("POST", leases, {"metadata": {"name": CONTROLLER}, "spec": {"holderIdentity": "x"}})
    controller.request("PUT", f"{leases}/{CONTROLLER}", made)
    made["metadata"]["finalizers"] = ["example.com/stays"]
    controller.refused("PUT", f"{leases}/{CONTROLLER}", made)
    api.request("DELETE", f"{leases}/{CONTROLLER}")


def test_it_changes_its_own_events_only(api, controller, namespace):
    events = f"/api/v1/namespaces/{namespace}/events"
    own = Event(ObjectRef("ServiceAccount", namespace, "default"), "Tried", "x", is_warning=False).manifest(
        "2026-01-02T03:04:05Z"
    )
    controller.request("POST", events, own)
    controller.request("PATCH", f"{events}/{own['metadata']['name']}", {"count": 2}, MERGE)
    theirs = {**own, "metadata": {"name": "theirs", "namespace": namespace}, "source": {"component": "kubelet"}}
    controller.refused("POST", events, theirs)
    api.create(events, theirs)
    for patch in ({"message": "all is well"}, {"source": {"component": CONTROLLER}}):
        controller.refused("PATCH", f"{events}/theirs", patch, MERGE)


# Wherever it runs.
def test_a_controller_that_an_overlay_moved_to_another_namespace_is_bound_there(api, applied, controller):
    elsewhere = api.namespace(f"tools-{next(NUMBERS)}")
    api.create(accounts(elsewhere), {"metadata": {"name": CONTROLLER}})
    subject = {"kind": "ServiceAccount", "name": CONTROLLER, "namespace": elsewhere}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": CONTROLLER}
    bindings = f"/apis/{RBAC}/clusterrolebindings"
    api.create(bindings, {"metadata": {"name": elsewhere}, "roleRef": role, "subjects": [subject]})
    moved = Caller(api, namespace=elsewhere)
    moved.request("POST", secrets(elsewhere), secret(f"{NAME}-tokens", "Opaque", data={}))
    moved.refused("POST", secrets(OWN), secret(f"{NAME}-tokens", "Opaque", data={}))
    api.request("DELETE", f"{bindings}/{elsewhere}")


@pytest.fixture
def as_the_helper(api, applied, controller, tmp_path):
    """The rights and the policy under the ServiceAccount that RRSA's trust policies name."""
    documents = overlay(tmp_path, base="pull-secrets-as-acr-credential-helper")
    before = {document["kind"] + document["metadata"]["name"]: document for document in applied}

    def put(documents):
        for document in documents:
            path = f"{collection(document)}/{document['metadata']['name']}"
            try:
                version = api.get(path)["metadata"]["resourceVersion"]
            except KubeError:
                api.create(collection(document), document)
                continue
            api.request("PUT", path, {**document, "metadata": {**document["metadata"], "resourceVersion": version}})

    put(documents)
    yield documents
    put([before[key] for document in documents if (key := document["kind"] + document["metadata"]["name"]) in before])
    api.request("DELETE", accounts(OWN, HELPER))


def pod(api, name):
    spec = {"serviceAccountName": HELPER, "containers": [{"name": "x", "image": "x"}]}
    return api.create(f"/api/v1/namespaces/{OWN}/pods", {"metadata": {"name": name}, "spec": spec})


def test_under_the_helpers_serviceaccount_ours_is_bound_and_the_helper_is_not(api, as_the_helper, namespace):
    ours = Caller(api, HELPER, pod=pod(api, f"{CONTROLLER}-5d8f-x"))
    without_pod = Caller(api, HELPER)
    theirs = Caller(api, HELPER, pod=pod(api, f"{HELPER}-6c7b-y"))
    await_policy(ours)
    for caller in (ours, without_pod):
        caller.refused("POST", secrets(namespace), secret("acr-credential-secret-aggregation"))
    theirs.request("POST", secrets(namespace), secret("acr-credential-secret-aggregation"))
    api.request("DELETE", secrets(namespace, "acr-credential-secret-aggregation"))
    webhook = hook(clientConfig={"service": {**SERVICE, "path": "/", "port": 443}})
    ours.request("POST", f"{HOOKS}?dryRun=All", webhook)
