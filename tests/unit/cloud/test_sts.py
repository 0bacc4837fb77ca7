from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from acr_credential_provider.cloud.proxy import ProxySettings
from acr_credential_provider.cloud.sts import StsApi, WantedRole, sts_endpoints
from acr_credential_provider.cloud.transport import Bounds, Transport
from acr_credential_provider.model.cloud_credential import CloudCredential
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import (
    CloudUnreachableError,
    ConfigurationError,
    CredentialProviderError,
    RoleRefusedError,
    ThrottledError,
)
from unit.cloud.loopback import answer, reset, say_nothing, serving
from unit.cloud.safety import CANARY, is_clean
from unit.cloud.signatures import is_signed

NOW = 1_767_323_045.0
KEY = CloudCredential("LTAI-1", "secret-" + CANARY)
ROLE = WantedRole("acs:ram::1111:role/pull", "acr-node-x", 3600)
PROVIDER = "acs:ram::1111:oidc-provider/ack-rrsa-c1"
TOKEN = f"e30.{CANARY}.c2ln"
SESSION = {"AccessKeyId": "STS.1", "AccessKeySecret": "s" + CANARY, "SecurityToken": "CAIS+/=="}


def iso(at):
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def granted(at=NOW, **changes):
    credentials = {**SESSION, "Expiration": iso(NOW + 3600), **changes}
    return answer(200, {"RequestId": "R-1", "Credentials": credentials}, at=at)


def an_api(*endpoints, seconds=5.0):
    transport = Transport(Deadline(seconds), proxy=ProxySettings(), bounds=Bounds(connect=0.3, hop=0.4, reserve=0.1))
    return StsApi(transport, endpoints=endpoints, clock=lambda: NOW)


CALLS = {
    "AssumeRole": lambda api: api.assume_role(ROLE, caller=KEY),
    "AssumeRoleWithOIDC": lambda api: api.assume_role_with_oidc(ROLE, provider_arn=PROVIDER, token=TOKEN),
}


@pytest.mark.parametrize(
    ("region", "vpc_first", "endpoints"),
    [
        ("cn-beijing", True, ("sts-vpc.cn-beijing", "sts.cn-beijing", "sts")),
        ("cn-beijing", False, ("sts.cn-beijing", "sts")),
        ("cn-hangzhou-finance", True, ("sts-vpc.cn-hangzhou", "sts.cn-hangzhou", "sts")),
        ("", True, ("sts",)),
    ],
)
def test_the_nearest_sts_is_asked_first(region, vpc_first, endpoints):
    expected = tuple(f"https://{name}.aliyuncs.com" for name in endpoints)
    assert sts_endpoints(region, vpc_first=vpc_first) == expected


@pytest.mark.parametrize("region", ["cn", "x/../", "evil.com#", "cn-hangzhou\n"])
def test_what_is_no_region_makes_no_host(region):
    with pytest.raises(ConfigurationError):
        sts_endpoints(region, vpc_first=True)


@pytest.mark.parametrize("call", CALLS)
def test_the_session_comes_with_its_life_by_the_clouds_clock(call):
    with serving(granted(at=NOW - 600)) as server:
        found = CALLS[call](an_api(server.url))
    assert (found.access_key_id, found.security_token, found.expires_in) == ("STS.1", "CAIS+/==", 4200.0)


def test_a_role_is_asked_for_with_a_signature():
    with serving(granted()) as server:
        an_api(server.url).assume_role(WantedRole(ROLE.arn, "x y", 7200, '{"a": "b c"}', "ex/1"), caller=KEY)
    (head,) = server.requests
    assert is_signed(head, KEY.access_key_id, KEY.access_key_secret)
    query = parse_qs(urlsplit(head.split()[1]).query)
    assert query == {
        "RoleArn": [ROLE.arn],
        "RoleSessionName": ["x y"],
        "DurationSeconds": ["7200"],
        "Policy": ['{"a": "b c"}'],
        "ExternalId": ["ex/1"],
    }


