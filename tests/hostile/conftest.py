"""What the attacks share: the frozen bundles where every user can run them, and the report at the end."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

pytest.register_assert_rewrite("hostile.seats")

from hostile import attacks  # noqa: E402
from hostile.seats.cluster import Cluster  # noqa: E402
from hostile.seats.host import Host  # noqa: E402
from hostile.seats.node import Node  # noqa: E402 - its asserts are rewritten from here on
from sandbox import AcrSandbox  # noqa: E402
from support import harness  # noqa: E402


def pytest_sessionstart(session):
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(attacks.OUTCOMES, ignore_errors=True)


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput") and attacks.OUTCOMES.is_dir():
        (attacks.FOLDER / "report.md").write_text(attacks.report())


@pytest.fixture(scope="session")
def grounds():
    """A folder that every user can enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="acr-hostile-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def bundle(grounds):
    """The folder with the frozen plugin, agent and installer, as a node has it."""
    assert harness.FROZEN.exists(), "run `make freeze` first: what is shipped is what is attacked"
    folder = grounds / "bundle"
    shutil.copytree(harness.FROZEN.parent, folder)
    return folder


@pytest.fixture(scope="session")
def cloud():
    with AcrSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def place(grounds):
    """A folder of one attack's own."""
    folder = Path(tempfile.mkdtemp(prefix="node-", dir=grounds))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def node(place, bundle, cloud):
    node = Node(place, bundle, cloud)
    yield node
    node.close()


@pytest.fixture
def host(place, bundle, cloud):
    host = Host(place, bundle, cloud)
    yield host
    host.close()


@pytest.fixture(scope="session")
def cluster(grounds, cloud):
    folder = grounds / "cluster"
    folder.mkdir(mode=0o700)
    with Cluster(folder, cloud) as cluster:
        yield cluster
