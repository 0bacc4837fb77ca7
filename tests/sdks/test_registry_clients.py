"""Every client of registries runs every case."""

import pytest

from .registry_cases import CASES, CLIENTS, Pulls


@pytest.fixture(params=CLIENTS)
def pulls(request, fresh, registry_caller):
    return Pulls(fresh, request.param, registry_caller)


@pytest.mark.parametrize("registry_case", CASES, ids=lambda case: case.name)
def test_the_client_agrees_with_the_sandbox(registry_case, pulls):
    registry_case.run(pulls)
