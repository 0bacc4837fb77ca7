"""Pods' own identities under a real API server and a real kubelet: every promise of `cluster.service_accounts`."""

import re

import pytest
from cluster import service_accounts

SIGNED = re.compile(r"eyJ[\w-]{10,}\.eyJ[\w-]{20,}\.[\w-]{20,}")
"""A JSON Web Token with its signature."""


@pytest.fixture
def tenants(cluster):
    yield cluster
    cluster.delete_pods()
    service_accounts.clean_up(cluster)


@pytest.mark.parametrize("scenario", service_accounts.ALL, ids=lambda scenario: scenario.__name__)
def test_on_a_real_node(scenario, tenants):
    scenario(tenants)


def test_no_log_on_the_node_holds_a_token_or_a_sessions_key(tenants):
    """Comes after the scenarios, whose sessions and logins it looks for, and for any signed token."""
    secrets = tenants.sandbox.state.secrets()
    logs = {log.name: log.read_text(errors="replace") for log in tenants.logs.glob("*.log")}
    assert {"kubelet.log", "containerd.log", "kube-apiserver.log"} <= logs.keys()
    assert secrets
    assert [name for name, text in logs.items() if any(secret in text for secret in secrets)] == []
    assert [name for name, text in logs.items() if SIGNED.search(text)] == []
