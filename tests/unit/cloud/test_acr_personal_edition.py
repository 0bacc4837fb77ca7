import pytest
from acr_credential_provider.cloud.acr_personal_edition import personal_token
from acr_credential_provider.cloud.proxy import ProxySettings
from acr_credential_provider.cloud.transport import Bounds, Transport
from acr_credential_provider.model.cloud_credential import CloudCredential, FixedCredential
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import CloudUnreachableError, RegistryRefusedError, ThrottledError
from unit.cloud.loopback import answer, header, reset, serving
from unit.cloud.safety import CANARY, is_clean
from unit.cloud.signatures import is_signed

NOW = 1_767_323_045.0  # 2026-01-02T03:04:05Z
SESSION = CloudCredential("STS.id", "secret-" + CANARY, "token-" + CANARY, 3600.0)
DATA = {
    "authorizationToken": "pass:word",
    "tempUserName": "temp_user_cr",
    "expireDate": int((NOW + 3600) * 1000),
    "requestId": "R-1",
}


def granted(**changes):
    return answer(200, {"data": DATA | changes, "requestId": "R-1"}, at=NOW)


def ask_for_token(*endpoints):
    transport = Transport(Deadline(5.0), proxy=ProxySettings(), bounds=Bounds(connect=0.3, hop=0.4, reserve=0.1))
    credentials = FixedCredential(SESSION)
    return personal_token(transport, credentials, region="cn-hangzhou", endpoints=endpoints, clock=lambda: NOW)


def test_the_call_is_a_signed_get_of_tokens_and_its_body_is_kept():
    with serving(granted()) as server:
        grant = ask_for_token(server.url)

    (head,) = server.requests
    assert head.startswith("GET /tokens HTTP/1.1\r\n")
    assert is_signed(head, SESSION.access_key_id, SESSION.access_key_secret)
    assert (header(head, "x-acs-version"), header(head, "x-acs-action")) == ("2016-06-07", "GetAuthorizationToken")
    assert header(head, "x-acs-security-token") == SESSION.security_token
    assert header(head, "content-length") is None
    assert (grant.username, grant.password, grant.life) == ("temp_user_cr", "pass:word", 3600.0)


def test_the_next_endpoint_is_asked_where_the_first_is_not_reached():
    with serving(granted()) as server:
        assert ask_for_token("http://127.0.0.1:1", server.url).username == "temp_user_cr"


@pytest.mark.parametrize(
    "reply",
    [
        granted(expireDate=int(NOW + 3600)),
        granted(expireDate="soon"),
        granted(expireDate=None),
        granted(authorizationToken=""),
        granted(tempUserName=None),
        granted(authorizationToken=[CANARY]),
        answer(200, {"data": CANARY}, at=NOW),
        answer(200, {"data": None}, at=NOW),
        answer(200, {}, at=NOW),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused_and_not_shown(reply):
    with serving(reply) as server, pytest.raises(RegistryRefusedError, match="Personal Edition in cn-h") as caught:
        ask_for_token(server.url)

    assert is_clean(caught.value)


def test_a_refusal_in_lower_case_names_code_and_remedy():
    reply = answer(403, {"code": "NoPermission", "message": CANARY, "requestId": "REQ-1"})
    with serving(reply) as server, pytest.raises(RegistryRefusedError) as caught:
        ask_for_token(server.url)

    assert "(NoPermission, HTTP 403, request id REQ-1)" in caught.value.problem
    assert "cr:GetAuthorizationToken" in caught.value.remedy
    assert is_clean(caught.value)


def test_throttling_and_silence_are_told_apart():
    slow = answer(400, {"code": "Throttling.User", "message": CANARY}, x_acs_retry_after="90000")
    with serving(slow) as server, pytest.raises(ThrottledError) as throttled:
        ask_for_token(server.url)
    with serving(reset) as server, pytest.raises(CloudUnreachableError) as unreachable:
        ask_for_token(server.url)

    assert throttled.value.retry_after == 90.0
    assert is_clean(throttled.value)
    assert is_clean(unreachable.value)
