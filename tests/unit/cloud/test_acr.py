import time

import pytest
from acr_credential_provider.cloud.acr import AcrApi, acr_endpoints
from acr_credential_provider.cloud.proxy import ProxySettings
from acr_credential_provider.cloud.transport import Bounds, Transport
from acr_credential_provider.model.cloud_credential import CloudCredential, FixedCredential
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import (
    CloudUnreachableError,
    ConfigurationError,
    IdentityUnavailableError,
    RegistryRefusedError,
    ThrottledError,
)
from support.ports import closed_port
from unit.cloud.loopback import answer, drip, header, reset, say_nothing, serving
from unit.cloud.safety import CANARY, is_clean
from unit.cloud.signatures import is_signed, signature

NOW = 1_767_323_045.0  # 2026-01-02T03:04:05Z
SESSION = CloudCredential("STS.id", "secret-" + CANARY, "token-" + CANARY, 3600.0)
KEY = CloudCredential("LTAI-1", "secret-" + CANARY)
GRANTED = {
    "IsSuccess": True,
    "Code": "success",
    "RequestId": "R-1",
    "TempUsername": "cr_temp_user",
    "AuthorizationToken": "pass:word",
    "ExpireTime": int((NOW + 3600) * 1000),
}


def granted(at=NOW, **changes):
    return answer(200, GRANTED | changes, at=at)


def an_api(*endpoints, credential=SESSION, seconds=5.0, clock=lambda: NOW):
    transport = Transport(Deadline(seconds), proxy=ProxySettings(), bounds=Bounds(connect=0.3, hop=0.4, reserve=0.1))
    provider = FixedCredential(credential) if isinstance(credential, CloudCredential) else credential
    return AcrApi(transport, provider, region="cn-hangzhou", endpoints=endpoints, clock=clock)


def test_the_verifier_of_these_tests_agrees_with_the_documented_vector():
    headers = {
        "accept": "application/json",
        "host": "cr-vpc.cn-hangzhou.aliyuncs.com",
        "user-agent": "ua",
        "x-acs-action": "GetAuthorizationToken",
        "x-acs-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-acs-date": "2026-01-02T03:04:05Z",
        "x-acs-signature-nonce": "n",
        "x-acs-version": "2018-12-01",
    }
    query = [("InstanceId", "cri-x y*~"), ("ExpiresInHours", "3")]

    assert signature("SK1", method="POST", path="/", query=query, headers=headers) == (
        "2efb7373680f2ae0ad11e4146a8db03391f5046900667268b40248c31453ede1"
    )


class TestAuthorizationToken:
    @pytest.mark.parametrize("credential", [SESSION, KEY], ids=["session", "access key"])
    def test_the_request_is_signed_as_documented(self, credential):
        with serving(granted()) as server:
            an_api(server.url, credential=credential).authorization_token("cri-x y*~", hours=3)

        (head,) = server.requests
        assert is_signed(head, credential.access_key_id, credential.access_key_secret)
        assert head.startswith("POST /?ExpiresInHours=3&InstanceId=cri-x%20y%2A~ HTTP/1.1\r\n")
        assert header(head, "x-acs-action") == "GetAuthorizationToken"
        assert header(head, "x-acs-date") == "2026-01-02T03:04:05Z"
        assert header(head, "x-acs-security-token") == (credential.security_token or None)
        assert header(head, "user-agent").startswith("aliyun-acr-credential-provider/")

    @pytest.mark.parametrize("off", [-86400.0, 0.0, 86400.0])
    def test_the_life_is_told_by_the_clouds_clock_alone(self, off):
        with serving(granted()) as server:
            grant = an_api(server.url, clock=lambda: NOW + off).authorization_token("cri-1", hours=1)

        assert (grant.username, grant.password, grant.life) == ("cr_temp_user", "pass:word", 3600.0)

    @pytest.mark.parametrize(
        "changes",
        [
            {"ExpireTime": int(NOW + 3600)},
            {"ExpireTime": int((NOW - 1) * 1000)},
            {"ExpireTime": int((NOW + 26 * 3600) * 1000)},
            {"ExpireTime": None},
            {"ExpireTime": str(int((NOW + 3600) * 1000))},
            {"ExpireTime": True},
            {"ExpireTime": 10**400},
            {"ExpireTime": 1e300},
            {"at": False},
        ],
        ids=["in seconds", "past", "too far", "none", "text", "boolean", "huge", "float", "no Date to measure by"],
    )
    def test_an_expiry_that_makes_no_sense_is_refused(self, changes):
        with serving(granted(**changes)) as server, pytest.raises(RegistryRefusedError, match="cri-1") as caught:
            an_api(server.url).authorization_token("cri-1", hours=1)

        assert is_clean(caught.value)

    @pytest.mark.parametrize(
        "changes",
        [
            {"AuthorizationToken": ""},
            {"AuthorizationToken": None},
            {"AuthorizationToken": {"x": CANARY}},
            {"AuthorizationToken": CANARY + "\n"},
            {"TempUsername": ""},
            {"TempUsername": [CANARY]},
        ],
    )
    def test_a_login_that_is_none_is_refused_and_not_shown(self, changes):
        with serving(granted(**changes)) as server, pytest.raises(RegistryRefusedError, match="usable") as caught:
            an_api(server.url).authorization_token("cri-1", hours=1)

        assert is_clean(caught.value)


