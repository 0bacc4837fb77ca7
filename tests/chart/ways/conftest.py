"""A real API server for the ways to deploy, with the controllers that delete what belongs to something deleted."""

import pytest
from cluster.loopback_api import LoopbackApi


@pytest.fixture(scope="session")
def api():
    with LoopbackApi() as api, api.controllers("garbage-collector-controller", "namespace-controller"):
        yield api


@pytest.fixture(scope="session")
def admin(api):
    return api.kubeconfig("admin", group="system:masters")
