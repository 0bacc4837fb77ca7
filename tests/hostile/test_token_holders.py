"""The holder of the reporter's token, and of the controller's, tries everything that an API server offers.

What the policies compare field by field is in controller/test_own_node_only.py and controller/test_own_objects_only.py.
"""

from __future__ import annotations

import itertools
import json

import pytest
from cluster.kube import KubeError
from hostile.attacks import Attacks
from hostile.seats.cluster import BYSTANDER, CONTROLLER, HOOKS, MERGE, NAME, OWN, RBAC, SECRET, Caller, names

REPORTER = Attacks("Reporter")
HOLDER = Attacks("Controller")
NUMBERS = itertools.count(1)
FORBIDDEN = "the API server refuses it; nothing changes"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{OWN}/leases"
KUBE = "system:masters"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
CLUSTER_ROLE = {"metadata": {"name": "mine"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}


@pytest.fixture
def reporter(cluster):
    """The reporter of a node of its own, with the token that the kubelet would give its Pod."""
    node = f"node-{next(NUMBERS)}"
    cluster.api.create("/api/v1/nodes", {"metadata": {"name": node}})
    cluster.before = cluster._state()
    return as_pod(cluster, NAME, node)


@pytest.fixture
def holder(cluster):
    return Caller(cluster, OWN, CONTROLLER)


def as_pod(cluster, account, node):
    """Return who signs in with the token of a Pod with *account* on *node*."""
    spec = {"nodeName": node, "serviceAccountName": account, "containers": [{"name": "x", "image": "x"}]}
    name = f"mine-{next(NUMBERS)}"
    pod = cluster.api.create(f"/api/v1/namespaces/{OWN}/pods", {"metadata": {"name": name}, "spec": spec})
    caller = Caller(cluster, OWN, account, pod)
    caller.node = node
    return caller


def everything(cluster):
    """Yield each resource of this API server: its path in `OWN` or of the cluster, and the verbs that it knows."""
    groups = [f"/apis/{each['preferredVersion']['groupVersion']}" for each in cluster.api.get("/apis")["groups"]]
    for group in ("/api/v1", *groups):
        for each in cluster.api.get(group)["resources"]:
            if "/" not in each["name"] and not each["name"].startswith("self"):
                where = f"{group}/namespaces/{OWN}" if each["namespaced"] else group
                yield f"{where}/{each['name']}", set(each["verbs"])


def tried(caller, verb, allowed):
    """Try *verb* on one object of each resource; return how many were refused. *allowed* are those that are granted."""
    done = 0
    for path, verbs in everything(caller.cluster):
        if verb not in verbs:
            continue
        one = f"{path}/mine"
        method, target = {
            "get": ("GET", one),
            "list": ("GET", path),
            "watch": ("GET", f"{path}?watch=1&timeoutSeconds=1"),
            "create": ("POST", f"{path}?dryRun=All"),
            "update": ("PUT", f"{one}?dryRun=All"),
            "patch": ("PATCH", f"{one}?dryRun=All"),
            "delete": ("DELETE", f"{one}?dryRun=All"),
            "deletecollection": ("DELETE", f"{path}?dryRun=All"),
        }[verb]
        if (verb, path.rpartition("/")[2]) in allowed:
            continue
        caller.refused(
            method,
            target,
            {"metadata": {"name": "mine"}} if method in ("POST", "PUT") else {},
            MERGE if method == "PATCH" else "application/json",
        )
        done += 1
    return done


RIGHTS = "use other rights"
EVERYBODYS = {(verb, "clustertrustbundles") for verb in ("get", "list", "watch")}
"""What the API server lets every ServiceAccount do: CA certificates are public (Kubernetes 1.37 and newer)."""
MAY_REPORT = EVERYBODYS | {("get", "nodes")}
MAY_CONTROL = EVERYBODYS | {(verb, "namespaces") for verb in ("get", "list", "watch")}
MAY_CONTROL |= {(verb, "serviceaccounts") for verb in ("get", "list", "watch", "patch")}
CREATED = ("secrets", "events", "leases", "mutatingwebhookconfigurations", "pullsecretselections")
MAY_CONTROL |= {("create", each) for each in CREATED}
MAY_CONTROL |= {("get", "events"), ("patch", "events")}


@REPORTER.tries(
    RIGHTS, "the reporter's token: {} of one object of every kind that the API server has", must=FORBIDDEN, each=VERBS
)
def every_kind_of_object_with_the_reporter_s_token(reporter, verb):
    return f"{tried(reporter, verb, MAY_REPORT)} kinds, all refused"


@HOLDER.tries(
    "read other Secrets",
    "the controller's token: {} of one object of every kind that the API server has",
    must=FORBIDDEN,
    each=VERBS,
)
def every_kind_of_object_with_the_controller_s_token(holder, verb):
    return f"{tried(holder, verb, MAY_CONTROL)} kinds, all refused"


ESCALATIONS = {
    "a ClusterRole of everything": ("POST", f"{RBAC}/clusterroles", CLUSTER_ROLE),
    "a binding to cluster-admin": (
        "POST",
        f"{RBAC}/clusterrolebindings",
        {
            "metadata": {"name": "mine"},
            "roleRef": {"kind": "ClusterRole", "name": "cluster-admin", "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": OWN}],
        },
    ),
    "more rights in a Role of its own release": (
        "PATCH",
        f"{RBAC}/namespaces/{OWN}/roles/{NAME}-slots",
        {"rules": CLUSTER_ROLE["rules"]},
        MERGE,
    ),
    "the token of another ServiceAccount": (
        "POST",
        f"/api/v1/namespaces/{OWN}/serviceaccounts/default/token",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": []},
        },
    ),
    "a longer token of its own": (
        "POST",
        f"/api/v1/namespaces/{OWN}/serviceaccounts/{NAME}/token",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [], "expirationSeconds": 31536000},
        },
    ),
    "a certificate of system:masters": (
        "POST",
        "/apis/certificates.k8s.io/v1/certificatesigningrequests",
        {
            "metadata": {"name": "mine"},
            "spec": {"request": "eA==", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]},
        },
    ),
    "a Pod with the host's files": (
        "POST",
        f"/api/v1/namespaces/{OWN}/pods",
        {
            "metadata": {"name": "mine"},
            "spec": {"hostPID": True, "containers": [{"name": "x", "image": "x"}]},
        },
    ),
    "a shell in a Pod of the control plane": (
        "POST",
        f"/api/v1/namespaces/{OWN}/pods/mine-1/exec?command=sh&container=x",
        {},
    ),
    "a node's kubelet by its proxy": ("GET", "/api/v1/nodes/node-1/proxy/pods"),
    "a Service by its proxy": ("GET", f"/api/v1/namespaces/{OWN}/services/{NAME}-webhook/proxy/"),
    "an API server of its own": (
        "POST",
        "/apis/apiregistration.k8s.io/v1/apiservices",
        {
            "metadata": {"name": "v1.mine.example"},
            "spec": {
                "group": "mine.example",
                "version": "v1",
                "groupPriorityMinimum": 1,
                "versionPriority": 1,
                "insecureSkipTLSVerify": True,
                "service": {"namespace": BYSTANDER, "name": "x"},
            },
        },
    ),
    "a validating webhook that sees all Secrets": (
        "POST",
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        {
            "metadata": {"name": "mine"},
            "webhooks": [],
        },
    ),
    "the policy's end": (
        "DELETE",
        f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{NAME}-own-node",
    ),
    "the other policy's end": (
        "DELETE",
        f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{CONTROLLER}-own-objects",
    ),
    "the policies' bindings' end": (
        "DELETE",
        f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/{NAME}-own-node",
    ),
    "the settings": (
        "PATCH",
        f"/api/v1/namespaces/{OWN}/configmaps/{NAME}-pull-secrets-settings",
        {"data": {"settings.yaml": "x"}},
        MERGE,
    ),
    "the API server's metrics": ("GET", "/metrics"),
    "the API server's configuration": ("GET", "/configz"),
    "the API server's memory": ("GET", "/debug/pprof/heap"),
    "logs of the control plane's host": ("GET", "/logs/kube-apiserver.log"),
    "who may do what": (
        "POST",
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": "admin", "nonResourceAttributes": {"path": "/", "verb": "get"}},
        },
    ),
    "whose a token is": (
        "POST",
        "/apis/authentication.k8s.io/v1/tokenreviews",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": "x"},
        },
    ),
}


