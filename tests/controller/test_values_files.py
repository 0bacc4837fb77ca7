"""The chart's examples: Helm installs each on a real API server, and after its uninstallation nothing is left."""

import json
import subprocess
import time

import pytest
import yaml
from chart.helm import CHART, helm
from cluster.kube import KubeError
from cluster.loopback_api import LoopbackApi
from cluster.replicas import delete, wait_until
from support import harness
from support.replica import ONE, Bank, eventually, reap, replica
from upgrade.old_version import COMMIT

EXAMPLES = CHART / "examples"
SYSTEM = "/api/v1/namespaces/kube-system"
HELPER = "aliyun-acr-credential-helper"
THEIRS = "acr-credential-secret-aggregation"
OURS = "acr-credential-aliyun"
CONFIGURATION = {
    "service-account": "default",
    "watch-namespace": "shop",
    "expiring-threshold": "15m",
    "acr-registry-info": f"""- instanceId: "{ONE}"
  regionId: "cn-hangzhou"
  rrsaRoleARN: acs:ram::1111111111111111:role/puller
  rrsaOIDCProviderRoleARN: acs:ram::1111111111111111:oidc-provider/ack-rrsa-c1
""",
    "rrsa": "enable: true\n",
}
OF_THE_SERVER = ("resourceVersion", "managedFields", "generation", "uid", "creationTimestamp")
PASSING = {"events", "leases", "endpoints", "endpointslices", "flowschemas", "prioritylevelconfigurations"}
"""What the API server writes by itself, or forgets; a release's own Leases are looked at by name."""


@pytest.fixture(scope="module")
def api():
    """An API server of these tests' own, with nothing in it that other tests left."""
    with LoopbackApi() as api, api.controllers("garbage-collector-controller", "namespace-controller"):
        before = None
        while before != (before := everything(api)):  # what an API server and its controllers make as they start
            time.sleep(2)
        yield api
        reap()


@pytest.fixture
def on(api):
    """Run Helm on the API server; fail where it fails."""
    admin = api.kubeconfig("admin", group="system:masters")

    def run(*words):
        done = helm(*map(str, words), "--namespace=kube-system", f"--kubeconfig={admin}")
        assert done.returncode == 0, done.stderr

    return run


def everything(api):
    """Return all objects of the cluster by path, without what the API server writes into each."""
    found = {}
    groups = [f"/apis/{group['preferredVersion']['groupVersion']}" for group in api.get("/apis")["groups"]]
    for group in ("/api/v1", *groups):
        for resource in api.get(group)["resources"]:
            name = resource["name"]
            if "list" in resource["verbs"] and "/" not in name and name not in PASSING:
                for each in api.get(f"{group}/{name}").get("items") or []:
                    metadata = {key: value for key, value in each["metadata"].items() if key not in OF_THE_SERVER}
                    metadata.get("annotations", {}).pop("deprecated.daemonset.template.generation", None)
                    path = f"{group}/{name}/{metadata.get('namespace', '')}/{metadata['name']}"
                    found[path] = {**each, "metadata": metadata, "status": None}
    leases = api.get(f"/apis/coordination.k8s.io/v1{SYSTEM.removeprefix('/api/v1')}/leases")["items"]
    return found | {f"lease {each['metadata']['name']}": None for each in leases}


def changed(before, after):
    return {path for path in before.keys() | after.keys() if before.get(path, 0) != after.get(path, 0)}


def assert_as_before(api, before):
    end = time.monotonic() + 30
    while (found := changed(before, everything(api))) and time.monotonic() < end:
        time.sleep(0.5)
    assert found == set()


@pytest.mark.parametrize("example", sorted(path.stem for path in EXAMPLES.glob("*.yaml")))
def test_an_example_is_installed_and_uninstalled_without_a_trace(api, on, example):
    before = everything(api)
    on("install", "acr", CHART, f"--values={EXAMPLES / example}.yaml")
    try:
        made = everything(api)
        assert before.keys() < made.keys()
        assert changed(before, {path: made[path] for path in before}) == set()
        assert any("/daemonsets/" in path for path in made)
    finally:
        on("uninstall", "acr", "--wait")
    assert_as_before(api, before)


@pytest.fixture
def helper(api, namespace):
    """The helper at work: its Deployment and account, its ConfigMap, and a namespace that it serves."""
    labels = {"app": HELPER}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "h", "image": "h:v25"}]}},
    }
    data = {**CONFIGURATION, "watch-namespace": namespace}
    api.create(f"{SYSTEM}/serviceaccounts", {"metadata": {"name": HELPER}})
    api.create(f"{SYSTEM}/configmaps", {"metadata": {"name": "acr-configuration"}, "data": data})
    api.create("/apis/apps/v1/namespaces/kube-system/deployments", {"metadata": {"name": HELPER}, "spec": spec})
    secret = {"metadata": {"name": THEIRS}, "type": "kubernetes.io/dockerconfigjson"}
    secret["stringData"] = {".dockerconfigjson": json.dumps({"auths": {}})}
    api.create(f"/api/v1/namespaces/{namespace}/secrets", secret)
    account = {"metadata": {"name": "default"}, "imagePullSecrets": [{"name": "theirs"}, {"name": THEIRS}]}
    api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
    yield namespace
    for path in (
        f"{SYSTEM}/serviceaccounts/{HELPER}",
        f"{SYSTEM}/configmaps/acr-configuration",
        f"/apis/apps/v1/namespaces/kube-system/deployments/{HELPER}",
    ):
        delete(api, path)


def entries(api, namespace):
    found = api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
    return [each["name"] for each in found.get("imagePullSecrets", [])]