def listed(*endpoints, **changes):
    return answer(200, {"IsSuccess": True, "Code": "success", "Endpoints": list(endpoints)} | changes)


def an_endpoint(*domains, enable=True, kind="SYSTEM"):
    return {"Enable": enable, "EndpointType": "vpc", "Domains": [{"Domain": one, "Type": kind} for one in domains]}


class TestRegistryDomains:
    def test_only_enabled_endpoints_count_and_custom_domains_do_too(self):
        own = "shop-registry-vpc.cn-hangzhou.cr.aliyuncs.com"
        reply = listed(
            an_endpoint(own, own),
            an_endpoint("images.Shop.example", kind="USER"),
            an_endpoint("shop-registry.cn-hangzhou.cr.aliyuncs.com", enable=False),
            an_endpoint("odd.example", kind="OTHER"),
            an_endpoint("no host\n", None, 7),
        )
        with serving(reply) as server:
            assert an_api(server.url).registry_domains("cri-1") == (own, "images.shop.example")

        assert "InstanceId=cri-1&ModuleName=Registry" in server.requests[0]
        assert is_signed(server.requests[0], SESSION.access_key_id, SESSION.access_key_secret)

    def test_an_instance_without_endpoints_has_no_domains(self):
        with serving(listed()) as server:
            assert an_api(server.url).registry_domains("cri-1") == ()

    @pytest.mark.parametrize(
        "endpoints",
        [7, CANARY, {"x": CANARY}, [CANARY], [[CANARY]], [{"Domains": CANARY}], [{"Enable": True, "Domains": [7]}]],
    )
    def test_a_list_of_another_shape_is_an_error_of_ours(self, endpoints):
        with serving(listed(Endpoints=endpoints)) as server, pytest.raises(RegistryRefusedError) as caught:
            an_api(server.url).registry_domains("cri-1")

        assert is_clean(caught.value)


def refused(code, status=400, *, at=None, **members):
    echo = {"Message": f"server string to sign is {CANARY}", "Recommend": CANARY, "AccessDeniedDetail": {"x": CANARY}}
    return answer(status, {"Code": code, "RequestId": "REQ-1", **echo, **members}, at=at)


