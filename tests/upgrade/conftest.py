"""The two versions that an upgrade is between, and one real API server; each test takes a namespace of its own."""

import itertools
import os
import shutil
from pathlib import Path

import pytest
from cluster.loopback_api import LoopbackApi

from upgrade import old_version
from upgrade.upgraded_machine import UpgradedMachine

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def old():
    try:
        return old_version.bundles()
    except old_version.NoSuchCommitError as problem:
        if "UPGRADE_REQUIRED" in os.environ:
            pytest.fail(str(problem))
        pytest.skip(str(problem))


@pytest.fixture(scope="session")
def present():
    return old_version.PRESENT


@pytest.fixture(scope="session")
def api(old):
    with LoopbackApi() as api:
        yield api


@pytest.fixture
def namespace(api):
    return api.namespace(f"team-{next(NUMBERS)}")


@pytest.fixture
def machine(tmp_path, old, present):
    # A layer of overlayfs: tmpfs takes it on every kernel, and costs no waiting for a disk.
    folder = Path("/dev/shm") / f"acr-{tmp_path.parent.name}-{tmp_path.name}"
    try:
        with UpgradedMachine(folder, {"/old": old, "/present": present}) as machine:
            machine.wait_until(machine.runs)
            yield machine
    finally:
        shutil.rmtree(folder, ignore_errors=True)