@REPORTER.tries(RIGHTS, "the reporter's token asks for {}", must=FORBIDDEN, each=ESCALATIONS)
def an_escalation_with_the_reporter_s_token(reporter, request):
    return reporter.refused(*request)


@HOLDER.tries(
    "get another ServiceAccount's token through a Secret of type `service-account-token`",
    "the controller's token asks for {}",
    must=FORBIDDEN,
    each=ESCALATIONS,
)
def an_escalation_with_the_controller_s_token(holder, request):
    return holder.refused(*request)


@REPORTER.tries(
    RIGHTS,
    "the reporter's token impersonates {}",
    must=FORBIDDEN,
    each={
        "system:masters": {"Impersonate-User": "admin", "Impersonate-Group": KUBE},
        "a node": {"Impersonate-User": "system:node:node-1", "Impersonate-Group": "system:nodes"},
        "the controller": {"Impersonate-User": f"system:serviceaccount:{OWN}:{CONTROLLER}"},
        "itself, on another node": {
            "Impersonate-User": f"system:serviceaccount:{OWN}:{NAME}",
            "Impersonate-Extra-authentication.kubernetes.io%2fnode-name": "node-1",
        },
    },
)
def an_impersonation(reporter, headers):
    status, text = reporter.send("GET", f"/api/v1/namespaces/{OWN}/secrets", headers)
    assert status == 403, text
    return f"{status} {text[:120]}"


