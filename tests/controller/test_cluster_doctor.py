"""`doctor --cluster` against a real API server, as somebody who may read all but Secrets, and write nothing."""

import json

import pytest
from support import harness

SECRET = "CANARYSECRET"
IMAGE = "demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app:1"
ELSEWHERE = "demo-registry.cn-beijing.cr.aliyuncs.com/team/app:1"
INFO = '- instanceId: "cri-a"\n  regionId: "cn-hangzhou"\n'
CONFIG = "/api/v1/namespaces/kube-system/configmaps"
READER = "doctor"


@pytest.fixture(scope="module")
def reader(api):
    """The kubeconfig of somebody who may get and list what the doctor looks at."""
    rules = [
        {
            "apiGroups": ["", "apps"],
            "resources": [
                "configmaps",
                "deployments",
                "events",
                "namespaces",
                "nodes",
                "pods",
                "serviceaccounts",
            ],
            "verbs": ["get", "list"],
        }
    ]
    role = {"metadata": {"name": READER}, "rules": rules}
    binding = {
        "metadata": {"name": READER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": READER},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": READER}],
    }
    for plural, document in (("clusterroles", role), ("clusterrolebindings", binding)):
        api.create(f"/apis/rbac.authorization.k8s.io/v1/{plural}", document)
    return api.kubeconfig(READER)


@pytest.fixture
def configure(api):
    """Put the ConfigMap into the cluster; it is gone afterwards."""

    def put(**data):
        api.create(CONFIG, {"metadata": {"name": "acr-configuration"}, "data": data})

    yield put
    api.request("DELETE", f"{CONFIG}/acr-configuration")


@pytest.fixture(params=[harness.source, harness.controller], ids=["source", "frozen"])
def doctor(request, reader, tmp_path):
    program = request.param(tmp_path / "settings.yaml", tmp_path / "cache")

    def run(*words, kubeconfig=reader):
        ended = program.run(b"", "doctor", "--cluster", "--kubeconfig", str(kubeconfig), "--output", "json", *words)
        assert SECRET.encode() not in ended.stdout + ended.stderr
        assert ended.stderr == b"", ended.stderr
        steps = {each["name"]: each for each in ended.document["checks"]}
        for each in ended.document["checks"]:
            if each["status"] == "failed":  # it counts for more than a warning of the same check
                steps[each["name"]] = each
        return ended.code, steps

    return run


@pytest.fixture
def failing_pod(api):
    """Make Pods that cannot pull; they are gone afterwards, for one cluster serves all tests."""
    made = []

    def make(namespace, image, *secrets, name="app", account="default"):
        pod = {
            "metadata": {"name": name},
            "spec": {
                "serviceAccountName": account,
                "imagePullSecrets": [{"name": each} for each in secrets],
                "containers": [{"name": "app", "image": image}],
            },
        }
        path = f"/api/v1/namespaces/{namespace}/pods"
        api.create(path, pod)
        made.append(f"{path}/{name}")
        waiting = {"waiting": {"reason": "ImagePullBackOff", "message": SECRET}}
        status = {"name": "app", "image": image, "imageID": "", "ready": False, "restartCount": 0, "state": waiting}
        patch = {"status": {"containerStatuses": [status]}}
        api.request("PATCH", f"{path}/{name}/status", patch, "application/merge-patch+json")

    yield make
    for path in made:
        api.request("DELETE", f"{path}?gracePeriodSeconds=0")


def account(api, namespace, *secrets):
    document = {"metadata": {"name": "default"}, "imagePullSecrets": [{"name": each} for each in secrets]}
    api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", document)


def test_the_cause_of_each_failing_pull_is_found_on_a_real_cluster(api, doctor, configure, failing_pod, namespace):
    others = [api.namespace(f"{namespace}-{word}") for word in ("early", "unlisted")]
    configure(**{"acr-registry-info": INFO, "watch-namespace": f"{namespace},{others[0]}"})
    account(api, namespace, "acr-credential-aliyun")
    account(api, others[0], "acr-credential-aliyun")
    failing_pod(namespace, IMAGE, "acr-credential-aliyun", name="denied")
    failing_pod(namespace, IMAGE, "mine", name="own-list")
    failing_pod(namespace, ELSEWHERE, name="elsewhere")
    failing_pod(others[0], IMAGE, name="early")
    failing_pod(others[1], IMAGE, name="unlisted")
    code, found = doctor()
    assert code == 1
    causes = {
        name: f"{each.get('location', '')}: {each['detail']}"
        for name, each in found.items()
        if each["status"] == "failed"
    }
    assert f"{namespace}/denied" in causes.pop("rights and images")
    assert f"{namespace}/own-list" in causes.pop("workloads' own pull secrets")
    assert f"{namespace}/elsewhere" in causes.pop("registry entry")
    assert f"{others[0]}/early" in causes.pop("Pods before their pull secret")
    assert f"{others[1]}/unlisted" in causes.pop("ServiceAccount selected")
    assert causes == {}


def test_what_the_configuration_holds_wrong_is_told(doctor, configure):
    key = "  customAccessKey: LTAI5tExample0000000\n  customAccessKeySecret: " + SECRET + "\n"
    configure(**{"acr-registry-info": INFO + key + "- instanceId: <cri-instanceId>\n", "watch-namespace": "all"})
    code, found = doctor()
    assert code == 1
    assert found["access keys"]["status"] == "warning"
    assert "placeholder" in found["configuration's form"]["detail"]
    assert "kube-system" in found["system namespaces"]["location"]


def test_without_the_configmap_that_is_what_is_told(doctor):
    code, found = doctor()
    assert code == 1
    assert "the ConfigMap does not exist" in found["configuration"]["detail"]


def test_a_file_of_settings_serves_in_its_place(doctor, tmp_path, sandbox):
    path = tmp_path / "controller.yaml"
    entry = {"instanceId": "cri-a", "region": "cn-hangzhou", "identity": {"kind": "nodeRole"}}
    kind = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings"}
    path.write_text(json.dumps(kind | {"registries": [entry]}))
    path.chmod(0o600)
    _, found = doctor("--settings", str(path))
    assert found["configuration"]["detail"] == "1 registries"


def test_native_settings_in_another_configmap_are_found_where_one_says(api, doctor, failing_pod, namespace):
    kind = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings"}
    entry = {"instanceId": "cri-a", "region": "cn-hangzhou", "identity": {"kind": "nodeRole"}}
    settings = json.dumps(kind | {"registries": [entry], "pullSecrets": {"namespaces": ["other"]}})
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api.create(path, {"metadata": {"name": "settings"}, "data": {"settings.yaml": settings}})
    failing_pod(namespace, IMAGE, name="unlisted")
    _, found = doctor("--config-map", f"{namespace}/settings")
    assert found["configuration"]["detail"] == "1 registries"
    assert f"{namespace}/unlisted" in found["ServiceAccount selected"]["location"]


def test_who_may_read_nothing_is_told_which_right_is_missing(api, tmp_path):
    program = harness.source(tmp_path / "settings.yaml", tmp_path / "cache")
    ended = program.run(b"", "doctor", "--cluster", "--kubeconfig", str(api.kubeconfig("nobody")))
    assert ended.code == 1
    assert b"kubectl auth can-i get configmaps -n kube-system" in ended.stderr
