"""A tenant who may edit one namespace, on a real API server with the frozen controller."""

from __future__ import annotations

import base64

import pytest
from cluster.kube import KubeError
from hostile.attacks import Attacks
from hostile.seats.cluster import BYSTANDER, MERGE, OWN, SECRET, Caller

ATTACKS = Attacks("Tenant with edit in a namespace")
RBAC = "/apis/rbac.authorization.k8s.io/v1"
OTHERS = "the others are served as before; the controller goes on"


class Tenant(Caller):
    """Who may edit `namespace`, and signs in with the token of a ServiceAccount there."""

    def __init__(self, cluster):
        namespace = cluster.mine()
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        cluster.api.create(path, {"metadata": {"name": "tenant"}})
        for part in ("edit", "view"):  # what those roles are made of: no controller does that here
            role = {
                "kind": "ClusterRole",
                "name": f"system:aggregate-to-{part}",
                "apiGroup": "rbac.authorization.k8s.io",
            }
            subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": namespace}
            body = {"metadata": {"name": part}, "roleRef": role, "subjects": [subject]}
            cluster.api.create(f"{RBAC}/namespaces/{namespace}/rolebindings", body)
        super().__init__(cluster, namespace, "tenant")
        cluster.until(lambda: self.allows("GET", f"/api/v1/namespaces/{namespace}/secrets"), "his rights")

    def allows(self, *words):
        try:
            self.request(*words)
        except KubeError:
            return False
        finally:
            self.cluster.heard.clear()  # his own namespace's logins are his to read
        return True

    def at(self, plural, name=""):
        return f"/api/v1/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def secret(self):
        return self.cluster.find(self.at("secrets", SECRET))

    def await_secret(self):
        self.cluster.until(self.secret, "his pull secret")
        return self.secret()


@pytest.fixture
def tenant(cluster):
    return Tenant(cluster)


@ATTACKS.tries(
    "read tokens from the namespace's pull secret",
    "he reads {}",
    must="the API server refuses it",
    each={
        "team-b's pull secret": f"/api/v1/namespaces/{BYSTANDER}/secrets/{SECRET}",
        "all pull secrets": f"/api/v1/secrets?fieldSelector=metadata.name={SECRET}",
        "the controller's tokens": f"/api/v1/namespaces/{OWN}/secrets/aliyun-acr-credential-provider-tokens",
        "the webhook's key": f"/api/v1/namespaces/{OWN}/secrets/aliyun-acr-credential-provider-webhook",
        "the settings": f"/api/v1/namespaces/{OWN}/configmaps/aliyun-acr-credential-provider-pull-secrets-settings",
    },
)
def secrets_of_others(tenant, path):
    return tenant.refused("GET", path)


@ATTACKS.tries(
    "request another instance",
    "he annotates {} with a request for another instance",
    must="it is refused or changes nothing",
    each=["his namespace", "his ServiceAccount", "a Pod"],
)
def a_request_for_another_instance(tenant, case):
    annotations = {
        f"k8s.aliyun.com/acr-{key}": value
        for key, value in {
            "instance-id": "cri-another",
            "instance-ids": "cri-another",
            "service-domain": "x.example",
        }.items()
    }
    before = tenant.await_secret()["data"]
    if case == "his namespace":
        return tenant.refused(
            "PATCH", f"/api/v1/namespaces/{tenant.namespace}", {"metadata": {"annotations": annotations}}, MERGE
        )
    body = {"metadata": {"name": "asks", "annotations": annotations}}
    if case == "a Pod":
        body["spec"] = {"containers": [{"name": "x", "image": "x"}]}
    tenant.request("POST", tenant.at("pods" if case == "a Pod" else "serviceaccounts"), body)
    assert tenant.secret()["data"] == before
    return "his pull secret is as it was"


