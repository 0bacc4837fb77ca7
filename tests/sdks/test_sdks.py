"""Every SDK runs every case."""

import pytest

from .cases import CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.subject}: {case.name}")
def test_the_sdk_agrees_with_the_sandbox(case, cloud):
    case.run(cloud)
