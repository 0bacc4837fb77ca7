"""What the contract and end-to-end suites share: a sandbox, and the program that is told to use it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import hypothesis
import pytest

pytest.register_assert_rewrite("cluster")

from sandbox import AcrSandbox  # noqa: E402 - the asserts of what it imports are rewritten from here on
from support import alone, harness  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

# No time limit for an example, and none for drawing it: a busy machine is not a broken promise. In CI the examples are
# always the same.
hypothesis.settings.register_profile(
    "project",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
hypothesis.settings.load_profile("project")


def pytest_configure(config):
    if hasattr(config, "workerinput"):  # one of several, by pytest-xdist
        config.pluginmanager.register(alone.Turns())


def pytest_terminal_summary(terminalreporter):
    """Say what of the documents was typed: `tests/documents` counts it."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for line in dict(report.user_properties).get("documents", ()) if report.when == "call" else ():
            terminalreporter.write_line(line)


WAYS = {"source": harness.source, "frozen": harness.frozen}


@pytest.fixture
def sandbox():
    with AcrSandbox() as sandbox:
        yield sandbox


@pytest.fixture(params=WAYS)
def program(request, sandbox, tmp_path):
    """The program in each of its ways, pointed at the sandbox."""
    return WAYS[request.param](_settings(sandbox, tmp_path), tmp_path / "cache")


@pytest.fixture
def frozen(sandbox, tmp_path):
    """The program as it is shipped, pointed at the sandbox."""
    return harness.frozen(_settings(sandbox, tmp_path), tmp_path / "cache")


def _settings(sandbox: AcrSandbox, folder: Path) -> Path:
    return write_settings(folder, sandbox.settings())


def write_settings(folder: Path, document: dict) -> Path:
    path = folder / "settings.yaml"
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    return path
