"""One real API server for all tests of what works on a cluster; each test takes a namespace of its own."""

from __future__ import annotations

import itertools

import pytest

pytest.register_assert_rewrite("cluster")

import replica  # noqa: E402
from cluster.loopback_api import LoopbackApi  # noqa: E402 - its asserts are rewritten from here on

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def api():
    with LoopbackApi() as api:
        yield api
        replica.reap()


@pytest.fixture
def namespace(api):
    return api.namespace(f"team-{next(NUMBERS)}")
