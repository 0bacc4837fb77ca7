"""The frozen plugin under a real kubelet keeps every promise of `cluster.scenarios`."""

import pytest
from cluster import scenarios


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda scenario: scenario.__name__)
def test_on_a_real_node(scenario, cluster):
    scenario(cluster)