REFUSALS = [
    (refused("NoPermission", 403), "cr:PullRepository"),
    (refused("Forbidden.RAM", 403), "cr:GetAuthorizationToken"),
    (refused("StatusForbidden", 403), "cr:ListInstanceEndpoint"),
    (refused("InvalidAccessKeyId.NotFound", 404), "unknown or disabled"),
    (refused("InvalidAccessKeyId.Inactive", 403), "unknown or disabled"),
    (refused("SignatureDoesNotMatch"), "secret"),
    (refused("InvalidSecurityToken.Expired"), "session"),
    (refused("InvalidSecurityToken.MismatchWithAccessKey"), "session"),
    (refused("INSTANCE_NOT_EXIST", 200, IsSuccess=False), "instanceId or region"),
    (refused("INSTANCE_STATUS_NOT_SUPPORT", 200, IsSuccess=False), "Running"),
    (refused("SOMETHING_NEW", 200, IsSuccess=False), "error codes"),
    (refused(f"odd code {CANARY}", 400), "error codes"),
    (refused({"x": CANARY}, 400), "error codes"),
    (answer(400, {"code": "NoPermission", "message": CANARY, "requestId": CANARY + " x"}), "cr:PullRepository"),
    (answer(400, {}), "error codes"),
]


@pytest.mark.parametrize(("reply", "remedy"), REFUSALS)
def test_a_refusal_is_final_says_what_to_do_and_repeats_nothing(reply, remedy):
    with serving(reply) as first, serving(granted()) as second, pytest.raises(RegistryRefusedError) as caught:
        an_api(first.url, second.url).authorization_token("cri-1", hours=1)

    assert (len(first.requests), len(second.requests)) == (1, 0)
    assert caught.value.problem.startswith("GetAuthorizationToken for cri-1 was refused (")
    assert remedy.lower() in caught.value.remedy.lower()
    assert is_clean(caught.value)


def test_code_status_and_request_id_are_told():
    with (
        serving(refused("NoPermission", 403)) as server,
        pytest.raises(RegistryRefusedError, match=r"\(NoPermission, HTTP 403, request id REQ-1\)"),
    ):
        an_api(server.url).authorization_token("cri-1", hours=1)


@pytest.mark.parametrize(("off", "told"), [(1200, "1200 s ahead"), (-4000, "4000 s behind")])
def test_a_wrong_clock_is_measured(off, told):
    with (
        serving(refused("InvalidTimeStamp.Expired", at=NOW)) as server,
        pytest.raises(RegistryRefusedError, match=told) as caught,
    ):
        an_api(server.url, clock=lambda: NOW + off).authorization_token("cri-1", hours=1)

    assert "chrony" in caught.value.remedy


@pytest.mark.parametrize(
    "reply",
    [
        refused("Throttling.User"),
        refused("Throttling", 429),
        refused("Rejected.Throttling", 503),
        refused("Throttling.Api", 200, IsSuccess=False),
        answer(429, b"slow down"),
        answer(400, {"Code": "Any"}, x_acs_retry_after="10"),
    ],
    ids=["user", "429", "503", "200", "no JSON", "another code"],  # by itself, a name would hold the hour
)
def test_throttling_is_waited_out_and_the_next_request_is_newly_signed(reply):
    with serving(reply, granted()) as server:
        an_api(server.url).authorization_token("cri-1", hours=1)

    nonces = {header(head, "x-acs-signature-nonce") for head in server.requests}
    assert len(nonces) == len(server.requests) == 2
    assert all(is_signed(head, SESSION.access_key_id, SESSION.access_key_secret) for head in server.requests)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("headers", "seconds"), [({"x_acs_retry_after": "90000"}, 90.0), ({"Retry_After": "60"}, 60.0)]
)
def test_throttling_for_longer_than_there_is_time_is_told_at_once(headers, seconds):
    with serving(answer(429, {"Code": "Throttling.User", "Message": CANARY}, **headers)) as server:
        begun = time.monotonic()
        with pytest.raises(ThrottledError, match="throttled") as caught:
            an_api(server.url).authorization_token("cri-1", hours=1)

    assert time.monotonic() - begun < 1.0
    assert (caught.value.retry_after, len(server.requests)) == (seconds, 1)
    assert is_clean(caught.value)


@pytest.mark.parametrize("fault", [answer(500, b"<html>" + CANARY.encode()), answer(502, {"Code": CANARY}), reset, b""])
def test_a_fault_that_passes_is_tried_again_where_it_was(fault):
    with serving(fault, granted()) as first, serving(granted()) as second:
        an_api(first.url, second.url).authorization_token("cri-1", hours=1)

    assert (len(first.requests), len(second.requests)) == (2, 0)


