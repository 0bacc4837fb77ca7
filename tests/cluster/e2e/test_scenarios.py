"""The frozen plugin under a real kubelet keeps every promise of `cluster.scenarios`."""

import pytest
from cluster import scenarios


def test_the_cluster_is_up_within_a_minute(cluster):
    assert cluster.seconds_to_start < 60


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda scenario: scenario.__name__)
def test_on_a_real_node(scenario, cluster):
    scenario(cluster)


def test_no_log_on_the_node_holds_a_secret(cluster):
    """Comes after the scenarios, whose keys, session tokens and logins it looks for."""
    secrets = cluster.sandbox.state.secrets()
    logs = {log.name: log.read_text(errors="replace") for log in cluster.logs.glob("*.log")}
    assert {"kubelet.log", "containerd.log", "kube-apiserver.log"} <= logs.keys()
    assert secrets
    assert [name for name, text in logs.items() if any(secret in text for secret in secrets)] == []
