"""The two versions that an upgrade is between."""

import os

import pytest

from upgrade import old_version


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
