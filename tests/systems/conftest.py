"""Programs to install in these tests, and settings."""

from __future__ import annotations

import pytest
from support.node_verbs import MORE
from support.node_world import COVERED
from systems.operator_steps import make_program, make_settings


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """Return two versions of a program: the second covers more images."""
    first, second = tmp_path_factory.mktemp("bundle"), tmp_path_factory.mktemp("bundle")
    return make_program(first, "0.1.0", COVERED), make_program(second, "0.2.0", MORE)


@pytest.fixture(scope="session")
def settings(tmp_path_factory):
    return make_settings(tmp_path_factory.mktemp("settings"))
