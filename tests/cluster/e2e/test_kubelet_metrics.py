"""Why the installer asks only a port without a login which configuration a kubelet has read (docs/decisions/0015)."""

import pytest
from acr_node_config.kubelet import loaded_config
from cluster.kube import KubeApi, KubeError
from cluster.node import ADDRESS, NAME
from cluster.worker import KUBELET_PORT


def test_a_nodes_own_certificate_may_not_read_its_kubelets_metrics(cluster):
    as_node = {"user": f"system:node:{NAME}", "group": "system:nodes"}
    kubelet = KubeApi(cluster.node, ADDRESS, KUBELET_PORT, pki=cluster.pki, **as_node)

    with pytest.raises(KubeError) as refused:
        kubelet.raw("GET", "/metrics")

    assert refused.value.status == 403


def test_those_who_may_are_told_the_digest_that_we_reckon(cluster):
    kubelet = KubeApi(cluster.node, ADDRESS, KUBELET_PORT, pki=cluster.pki)
    metrics = kubelet.raw("GET", "/metrics")

    providers = (cluster.node.folder / "credential-providers.yaml").read_bytes()
    assert loaded_config.named(metrics) == loaded_config.digest([providers])