def has_secret(api, namespace):
    try:
        return bool(api.get(f"/api/v1/namespaces/{namespace}/secrets/{OURS}"))
    except KubeError:
        return False


def controller_of(api):
    """Return options of the controller that the release's Deployment runs, and the user that it signs in as."""
    path = "/apis/apps/v1/namespaces/kube-system/deployments/aliyun-acr-credential-provider-pull-secrets"
    pod = api.get(path)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    words = dict(word.removeprefix("--").partition("=")[::2] for word in container["args"] if word.startswith("--"))
    options = {
        "config_map": tuple(words["config-map"].split("/")),
        "take_over": "take-over" in words,
        "owner": words["owner"],
    }
    return options, f"system:serviceaccount:kube-system:{pod['serviceAccountName']}"


@pytest.fixture
def old_chart(tmp_path):
    """The chart of the version that upgrades begin with, and values in its words that mean what the example means."""
    command = ["git", "-C", harness.ROOT, "archive", COMMIT, "packaging/chart"]
    packed = subprocess.run(command, check=False, capture_output=True)
    if packed.returncode:
        pytest.skip("this clone does not have the earlier version")
    subprocess.run(["tar", "-x", "-C", tmp_path], input=packed.stdout, check=True)
    new = yaml.safe_load((EXAMPLES / "ack-eci-rrsa.yaml").read_text())
    old = {
        "image": new["image"],
        "platform": new["platform"],
        "settings": new["plugin"]["settings"],
        "pullSecrets": {"enabled": True, "takeOver": True, "serviceAccountName": "acr-of-the-release"},
    }
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(old))
    return tmp_path / "packaging/chart", tmp_path / "old.yaml"


def test_a_release_of_the_earlier_chart_becomes_the_example_and_goes_back_and_nothing_is_left(api, on, old_chart):
    chart, values = old_chart
    before = everything(api)
    on("install", "acr", chart, f"--values={values}")
    try:
        old = everything(api)
        on("upgrade", "acr", CHART, f"--values={EXAMPLES / 'ack-eci-rrsa'}.yaml")
        options, user = controller_of(api)
        assert (user, options["take_over"]) == (f"system:serviceaccount:kube-system:{HELPER}", True)
        on("rollback", "acr", "1")
        kept = ("/secrets/", "/controllerrevisions/")  # what Helm remembers, and who runs DaemonSets
        assert not [path for path in changed(old, everything(api)) if not any(word in path for word in kept)]
    finally:
        on("uninstall", "acr", "--wait")
    assert_as_before(api, before)


def take_back(api, folder):
    """Run what docs/pull-secrets.md says for the entries that a deleted release leaves in ServiceAccounts."""
    program = harness.source(folder / "settings.yaml", folder / "cache")
    admin = api.kubeconfig("admin", group="system:masters")
    ended = program.run(b"", "pull-secrets", "uninstall", "--namespace=kube-system", f"--kubeconfig={admin}", "--force")
    assert ended.code == 0, ended.stderr


def test_ack_with_eci_and_rrsa_is_installed_beside_the_helper_and_leaves_it_as_it_was(api, on, helper, tmp_path):
    """The controller runs as the release's Deployment says, with its ServiceAccount's rights, on a cloud by count."""
    virtual = api.namespace(f"{helper}-virtual")
    annotation = {"annotations": {"k8s.aliyun.com/acr-instance-id": f"cn-hangzhou:{ONE}"}}
    api.request("PATCH", f"/api/v1/namespaces/{virtual}", {"metadata": annotation}, "application/merge-patch+json")
    api.create(f"/api/v1/namespaces/{virtual}/serviceaccounts", {"metadata": {"name": "default"}})
    configuration = f"{SYSTEM}/configmaps/acr-configuration"
    before, version = everything(api), api.get(configuration)["metadata"]["resourceVersion"]

    on("install", "acr", CHART, f"--values={EXAMPLES / 'ack-eci-rrsa'}.yaml")
    options, user = controller_of(api)
    assert user == f"system:serviceaccount:kube-system:{HELPER}"
    assert (options["config_map"], options["take_over"]) == (("kube-system", "acr-configuration"), True)
    with replica(api, "kube-system", fetch=Bank(), user=(user, "system:serviceaccounts:kube-system"), **options):
        eventually(lambda: entries(api, helper) == ["theirs", THEIRS, OURS] and has_secret(api, helper))
        eventually(lambda: entries(api, virtual) == [OURS] and has_secret(api, virtual))
        assert api.get(configuration)["metadata"]["resourceVersion"] == version
    on("uninstall", "acr", "--wait")
    wait_until(lambda: not has_secret(api, helper) and not has_secret(api, virtual), "the logins to go")
    take_back(api, tmp_path)
    assert_as_before(api, before)
    assert api.get(configuration)["metadata"]["resourceVersion"] == version


def test_the_example_for_ack_with_eci_and_rrsa_is_short():
    text = (EXAMPLES / "ack-eci-rrsa.yaml").read_text()
    assert len(text.splitlines()) <= 15


GUIDES = {
    "ack": "ack",
    "ack-eci-rrsa": "ack",
    "ack-edge": "ack-edge",
    "ecs": "ecs",
    "openshift": "openshift",
    "k3s": "k3s",
    "rke2": "k3s",
}


def test_each_example_is_shown_in_its_guide():
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == GUIDES.keys()
    for example, guide in GUIDES.items():
        text = (harness.ROOT / f"docs/install/{guide}.md").read_text()
        assert f"packaging/chart/examples/{example}.yaml" in text, example
