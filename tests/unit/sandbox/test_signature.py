"""The verifier agrees with the protocol's text, and refuses what only looks signed."""

import hashlib
from dataclasses import replace

import pytest
from sandbox.clock import SandboxClock
from sandbox.signature import acs3_signature, canonical_request, rpc_signature, rpc_string_to_sign
from sandbox.state import AccessKey, CloudState, Principal
from sandbox.wire import Request

EMPTY = hashlib.sha256(b"").hexdigest()
VECTOR = {
    "accept": "application/json",
    "host": "cr-vpc.cn-hangzhou.aliyuncs.com",
    "user-agent": "ua",
    "x-acs-action": "GetAuthorizationToken",
    "x-acs-content-sha256": EMPTY,
    "x-acs-date": "2026-01-02T03:04:05Z",
    "x-acs-signature-nonce": "n",
    "x-acs-version": "2018-12-01",
}


@pytest.mark.parametrize("space", ["+", "%20"])
def test_the_known_signature_comes_out_however_the_url_writes_a_space(space):
    target = f"/?ExpiresInHours=3&InstanceId=cri-x{space}y*~"
    request = Request("POST", target, tuple(VECTOR.items()))

    signature = acs3_signature(canonical_request(request, sorted(VECTOR)), "SK1")

    assert signature == "2efb7373680f2ae0ad11e4146a8db03391f5046900667268b40248c31453ede1"


def test_the_rpc_signature_of_the_documentations_example_comes_out():
    parameters = {
        "Timestamp": "2016-02-23T12:46:24Z",
        "Format": "XML",
        "AccessKeyId": "testid",
        "Action": "DescribeRegions",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
        "Version": "2014-05-26",
        "SignatureVersion": "1.0",
    }

    signature = rpc_signature(rpc_string_to_sign("GET", parameters), "testsecret")

    assert signature == "OLeaidS1JvxuMvnyHOwuJ+uX5qY="


def test_a_signed_call_is_let_in(api):
    assert api.call().status == 200


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"Authorization": ""}, 400, "MissingAccessKeyId"),
        ({"Authorization": "Basic QTpC"}, 400, "MissingAccessKeyId"),
        ({"x-acs-action": "ListInstanceEndpoint"}, 400, "SignatureDoesNotMatch"),
        ({"x-acs-content-sha256": "0" * 64}, 400, "SignatureDoesNotMatch"),
        ({"host": "elsewhere"}, 400, "SignatureDoesNotMatch"),
        ({"x-acs-signature-nonce": "another"}, 400, "SignatureDoesNotMatch"),
        ({"x-acs-extra": "not signed"}, 400, "IncompleteSignature"),
        ({"x-acs-date": "yesterday"}, 400, "InvalidTimeStamp.Format"),
        ({"x-acs-security-token": "not mine"}, 400, "IncompleteSignature"),
    ],
)
def test_what_was_changed_after_signing_is_refused(api, change, status, code):
    answer = api.call(change=change)

    assert (answer.status, answer.document["Code"]) == (status, code)
    assert set(answer.document) == {"Code", "Message", "RequestId", "HostId", "Recommend"}


@pytest.mark.parametrize(
    "header",
    ["host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"],
)
def test_every_common_header_must_be_signed(api, header):
    assert api.call(unsigned=[header]).document["Code"] == "IncompleteSignature"


def test_the_security_token_must_be_signed_too(api, sandbox):
    session = sandbox.node.session()

    assert api.call(key=session).status == 200
    assert api.call(key=session, unsigned=["x-acs-security-token"]).document["Code"] == "IncompleteSignature"


def test_an_unknown_key_is_not_found(api):
    stranger = AccessKey("LTAI5tNobody", "secret", Principal("nobody"))

    answer = api.call(key=stranger)

    assert (answer.status, answer.document["Code"]) == (404, "InvalidAccessKeyId.NotFound")


def test_the_right_key_with_the_wrong_secret_is_refused(api, sandbox):
    assert api.call(key=replace(sandbox.key, secret="wrong")).document["Code"] == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("clock_error", "code"),
    [
        (890, "success"),
        (-890, "success"),
        (910, "InvalidTimeStamp.Expired"),
        (-910, "InvalidTimeStamp.Expired"),
    ],
)
def test_a_client_clock_may_be_fifteen_minutes_off_and_no_more(api, clock_error, code):
    api.clock_error = clock_error

    assert api.call().document["Code"] == code


def test_a_nonce_is_good_for_one_call(api):
    api.nonce = "used twice"

    assert api.call().status == 200
    answer = api.call()
    assert (answer.status, answer.document["Code"]) == (400, "SignatureNonceUsed")


def test_who_cannot_sign_cannot_use_up_a_nonce(api, sandbox):
    api.nonce = "wanted by both"

    assert api.call(key=replace(sandbox.key, secret="wrong")).status == 400
    assert api.call().status == 200


@pytest.mark.parametrize(
    ("token", "code"),
    [("", "InvalidSecurityToken.Malformed"), ("CAISother", "InvalidSecurityToken.Malformed")],
    ids=["absent", "another's"],
)
def test_a_session_key_needs_its_own_token(api, sandbox, token, code):
    session = replace(sandbox.node.session(), security_token=token)

    assert api.call(key=session).document["Code"] == code


def test_a_session_ends(api, sandbox):
    session = sandbox.node.session()
    sandbox.clock.skew = 6 * 3600 + 1

    answer = api.call(key=session)

    assert (answer.status, answer.document["Code"]) == (400, "InvalidSecurityToken.Expired")


def test_a_nonce_may_come_again_once_its_date_could_not():
    now = [1000.0]
    state = CloudState(SandboxClock(lambda: now[0]))

    assert state.use_nonce("AK", "n", keep=1800)
    assert not state.use_nonce("AK", "n", keep=1800)
    now[0] += 1801
    assert state.use_nonce("AK", "n", keep=1800)