@REPORTER.tries(
    "write about another node", "the token of a Pod {}", must=FORBIDDEN, each=["without a node", "bound to nothing"]
)
def a_token_without_a_node(reporter, case):
    caller = Caller(reporter.cluster, OWN, NAME)
    if case == "without a node":
        spec = {"serviceAccountName": NAME, "containers": [{"name": "x", "image": "x"}]}
        pod = reporter.cluster.api.create(
            f"/api/v1/namespaces/{OWN}/pods", {"metadata": {"name": f"mine-{next(NUMBERS)}"}, "spec": spec}
        )
        caller = Caller(reporter.cluster, OWN, NAME, pod)
    condition = {"type": "ACRCredentialProviderReady", "status": "False", "reason": "X", "message": "x"}
    patch = {"status": {"conditions": [condition]}}
    return caller.refused(
        "PATCH", f"/api/v1/nodes/{reporter.node}/status", patch, "application/strategic-merge-patch+json"
    )


PATCHES = {
    "a label": {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}},
    "a taint's end": {"spec": {"taints": []}},
    "the kubelet's port": {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 31337}}}},
    "an address of its own": {"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}},
    "images that are said to be there": {
        "status": {"images": [{"names": ["registry.example.com/x@sha256:" + "0" * 64], "sizeBytes": 1}]}
    },
    "more CPUs than there are": {"status": {"capacity": {"cpu": "10000"}, "allocatable": {"cpu": "10000"}}},
    "a Ready condition": {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
}


@REPORTER.tries(
    "change labels, taints, addresses, the kubelet's port, images or the status of a Node",
    "{}, on its own node, hidden beside a condition of its own",
    must=FORBIDDEN,
    each=PATCHES,
)
def a_field_beside_the_condition(reporter, patch):
    patch = json.loads(json.dumps(patch))
    ours = {"type": "ACRCredentialProviderReady", "status": "True", "reason": "Installed", "message": "x"}
    patch.setdefault("status", {}).setdefault("conditions", []).append(ours)
    path = f"/api/v1/nodes/{reporter.node}"
    before = reporter.cluster.api.get(path)
    if "spec" in patch:
        reporter.request("PATCH", f"{path}/status", patch, MERGE)  # the API server leaves spec out of a write of status
        assert reporter.cluster.api.get(path)["spec"] == before["spec"]
        patch = {"spec": patch["spec"]}
        return reporter.refused("PATCH", path, patch, MERGE)
    return reporter.refused("PATCH", f"{path}/status", patch, MERGE)


@REPORTER.tries(
    "hold a restart Lease in another node's name, change its owner",
    "{}",
    must=FORBIDDEN,
    each={
        "it takes the Lease in another node's name": {"holderIdentity": "node-another"},
        "it takes the Lease in the name of its node and another": {"holderIdentity": "{node}\nnode-another"},
        "it takes the Lease in a name that begins like its node's": {"holderIdentity": "{node}0"},
        "it takes the Lease in its node's name in capitals": {"holderIdentity": "{NODE}"},
    },
)
def a_lease_in_another_name(reporter, spec):
    path = f"{LEASES}/{NAME}-slot-0"
    found = reporter.request("GET", path)
    names = {"node": reporter.node, "NODE": reporter.node.upper()}
    spec = {**found.get("spec", {}), **{name: value.format(**names) for name, value in spec.items()}}
    return reporter.refused("PUT", path, {**found, "spec": spec})


@REPORTER.tries(
    "stop the rollout, or clear what another node rejected",
    "{}",
    must=FORBIDDEN,
    each={
        "it rejects in another node's name": {f"rejected.{NAME}/0123": "node-another: x"},
        "it rejects in a name that begins like its node's": {f"rejected.{NAME}/0123": "{node}0: x"},
        "it writes another annotation": {"operator.example.com/stop": "yes"},
    },
)
def a_rejection_in_another_name(reporter, annotations):
    path = f"{LEASES}/{NAME}-rollout"
    found = reporter.request("GET", path)
    annotations = {name: value.format(node=reporter.node) for name, value in annotations.items()}
    metadata = {**found["metadata"], "annotations": {**found["metadata"].get("annotations", {}), **annotations}}
    return reporter.refused("PUT", path, {**found, "metadata": metadata})


# The controller's own.
@HOLDER.tries(
    "get another ServiceAccount's token through a Secret of type `service-account-token`",
    "it creates a Secret: {}",
    must=FORBIDDEN,
    each={
        "a ServiceAccount's token, by its own name": (
            OWN,
            SECRET,
            "kubernetes.io/service-account-token",
            {"kubernetes.io/service-account.name": "default"},
        ),
        "a ServiceAccount's token in team-b": (
            BYSTANDER,
            f"{SECRET}-2",
            "kubernetes.io/service-account-token",
            {"kubernetes.io/service-account.name": "default"},
        ),
        "a bootstrap token": (OWN, "bootstrap-token-abcdef", "bootstrap.kubernetes.io/token", {}),
        "a Helm release": (OWN, "sh.helm.release.v1.acr.v1", "helm.sh/release.v1", {}),
        "one of its own name and another type": (OWN, SECRET, "Opaque", {}),
    },
)
def a_secret_of_another_kind(holder, given):
    namespace, name, kind, annotations = given
    labels = {f"{NAME}/pull-secret": "true"}
    document = {
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "type": kind,
        "stringData": {"x": "y"},
    }
    return holder.refused("POST", f"/api/v1/namespaces/{namespace}/secrets", document)


@HOLDER.tries(
    "give a cloud role to a ServiceAccount, or change it otherwise",
    "it patches team-b's ServiceAccount: {}",
    must=FORBIDDEN,
    each={
        "a cloud role": {"metadata": {"annotations": {"pod-identity.alibabacloud.com/role-name": "admin"}}},
        "another pull secret": {"imagePullSecrets": [{"name": "theirs"}]},
        "its own entry and another": {"imagePullSecrets": [{"name": SECRET}, {"name": "theirs"}]},
        "Secrets to mount": {"secrets": [{"name": "theirs"}]},
        "no token for its Pods": {"automountServiceAccountToken": False},
        "a finalizer": {"metadata": {"finalizers": ["example.com/stays"]}},
        "a label that takes it out": {"metadata": {"labels": {f"{NAME}/pull-secrets": "disabled"}}},
    },
)
def a_field_of_a_serviceaccount(holder, patch):
    account = holder.cluster.new_account()["metadata"]["name"]
    return holder.refused("PATCH", f"/api/v1/namespaces/{BYSTANDER}/serviceaccounts/{account}", patch, MERGE)


@HOLDER.tries(
    "register a webhook of its own",
    "it changes its webhook: {}",
    must=FORBIDDEN,
    each={
        "to a host of his": {"clientConfig": {"url": "https://attacker.example/"}},
        "to a Service of his": {"clientConfig": {"service": {"namespace": BYSTANDER, "name": "x"}}},
        "for Pods too": {
            "rules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["serviceaccounts", "pods"],
                }
            ]
        },
        "for kube-system too": {"namespaceSelector": {}},
        "a second one that sees Secrets": None,
    },
)
def a_webhook_that_sees_more(holder, change):
    found = holder.request("GET", f"{HOOKS}/{CONTROLLER}")
    (hook,) = found["webhooks"]
    of_secrets = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}]
    second = {**hook, "name": "a.second.one", "rules": of_secrets}
    hooks = [hook, second] if change is None else [{**hook, **change}]
    if change and "clientConfig" in change:
        hooks[0]["clientConfig"] = {**change["clientConfig"], "caBundle": hook["clientConfig"]["caBundle"]}
    return holder.refused("PUT", f"{HOOKS}/{CONTROLLER}", {**found, "webhooks": hooks})


