"""Answers of real API servers (1.36 and 1.37) and of what stands in their place, and the cause of each."""

import json

import pytest
from acr_credential_provider.pull_secrets.kube.refusals import Answer, Cause, sentence
from hypothesis import given
from hypothesis import strategies as st

QUOTA = 'secrets "a" is forbidden: exceeded quota: few, requested: secrets=1, used: secrets=1, limited: secrets=1'
UNSAID = 'secrets "a" is forbidden: failed quota: few: must specify requests.cpu'
POLICY = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no Secrets here"
RBAC = 'secrets is forbidden: User "x" cannot create resource "secrets" in API group "" in the namespace "team"'
DENIED = 'admission webhook "w.example.com" denied the request: no'
BROKEN = (
    'Internal error occurred: failed calling webhook "w.example.com": failed to call webhook: Post "https://w": EOF'
)
ENDING = 'secrets "a" is forbidden: unable to create new content in namespace team because it is being terminated'
FIXED = 'Secret "a" is invalid: data: Forbidden: field is immutable when `immutable` is set'
TEST_FAILED = "the server rejected our request due to an error in our request"
ENDING_CAUSE = {"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]}


def answer(code, reason="", message="", **details):
    status = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}
    return Answer.read(code, json.dumps(status | ({"details": details} if details else {})).encode())


@pytest.mark.parametrize(
    ("verb", "answer", "cause"),
    [
        ("POST", answer(403, "Forbidden", QUOTA, name="a", kind="secrets"), Cause.QUOTA),
        ("POST", answer(403, "Forbidden", UNSAID, name="a", kind="secrets"), Cause.QUOTA),
        (
            "PATCH",
            answer(422, "Invalid", f'secrets "a" is forbidden: {POLICY}', name="a", kind="secrets"),
            Cause.POLICY,
        ),
        ("POST", answer(403, "Forbidden", f'secrets "a" is forbidden: {POLICY}', name="a"), Cause.POLICY),
        ("PATCH", answer(413, "RequestEntityTooLarge", POLICY), Cause.POLICY),
        ("POST", answer(403, "Forbidden", DENIED), Cause.POLICY),
        ("POST", answer(400, "", DENIED), Cause.POLICY),
        ("POST", answer(500, "InternalError", BROKEN), Cause.WEBHOOK),
        ("POST", answer(403, "Forbidden", RBAC, kind="secrets"), Cause.RBAC),
        ("POST", answer(403, "Forbidden", ENDING, name="a", kind="secrets", **ENDING_CAUSE), Cause.TERMINATING),
        ("POST", answer(403, "Forbidden", "words of another version", **ENDING_CAUSE), Cause.TERMINATING),
        ("PATCH", answer(422, "Invalid", FIXED, name="a", kind="Secret"), Cause.IMMUTABLE),
        ("PATCH", answer(422, "Invalid", TEST_FAILED), Cause.CONFLICT),
        ("PATCH", answer(422, "Invalid", "words of another version"), Cause.CONFLICT),
        ("PATCH", answer(422, "Invalid", "wrong", name="a", kind="Secret"), Cause.INVALID),
        ("POST", answer(422, "Invalid", "wrong"), Cause.INVALID),
        ("POST", answer(409, "AlreadyExists"), Cause.CONFLICT),
        ("PATCH", answer(404, "NotFound"), Cause.NOT_FOUND),
        ("POST", answer(404, "NotFound"), Cause.OTHER),
        ("GET", answer(404), Cause.OTHER),
        ("WATCH", answer(410, "Expired"), Cause.EXPIRED),
        ("LIST", answer(429, "TooManyRequests"), Cause.THROTTLED),
        ("GET", answer(401, "Unauthorized"), Cause.UNAUTHENTICATED),
        ("GET", answer(503, "ServiceUnavailable"), Cause.UNAVAILABLE),
        ("GET", answer(504, "Timeout"), Cause.UNAVAILABLE),
        ("POST", answer(403, "Forbidden", "a refusal in words that we do not know"), Cause.POLICY),
        ("POST", answer(403), Cause.RBAC),
        ("GET", Answer(0), Cause.UNAVAILABLE),
    ],
    ids=str,
)
def test_each_refusal_has_its_cause(verb, answer, cause):
    assert answer.cause(verb) is cause


def test_only_what_may_pass_by_itself_is_kept_from_operators():
    passing = {Cause.UNAVAILABLE, Cause.THROTTLED, Cause.CONFLICT, Cause.NOT_FOUND, Cause.EXPIRED}
    assert {cause for cause in Cause if cause.passes} == passing


@given(st.integers(0, 600), st.binary(max_size=200))
def test_any_body_has_a_cause(code, body):
    assert Answer.read(code, body).cause("PATCH") in Cause


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


@given(
    st.dictionaries(st.sampled_from(["reason", "message", "details"]), JSON | st.fixed_dictionaries({"causes": JSON}))
)
def test_any_status_is_read(document):
    read = Answer.read(403, json.dumps(document).encode())
    assert read.cause("POST") in Cause
    assert read.message.isprintable()
    assert len(read.message) <= 300


@pytest.mark.parametrize(
    "message",
    [
        "no: c2VjcmV0LXBhc3N3b3Jk here",
        "no: secret-password",
        'the value {"auths":{"x":{"auth":"secret-password"}}} is wrong',
        "cut off: c2VjcmV0LXBh",
    ],
)
@pytest.mark.parametrize(
    "sent",
    [
        {"data": {".dockerconfigjson": "c2VjcmV0LXBhc3N3b3Jk"}},
        [{"op": "add", "path": "/data", "value": {".dockerconfigjson": "c2VjcmV0LXBhc3N3b3Jk"}}],
        [{"op": "add", "path": "/data/.dockerconfigjson", "value": "c2VjcmV0LXBhc3N3b3Jk"}],
    ],
)
def test_what_was_sent_is_not_repeated(message, sent):
    read = Answer.read(422, json.dumps({"message": message}).encode(), sent=sent)
    assert "secret-p" not in read.message
    assert "c2Vj" not in read.message


def test_a_long_opaque_word_is_not_repeated_whoever_it_is_of():
    assert sentence(f"denied: {'QUJD' * 20} is no login") == "denied: ... is no login"
    name = "serviceaccounts.pull-secrets.aliyun-acr-credential-provider"
    assert name in sentence(f'failed calling webhook "{name}"')


@pytest.mark.parametrize(
    "message", ["a\nerror: b", "a\x1b[2Jb", "a\u2028b", "a\u202eb", "x" * 5000, "a\ud800b", "\x00"]
)
def test_what_is_quoted_is_one_short_printable_line(message):
    assert sentence(message).isprintable()
    assert len(sentence(message)) <= 300
