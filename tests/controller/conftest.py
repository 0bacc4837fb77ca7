"""A real API server for each file of tests; each test takes a namespace of its own.

Files share none: what one of them leaves in kube-system, or of a cluster's own kinds, would be met by the next.
"""

from __future__ import annotations

import contextlib
import itertools

import pytest
from cluster.kube import KubeError
from cluster.loopback_api import LoopbackApi
from cluster.replicas import wait_until
from support import replica

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def api():
    with LoopbackApi() as api:
        yield api
        replica.reap()


@pytest.fixture
def namespace(api):
    return api.namespace(f"team-{next(NUMBERS)}")


@pytest.fixture
def who_may_own(api, namespace):
    """Return a function that lets a ServiceAccount of kube-system say who owns its objects, until the test ends.

    This API server asks for the right to delete them before it asks any policy. Most API servers do not, and there the
    policy alone has to refuse.
    """
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    rights = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["delete"]},
        {"apiGroups": ["*"], "resources": ["*/finalizers"], "verbs": ["update"]},
    ]
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    attributes = {"verb": "delete", "group": "", "resource": "nodes", "subresource": "status", "name": "any"}

    def grant(account, token):
        api.create(f"{rbac}/clusterroles", {"metadata": {"name": namespace}, "rules": rights})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace}
        subjects = [{"kind": "ServiceAccount", "name": account, "namespace": "kube-system"}]
        binding = {"metadata": {"name": namespace}, "roleRef": role, "subjects": subjects}
        api.create(f"{rbac}/clusterrolebindings", binding)
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        body = {**review, "spec": {"resourceAttributes": attributes}}
        wait_until(lambda: api.request("POST", path, body, token=token)["status"]["allowed"], "the right to be granted")

    yield grant
    for plural in ("clusterrolebindings", "clusterroles"):
        with contextlib.suppress(KubeError):
            api.request("DELETE", f"{rbac}/{plural}/{namespace}")
