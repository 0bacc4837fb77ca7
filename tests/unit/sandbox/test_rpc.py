"""The signature by which Alibaba Cloud's credentials libraries ask STS: refused by default, else judged in full."""

import base64
import hmac
import time
import uuid
from urllib.parse import quote, urlencode

import pytest
from sandbox.state import Principal, Role

EVERYTHING = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
TRUST = {
    "Version": "1",
    "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"RAM": ["acs:ram::1234567890123456:root"]}}
    ],
}
HOUR = 3600.0


def at(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


@pytest.fixture
def role(sandbox):
    return sandbox.state.add_role(Role("Pull", TRUST, policies=(EVERYTHING,)))


@pytest.fixture
def user():
    return Principal("sdk-user", policies=(EVERYTHING,))


@pytest.fixture
def assume(sandbox, send, role):
    """Sign as the libraries do, then send; *change* replaces parameters after that."""

    def ask(key, *, change=None, method="POST", **more):
        parameters = {
            "Action": "AssumeRole",
            "Version": "2015-04-01",
            "Timestamp": at(0),
            "SignatureMethod": "HMAC-SHA1",
            "SignatureVersion": "1.0",
            "SignatureNonce": uuid.uuid4().hex,
            "AccessKeyId": key.id,
            "RoleArn": role.arn,
            "RoleSessionName": "me",
            **({"SecurityToken": key.security_token} if key.security_token else {}),
            **more,
        }
        pairs = "&".join(f"{quote(name, safe='')}={quote(parameters[name], safe='')}" for name in sorted(parameters))
        digest = hmac.digest((key.secret + "&").encode(), f"{method}&%2F&{quote(pairs, safe='')}".encode(), "sha1")
        signed = {**parameters, "Signature": base64.b64encode(digest).decode(), **(change or {})}
        answer = send(f"{sandbox.sts.url}/?{urlencode(signed)}", method=method, tls=sandbox.client_context())
        return answer.document.get("Code", "opened")

    return ask


def test_it_is_refused_unless_asked_for(sandbox, assume, user):
    """This project's own programs must not pass by it."""
    assert assume(sandbox.state.add_key(user)) == "MissingAccessKeyId"
    assert assume(sandbox.state.add_key(user), method="GET") == "UnsupportedHTTPMethod"
    assert assume(sandbox.state.open_session(user, HOUR)) == "InvalidParameter"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_access_key_and_a_session_open_one(sandbox, assume, user, method):
    sandbox.sts_app.lenient = True
    assert assume(sandbox.state.add_key(user), method=method) == "opened"
    assert assume(sandbox.state.open_session(user, HOUR), method=method) == "opened"


def test_other_methods_are_not_supported(sandbox, assume, user):
    sandbox.sts_app.lenient = True
    assert assume(sandbox.state.add_key(user), method="DELETE") == "UnsupportedHTTPMethod"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"RoleSessionName": "another"}, "SignatureDoesNotMatch"),
        ({"Extra": "not signed"}, "SignatureDoesNotMatch"),
        ({"Signature": "AAAA"}, "SignatureDoesNotMatch"),
        ({"AccessKeyId": "LTAI5tUnknown"}, "InvalidAccessKeyId.NotFound"),
        ({"SecurityToken": "not mine"}, "InvalidSecurityToken.Malformed"),
        ({"Timestamp": at(HOUR)}, "InvalidTimeStamp.Expired"),
        ({"Timestamp": "yesterday"}, "InvalidTimeStamp.Format"),
        ({"SignatureMethod": "HMAC-SHA256"}, "InvalidParameter"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_what_was_changed_after_signing_is_refused(sandbox, assume, user, change, code):
    sandbox.sts_app.lenient = True
    assert assume(sandbox.state.add_key(user), change=change) == code


def test_a_nonce_is_good_once(sandbox, assume, user):
    sandbox.sts_app.lenient = True
    key = sandbox.state.add_key(user)
    assert assume(key, SignatureNonce="n") == "opened"
    assert assume(key, SignatureNonce="n") == "SignatureNonceUsed"
    assert assume(sandbox.state.add_key(user), SignatureNonce="n") == "opened"


def test_an_ended_session_opens_none(sandbox, assume, user):
    sandbox.sts_app.lenient = True
    assert assume(sandbox.state.open_session(user, -1.0)) == "InvalidSecurityToken.Expired"
