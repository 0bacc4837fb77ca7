"""One cluster for all scenarios; each finds it without pods, faults, settings or a foreign plugin."""

from __future__ import annotations

import pytest
from cluster.cluster import Cluster
from cluster.machine import left_as_it_was
from cluster.report import Ran, Report
from support import harness

BUILD = harness.ROOT / "build/e2e"
REPORT = pytest.StashKey[Report]()


def pytest_configure(config):
    config.stash[REPORT] = Report()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call" or report.outcome != "passed":
        item.config.stash[REPORT].ran.append(Ran(item.path.stem, item.name, report.outcome, call.duration))
    if report.failed:
        logs = "\n".join(map(str, sorted((BUILD / "logs").glob("*.log"))))
        report.sections.append(("logs of the services", logs))
    return report


def pytest_sessionfinish(session):
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "tested-with.md").write_text(session.config.stash[REPORT].text())


@pytest.fixture(scope="session")
def cluster_of_the_session(request):
    with left_as_it_was(), Cluster(logs=BUILD / "logs") as cluster:
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


def pytest_collection_modifyitems(items):
    """What is quick to fail comes first: parts and node, the kubelets' code, the scenarios, and then their proof."""
    order = [
        "test_parts",
        "test_node",
        "test_node_rules",
        "test_kubelets",
        "test_scenarios",
        "test_service_accounts",
        "test_pull_secrets",
        "test_chart",
        "test_broken_plugin",
    ]
    items.sort(key=lambda item: order.index(item.path.stem) if item.path.stem in order else len(order))