@ATTACKS.tries(
    "change or block the pull secret",
    "he {}",
    must=OTHERS,
    each={
        "puts a login of his into it": {
            "data": {".dockerconfigjson": base64.b64encode(b'{"auths":{"x":{"auth":"eDp5"}}}').decode()}
        },
        "fills it up to a megabyte": {
            "metadata": {"annotations": {"x": "y" * 250_000}},
            "data": {"x": "eA==" * 180_000},
        },
        "takes its labels": {"metadata": {"labels": None}},
        "makes it immutable": {"immutable": True},
        "gives it a finalizer": {"metadata": {"finalizers": ["example.com/stays"]}},
        "gives it an owner that is gone": {
            "metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "0"}]}
        },
        "annotates it with lines of a log's": {"metadata": {"annotations": {"x": '\n{"level":"error"}\u001b[2J'}}},
    },
)
def a_change_of_the_pull_secret(tenant, patch):
    was = tenant.await_secret()
    try:
        tenant.request("PATCH", tenant.at("secrets", SECRET), patch, MERGE)
    except KubeError as error:
        return f"refused: {str(error)[:100]}"
    finally:
        tenant.cluster.heard.clear()
    if "data" in patch:
        tenant.cluster.until(lambda: tenant.secret()["data"] == was["data"], "the repair")
        return "it was put right"
    return "it is there"


@ATTACKS.tries(
    "change or block the pull secret",
    "in a new namespace he is first with {} of that name",
    must=OTHERS,
    each={
        "an Opaque Secret": {"type": "Opaque", "stringData": {"x": "y"}},
        "a token's Secret": {
            "type": "kubernetes.io/service-account-token",
            "annotations": {"kubernetes.io/service-account.name": "tenant"},
        },
        "a pull secret without our label": {
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": '{"auths":{}}'},
        },
        "a pull secret that has our label": {
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": '{"auths":{}}'},
            "labels": {"aliyun-acr-credential-provider/pull-secret": "true"},
        },
    },
)
def a_secret_in_the_way(tenant, given):
    tenant.await_secret()
    metadata = {"name": SECRET, "labels": given.get("labels", {}), "annotations": given.get("annotations", {})}
    document = {"metadata": metadata, "type": given["type"], "stringData": given.get("stringData", {})}
    for _ in range(20):  # the controller makes its own again, as fast as it hears of it
        tenant.allows("DELETE", tenant.at("secrets", SECRET))
        if tenant.allows("POST", tenant.at("secrets"), document):
            break
    return f"the Secret there is of type {tenant.secret()['type']}"


@ATTACKS.tries(
    "wear the controller out with its own objects",
    "{}",
    must=OTHERS,
    each=[
        "two hundred ServiceAccounts",
        "ServiceAccounts with a thousand pull secrets each",
        "a ServiceAccount that changes two hundred times",
        "ServiceAccounts with annotations of 250 KB",
        "a quota of no Secrets",
        "his pull secret is deleted fifty times",
        "ServiceAccounts whose entries are no names",
    ],
)
def a_flood_of_objects(tenant, case):
    accounts = tenant.at("serviceaccounts")
    if case == "a quota of no Secrets":
        tenant.cluster.api.create(
            tenant.at("resourcequotas"), {"metadata": {"name": "none"}, "spec": {"hard": {"count/secrets": "0"}}}
        )
    elif case.startswith("his pull secret"):
        for _ in range(50):
            tenant.allows("DELETE", tenant.at("secrets", SECRET))
    elif case.startswith("a ServiceAccount"):
        tenant.request("POST", accounts, {"metadata": {"name": "busy"}})
        for number in range(200):
            tenant.request(
                "PATCH",
                f"{accounts}/busy",
                {"metadata": {"annotations": {"n": str(number)}}, "imagePullSecrets": []},
                MERGE,
            )
    else:
        count = 200 if case.startswith("two") else 5
        more = {}
        if "thousand" in case:
            more["imagePullSecrets"] = [{"name": f"s-{number}"} for number in range(1000)]
        if "no names" in case:
            more["imagePullSecrets"] = [
                {},
                {"name": ""},
                {"name": "../../x"},
                {"name": '\u001b[31mred\n{"level":"error"}'},
                {"name": "x" * 5000},
            ]
        annotations = {"x": "y" * 250_000} if "250" in case else {}
        for number in range(count):
            tenant.request(
                "POST", accounts, {"metadata": {"name": f"many-{number}", "annotations": annotations}, **more}
            )
    tenant.cluster.heard.clear()
    return "team-b's new ServiceAccount had its entry at once"


@ATTACKS.tries(
    "change or block the pull secret", "he deletes his namespace while it is written to, again and again", must=OTHERS
)
def a_namespace_that_goes(tenant):
    for _ in range(5):
        name = tenant.cluster.mine()
        tenant.cluster.api.request("DELETE", f"/api/v1/namespaces/{name}")
    return "the controller goes on"


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_a_tenant_gets_nothing_of_others_in_the_cluster(attack, tenant):
    attack.carry_out(tenant)
