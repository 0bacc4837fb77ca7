"""What the controller knows of the cluster, while the API server refuses some of it."""

import json
import threading
import time
from contextlib import contextmanager

import pytest
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache, ClusterListener


class Api:
    """Has no object; Secrets of the names *refused* may not be listed."""

    def __init__(self):
        self.telemetry = self
        self.refused = set()
        self.is_over = threading.Event()

    def watch_ended(self, resource, why):
        pass

    def wait_for_recovery(self, seconds, stop):
        stop.wait(0.02)

    def pages(self, path, *, selector, accept):
        if selector.get("fieldSelector", "").rpartition("=")[2] in self.refused:
            raise ClusterError("secrets is forbidden", remedy="Grant it.", status=403)
        yield json.dumps({"metadata": {"resourceVersion": "1"}, "items": []}).encode()

    @contextmanager
    def watch(self, kind, *, since, seconds, silence):
        self.is_over.wait(0.02)
        raise ClusterError("silent", remedy="", reason="IdleTimeout")
        yield


def comes(is_so):
    end = time.monotonic() + 20
    while not is_so() and time.monotonic() < end:
        time.sleep(0.01)
    return is_so()


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def cluster(api):
    cluster = ClusterCache(api, ClusterListener(), own_namespace="kube-system", config_map=None)
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.mark.parametrize("names", [{"login-of-others"}, {"a", "b", "c"}])
def test_a_retired_name_that_is_refused_keeps_nothing_waiting_and_is_none_of_ours(api, cluster, names):
    api.refused = names
    cluster.watch_secrets({"acr-credential-aliyun"}, retired={*names, "before"})
    assert comes(cluster.is_synced)
    assert cluster.listed_secrets() == {"acr-credential-aliyun", "before"}


def test_a_retired_name_that_is_granted_later_counts_from_then_on(api, cluster):
    api.refused = {"before"}
    cluster.watch_secrets({"acr-credential-aliyun"}, retired={"before"})
    assert comes(cluster.is_synced)
    api.refused = set()
    assert comes(lambda: "before" in cluster.listed_secrets())


def test_nothing_is_known_while_the_present_name_is_refused(api, cluster):
    api.refused = {"acr-credential-aliyun"}
    cluster.watch_secrets({"acr-credential-aliyun"}, retired={"acr-credential-aliyun"})
    assert comes(lambda: cluster.secrets_named("acr-credential-aliyun").is_refused)
    assert not cluster.is_synced()