POLICIES = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies"
KINDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "pull-secrets.aliyun-acr-credential-provider"
SELECTIONS = f"/apis/{GROUP}/v1/namespaces/{{}}/pullsecretselections"
SELECTION = {
    "apiVersion": f"{GROUP}/v1",
    "kind": "PullSecretSelection",
    "metadata": {"name": CONTROLLER},
    "spec": {
        "secretName": "theirs",
        "namespaces": {"names": [], "pattern": ".*", "labels": [], "annotations": []},
        "excludedNamespaces": {"names": [], "pattern": "^ $"},
        "serviceAccounts": {"names": [], "pattern": ".*", "labels": [], "annotations": []},
    },
}
"""The policy's parameter: another Secret, for all namespaces."""
CHANGE_BY_POLICY = "change other objects by an admission policy"


@HOLDER.tries(
    CHANGE_BY_POLICY,
    "its token: {}",
    must=FORBIDDEN,
    each={
        "its policy changes Pods": (
            "PATCH",
            f"{POLICIES}/{CONTROLLER}",
            {"spec": {"matchConstraints": {"resourceRules": []}}},
            MERGE,
        ),
        "its policy is bound to all namespaces": (
            "PATCH",
            f"{POLICIES.replace('policies', 'policybindings')}/{CONTROLLER}",
            {"spec": {"paramRef": None}},
            MERGE,
        ),
        "its policy goes": ("DELETE", f"{POLICIES}/{CONTROLLER}"),
        "a policy of another name": ("POST", POLICIES, {"metadata": {"name": "mine"}}),
        "a policy that lets itself through": (
            "DELETE",
            f"{POLICIES.replace('mutating', 'validating')}/{CONTROLLER}-own-objects",
        ),
        "a parameter in team-b": ("POST", SELECTIONS.format(BYSTANDER), SELECTION),
        "the kind of the parameter": (
            "PATCH",
            f"{KINDS}/pullsecretselections.{GROUP}",
            {"metadata": {"labels": {"x": "y"}}},
            MERGE,
        ),
    },
)
def a_policy_that_does_more(holder, words):
    return holder.refused(*words)


