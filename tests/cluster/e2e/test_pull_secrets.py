"""The fallback on a node without the plugin; the promises are in cluster/pull_secrets.py."""

import pytest
from cluster import pull_secrets


@pytest.mark.parametrize("promise", pull_secrets.ALL, ids=lambda promise: promise.__name__)
def test_promise(cluster, promise):
    promise(cluster)