def test_the_token_is_never_in_the_url_or_a_header():
    with serving(granted()) as server:
        CALLS["AssumeRoleWithOIDC"](an_api(server.url))
    head = server.requests[0].partition("\r\n\r\n")[0]
    assert CANARY not in head
    assert "authorization" not in head.lower()
    assert parse_qs(urlsplit(head.split()[1]).query)["OIDCProviderArn"] == [PROVIDER]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "changes",
    [
        {"Expiration": iso(NOW)},
        {"Expiration": iso(NOW - 1)},
        {"Expiration": iso(NOW + 14 * 3600)},
        {"Expiration": "2026-01-02T04:04:05"},
        {"Expiration": CANARY},
        {"AccessKeyId": ""},
        {"AccessKeyId": None},
        {"SecurityToken": f"{CANARY}\r\nx: y"},
        {"AccessKeySecret": [CANARY]},
    ],
    ids=str,
)
def test_a_session_that_makes_no_sense_is_not_used(call, changes):
    with serving(granted(**changes)) as server, pytest.raises(RoleRefusedError) as caught:
        CALLS[call](an_api(server.url))
    assert is_clean(caught.value)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer(403, {"Code": "NoPermission", "Message": CANARY}), RoleRefusedError),
        (answer(400, {"Code": CANARY * 9, "Message": CANARY}), RoleRefusedError),
        (answer(400, {"Code": "Throttling.User", "Message": CANARY}, x_acs_retry_after="99999"), ThrottledError),
        (answer(200, CANARY.encode()), CloudUnreachableError),
        (answer(200, {"Credentials": CANARY}), RoleRefusedError),
        (answer(200, {}), RoleRefusedError),
        (answer(307, b"", Location="https://example.com"), CloudUnreachableError),
        (answer(500, {"Code": "InternalError", "Message": CANARY}), CloudUnreachableError),
        (say_nothing, CloudUnreachableError),
        (reset, CloudUnreachableError),
    ],
    ids=range(10),
)
def test_every_failure_is_ours_and_holds_no_secret(call, reply, kind):
    with serving(reply) as server, pytest.raises(CredentialProviderError) as caught:
        CALLS[call](an_api(server.url, seconds=1.5))
    assert isinstance(caught.value, kind)
    assert caught.value.remedy
    assert is_clean(caught.value)


def test_an_endpoint_that_cannot_be_reached_gives_way_to_the_next():
    with serving(granted()) as server:
        assert CALLS["AssumeRole"](an_api("http://127.0.0.1:1", server.url))


def test_a_wrong_clock_is_told():
    refused = answer(400, {"Code": "InvalidTimeStamp.Expired"}, at=NOW + 3600)
    with serving(refused) as server, pytest.raises(RoleRefusedError, match="3600 s behind") as caught:
        CALLS["AssumeRole"](an_api(server.url))
    assert "clock" in caught.value.remedy


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        ("AssumeRole", "NoPermission", "sts:AssumeRole on acs:ram::1111:role/pull"),
        ("AssumeRole", "EntityNotExist.Role", "Create the role"),
        ("AssumeRole", "InvalidParameter.DurationSeconds", "3600 s"),
        ("AssumeRole", "InvalidParameter.PolicyGrammar", "assumeRole.policy"),
        ("AssumeRole", "InvalidSecurityToken.Expired", "renew"),
        ("AssumeRole", "SomethingNew", "error codes of STS"),
        ("AssumeRoleWithOIDC", "AuthenticationFail.NoPermission", "oidc:sub"),
        ("AssumeRoleWithOIDC", "AuthenticationFail.OIDCToken.Expired", "clock"),
        ("AssumeRoleWithOIDC", "AuthenticationFail.OIDCToken.SomethingNew", "keys"),
        ("AssumeRoleWithOIDC", "EntityNotExist.Role", "Create the role"),
    ],
)
def test_each_code_has_its_remedy(call, code, words):
    with serving(answer(403, {"Code": code})) as server, pytest.raises(RoleRefusedError) as caught:
        CALLS[call](an_api(server.url))
    assert code in caught.value.problem
    assert words in caught.value.remedy