@HOLDER.tries(
    CHANGE_BY_POLICY,
    "its token: the parameter means all namespaces and another Secret",
    must="nothing but new ServiceAccounts changes, and none of kube-system",
)
def a_parameter_that_means_everything(holder):
    cluster, mine = holder.cluster, holder.cluster.mine()
    holder.request("POST", SELECTIONS.format(OWN), SELECTION)
    try:
        cluster.until(lambda: "theirs" in names(cluster.new_account(mine)), "the policy")
        account = cluster.new_account(OWN)
        config_map = {"metadata": {"name": f"build-{next(NUMBERS)}"}, "data": {"x": "y"}}
        made = cluster.api.create(f"/api/v1/namespaces/{mine}/configmaps", config_map)
    finally:
        cluster.api.request("DELETE", f"{SELECTIONS.format(OWN)}/{CONTROLLER}")
    assert names(account) == []
    assert made["data"] == config_map["data"]
    # API servers go by what they have seen; nobody else's account is to be made before that.
    cluster.until(lambda: "theirs" not in names(cluster.new_account(mine)), "an end of the policy")
    return "new ServiceAccounts of other namespaces name a Secret of their own namespace"


@HOLDER.tries(
    "keep objects from being deleted",
    "it makes team-b's pull secret another owner's: {}",
    must=FORBIDDEN,
    each={
        "a finalizer": {"finalizers": ["example.com/stays"]},
        "a ConfigMap that is gone": {
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0"}]
        },
    },
)
def an_owner_of_another_kind(holder, metadata):
    return holder.refused("PATCH", f"/api/v1/namespaces/{BYSTANDER}/secrets/{SECRET}", {"metadata": metadata}, MERGE)


@HOLDER.tries("forge Events", "it writes an Event in the kubelet's name", must=FORBIDDEN)
def an_event_in_another_name(holder):
    event = {
        "metadata": {"name": "mine", "namespace": BYSTANDER},
        "source": {"component": "kubelet"},
        "reason": "Evicted",
        "message": "x",
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "x", "namespace": BYSTANDER},
    }
    return holder.refused("POST", f"/api/v1/namespaces/{BYSTANDER}/events", event)


@pytest.mark.parametrize("attack", REPORTER, ids=str)
def test_the_holder_of_the_reporter_s_token_gets_nothing(attack, cluster, reporter):
    attack.carry_out(reporter)


@pytest.mark.parametrize("attack", HOLDER, ids=str)
def test_the_holder_of_the_controller_s_token_gets_nothing(attack, cluster, holder):
    attack.carry_out(holder)


def test_what_is_refused_to_them_is_done_for_an_administrator(cluster):
    """So the refusals above are those of rights and policies, not of requests that nobody may make."""
    statuses = []
    for method, path, *rest in ESCALATIONS.values():
        if method == "POST" and "dryRun" not in path and "exec" not in path:
            try:
                cluster.api.request(method, f"{path}?dryRun=All", *rest)
            except KubeError as error:
                statuses.append(error.status)
    assert not {401, 403} & set(statuses)
