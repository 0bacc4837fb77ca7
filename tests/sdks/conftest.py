"""One sandbox with a metadata service in a namespace of its own, and one running caller for each SDK."""

from __future__ import annotations

import datetime as dt

import pytest
from sandbox import AcrSandbox
from sandbox.netns import NetworkNamespace
from sandbox.server import PROVIDER_ARN

from .callers import REGISTRY_CLIENTS, SDKS, Caller
from .cloud import Cloud
from .report import AGREES, COLUMNS, DISAGREES, NOT_RUN, WRITTEN, render

collect_ignore = ["python"]  # a program that runs where its SDKs are


@pytest.fixture(scope="session")
def place():
    """The sandbox, and the namespace from which callers see it."""
    with NetworkNamespace() as namespace, AcrSandbox() as sandbox:
        sandbox.listen_in(namespace)
        sandbox.sts_app.lenient = True
        yield sandbox, namespace, sandbox.add_cluster()


@pytest.fixture(scope="session", params=SDKS, ids=lambda sdk: sdk.name)
def caller(request, place):
    sandbox, namespace, _ = place
    running = Caller(request.param, sandbox.ca_file, namespace.command)
    yield running
    running.close()


@pytest.fixture(scope="session")
def registry_caller(place):
    sandbox, namespace, _ = place
    running = Caller(REGISTRY_CLIENTS, sandbox.ca_file, namespace.command)
    yield running
    running.close()


@pytest.fixture
def cloud(place, fresh, caller, tmp_path):
    return Cloud(fresh, place[2], PROVIDER_ARN, caller, tmp_path)


@pytest.fixture
def fresh(place):
    """The sandbox as it was at first."""
    sandbox, _, _ = place
    role = sandbox.node.role
    sandbox.calls.clear()
    yield sandbox
    sandbox.clock.skew = 0.0
    sandbox.node.role, sandbox.node.hardened, sandbox.node.tokens_offered = role, False, True
    sandbox.faults.clear()


def pytest_sessionfinish(session):
    """Write what came of every case, if all were run."""
    verdicts = dict.fromkeys(COLUMNS, NOT_RUN)
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    told = {True: reporter.getreports("passed"), False: reporter.getreports("failed")}
    passed = {report.nodeid: agrees for agrees, reports in told.items() for report in reports if report.when == "call"}
    for item in session.items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        who = parameters["caller"].name if "caller" in parameters else parameters.get("pulls", "")
        case = parameters.get("case") or parameters.get("registry_case")
        if (who, case) in verdicts and item.nodeid in passed:
            verdicts[who, case] = AGREES if passed[item.nodeid] else DISAGREES
    if NOT_RUN not in verdicts.values():
        WRITTEN.write_text(render(verdicts, date=dt.datetime.now(dt.UTC).date().isoformat()))