def test_a_fault_that_stays_ends_after_three_tries_with_its_cause():
    fault = answer(503, {"Code": "ServiceUnavailable", "RequestId": "REQ-1", "Message": CANARY})
    told = "ServiceUnavailable, HTTP 503, request id REQ-1"
    with serving(fault) as server, pytest.raises(CloudUnreachableError, match=told) as caught:
        an_api(server.url).authorization_token("cri-1", hours=1)

    assert len(server.requests) == 3
    assert is_clean(caught.value)


@pytest.mark.parametrize("body", [b"<html>" + CANARY.encode(), b"  <!doctype html>" + CANARY.encode()])
@pytest.mark.parametrize("status", [200, 403])
def test_a_web_page_is_a_proxy_or_portal_and_not_acr(status, body):
    with serving(answer(status, body)) as server, pytest.raises(CloudUnreachableError, match="web page") as caught:
        an_api(server.url).authorization_token("cri-1", hours=1)

    assert "portal" in caught.value.remedy
    assert is_clean(caught.value)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"x"', b"{" + CANARY.encode(), b"[" * 50000, b"\xff\xfe"])
def test_an_answer_that_is_no_json_object_is_not_acrs(body):
    with serving(answer(200, body)) as server, pytest.raises(CloudUnreachableError, match="JSON") as caught:
        an_api(server.url).authorization_token("cri-1", hours=1)

    assert is_clean(caught.value)


class TestEndpoints:
    def test_an_endpoint_that_cannot_be_reached_gives_way_and_is_not_asked_first_again(self):
        closed = f"http://127.0.0.1:{closed_port()}"
        with serving(granted(), listed()) as server:
            api = an_api(closed, server.url)
            api.authorization_token("cri-1", hours=1)
            api.registry_domains("cri-1")

        assert len(server.requests) == 2
        assert all(is_signed(head, SESSION.access_key_id, SESSION.access_key_secret) for head in server.requests)

    @pytest.mark.parametrize("behaviour", [say_nothing, drip(b"x")])
    def test_an_endpoint_that_hangs_gives_way(self, behaviour):
        with serving(behaviour) as first, serving(granted()) as second:
            assert an_api(first.url, second.url).authorization_token("cri-1", hours=1).life == 3600.0

    @pytest.mark.alone
    def test_when_none_can_be_reached_each_ones_cause_is_told_before_the_deadline(self):
        with serving(say_nothing) as first, serving(say_nothing) as second:
            begun = time.monotonic()
            with pytest.raises(CloudUnreachableError) as caught:
                an_api(first.url, second.url, seconds=1.2).authorization_token("cri-1", hours=1)

        assert time.monotonic() - begun < 1.2
        assert f"the call to 127.0.0.1:{first.port} timed out" in caught.value.problem
        assert f"127.0.0.1:{second.port} timed out" in caught.value.problem
        assert is_clean(caught.value)

    @pytest.mark.parametrize("region", ["", "cn-hangzhou.evil.example/", "CN-HANGZHOU", "cn_hangzhou", "cn-hangzhou\n"])
    def test_a_region_that_is_none_makes_no_host(self, region):
        with pytest.raises(ConfigurationError, match="region"):
            acr_endpoints(region, vpc_first=False)

    def test_a_providers_own_error_passes_as_it_is(self):
        class Refusing:
            def get_credentials(self):
                raise IdentityUnavailableError("no role", remedy="Attach one.")

        with serving(granted()) as server, pytest.raises(IdentityUnavailableError, match="no role") as caught:
            an_api(server.url, credential=Refusing()).authorization_token("cri-1", hours=1)

        assert server.requests == []
        assert is_clean(caught.value)

    def test_what_else_a_provider_raises_is_not_passed_on(self):
        class Broken:
            def get_credentials(self):
                raise ValueError(CANARY)

        with serving(granted()) as server, pytest.raises(Exception) as caught:
            an_api(server.url, credential=Broken()).authorization_token("cri-1", hours=1)

        assert is_clean(caught.value)
