"""What Pod Security allows of a release on a real API server: the plugin needs a privileged namespace."""

import itertools

import pytest
from chart.helm import CHART
from chart.ways.ways import NAME, Helm, ran
from cluster import parts
from cluster.kube import KubeError

NUMBERS = itertools.count(1)
ENFORCE = "pod-security.kubernetes.io/enforce"


@pytest.fixture
def release(api, admin, tmp_path):
    """Return a function that installs into a namespace with this level, and returns the release and Helm's notes."""
    releases = []

    def install(level):
        namespace = f"pods-{level}-{next(NUMBERS)}"
        api.create("/api/v1/namespaces", {"metadata": {"name": namespace, "labels": {ENFORCE: level}}})
        release = Helm(admin, tmp_path, namespace)
        releases.append(release)
        words = ["install", "acr", CHART, f"--values={release.values('first')}", f"--kubeconfig={admin}"]
        return release, ran([parts.find("helm"), *words, f"--namespace={namespace}"])

    yield install
    for each in releases:
        each.delete()


def pod_of(api, release, kind, name):
    """Try to create a Pod from the template of the release's object; nothing is stored."""
    path = f"/apis/apps/v1/namespaces/{release.namespace}/{kind}/{name}"
    template = api.get(path)["spec"]["template"]
    document = {"metadata": {"name": "one", "labels": template["metadata"]["labels"]}, "spec": template["spec"]}
    return api.create(f"/api/v1/namespaces/{release.namespace}/pods?dryRun=All", document)


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_a_namespace_that_allows_no_agent_is_named_with_what_to_do(api, release, level):
    there, notes = release(level)
    with pytest.raises(KubeError, match="violates PodSecurity"):
        pod_of(api, there, "daemonsets", NAME)
    assert f"enforces the Pod Security level {level}" in notes
    (said,) = [line.strip() for line in notes.splitlines() if "kubectl label namespace" in line]
    there.kubectl(*said.split()[1:])
    assert pod_of(api, there, "daemonsets", NAME)


def test_the_controller_fits_the_strictest_level(api, release):
    there, _ = release("restricted")
    assert pod_of(api, there, "deployments", f"{NAME}-pull-secrets")


def test_nothing_is_said_where_nothing_is_in_the_way(release):
    _, notes = release("privileged")
    assert "Pod Security" not in notes
