"""Pods' own identities under a real API server and a real kubelet: every promise of `cluster.service_accounts`."""

import re

import pytest
from cluster import broken_plugins, service_accounts

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


CAUGHT = [
    ("another pod's token", service_accounts.each_service_account_pulls_with_its_own_token),
    ("another pod's token", service_accounts.an_image_on_the_node_is_used_by_those_alone_who_may_pull_it),
    ("the node's role instead", service_accounts.a_missing_audience_grant_stops_pods_alone_and_is_found_by_the_doctor),
    ("the node's role instead", service_accounts.a_service_account_without_a_role_is_refused_and_told_what_to_do),
    (
        "the node's role instead",
        service_accounts.a_role_that_does_not_trust_the_pod_is_refused_and_never_becomes_the_node,
    ),
]


@pytest.mark.parametrize(("name", "scenario"), CAUGHT, ids=[f"{name}-{each.__name__}" for name, each in CAUGHT])
def test_a_plugin_that_mixes_identities_is_caught(name, scenario, tenants):
    """The promises above are worth what they make of these."""
    broken_plugins.use(name, tenants)
    with pytest.raises(AssertionError, match=r"should have been refused|Failed to pull image .* 40[13]"):
        scenario(tenants)


def test_no_log_on_the_node_holds_a_token_or_a_sessions_key(tenants):
    """Comes after the scenarios, whose sessions and logins it looks for, and for any signed token."""
    secrets = tenants.sandbox.state.secrets()
    logs = {log.name: log.read_text(errors="replace") for log in tenants.logs.glob("*.log")}
    assert {"kubelet.log", "containerd.log", "kube-apiserver.log"} <= logs.keys()
    assert secrets
    assert [name for name, text in logs.items() if any(secret in text for secret in secrets)] == []
    assert [name for name, text in logs.items() if SIGNED.search(text)] == []
