"""One cluster for all scenarios; each finds it without pods, faults, settings or a foreign plugin."""

from __future__ import annotations

import harness
import pytest
from cluster import parts
from cluster.cluster import Cluster
from cluster.report import Report

BUILD = harness.ROOT / "build/e2e"
REPORT = pytest.StashKey[Report]()


def pytest_configure(config):
    config.stash[REPORT] = Report()


def pytest_runtest_logreport(report):
    """Nothing here knows the configuration; see `pytest_runtest_makereport`."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.config.stash[REPORT].add(item.name, passed=outcome.passed, seconds=call.duration)
    return outcome


def pytest_sessionfinish(session):
    session.config.stash[REPORT].write(BUILD / "tested-with.md")


@pytest.fixture(scope="session")
def cluster_of_the_session(request):
    try:
        for name in (*parts.KUBERNETES, *parts.PACKAGES):
            parts.find(name)
    except parts.MissingPartError as error:
        pytest.skip(f"no cluster can be started: {error} (`make e2e` sees to all of it)")
    with Cluster(logs=BUILD / "logs") as cluster:
        request.config.stash[REPORT].seconds_to_start = cluster.seconds_to_start
        yield cluster


@pytest.fixture
def cluster(cluster_of_the_session):
    cluster = cluster_of_the_session
    yield cluster
    cluster.delete_pods()
    cluster.sandbox.faults.clear()
    cluster.sandbox.state.token_life = None
    cluster.settings_file.unlink(missing_ok=True)
    cluster.kubelet.use_plugin(cluster.plugin)
