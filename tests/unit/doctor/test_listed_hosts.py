"""What doctor says of a host that ACR does not list: which hosts it lists, and which entrance is off."""

import pytest
from acr_credential_provider.doctor.registry import unlisted

PUBLIC, VPC = (f"demo-registry{vpc}.cn-hangzhou.cr.aliyuncs.com" for vpc in ("", "-vpc"))


@pytest.mark.parametrize(
    ("host", "listed", "remedy"),
    [
        (VPC, [PUBLIC], f"Use {PUBLIC}, or turn the VPC entrance of the instance on"),
        (PUBLIC, [VPC, "images.example.com"], f"Use {VPC}, or turn the public entrance of the instance on"),
        (VPC, ["other-registry.cn-hangzhou.cr.aliyuncs.com"], "Check the host, the entry's instanceId"),
        ("images.example.com", [PUBLIC], "Check the host, the entry's instanceId"),
        (PUBLIC, [], "Check the host, the entry's instanceId"),
    ],
)
def test_the_hosts_that_acr_lists_say_what_to_use_or_turn_on(host, listed, remedy):
    error = unlisted(host, listed)
    assert all(each in error.problem for each in [host, *listed])
    assert ("it lists none" in error.problem) == (not listed)
    assert error.remedy.startswith(remedy)
