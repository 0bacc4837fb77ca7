"""The cloud on a bad day, or somebody in its place: the true cause in one line, what to do in the next."""

import json
import re
import time

import pytest
import trustme
from conftest import write_settings
from e2e.assertions import assert_answered, assert_told, assert_whole, image_of
from sandbox.faults import Echo, Failure, Grant, Html, NotSuccess, Raw, Throttle

TWENTY_MINUTES = 1200.0


def with_settings(program, sandbox, change):
    settings = sandbox.settings()
    change(settings)
    write_settings(program.settings.parent, settings)


def by_node_role(settings):
    settings["registries"][0]["identity"] = {"kind": "nodeRole"}


@pytest.mark.parametrize("skew", [TWENTY_MINUTES, -TWENTY_MINUTES], ids=["behind", "ahead"])
@pytest.mark.parametrize("identity", ["accessKey", "nodeRole"])
def test_a_clock_that_is_twenty_minutes_off_is_named_with_its_error(frozen, sandbox, skew, identity):
    if identity == "nodeRole":
        with_settings(frozen, sandbox, by_node_role)
    sandbox.clock.skew = skew
    ended = frozen.ask(image_of(sandbox))
    assert_told(ended, "this node's clock is", "behind" if skew > 0 else "ahead", "chrony")
    off = int(re.search(r"clock is (\d+) s", ended.stderr.decode())[1])
    assert abs(off - TWENTY_MINUTES) < 10
    sandbox.clock.skew = 0.0


@pytest.mark.parametrize("skew", [600.0, -600.0], ids=["behind", "ahead"])
def test_a_clock_that_is_ten_minutes_off_neither_kills_nor_revives_a_token(frozen, sandbox, skew):
    """ACR takes such a signature; the token's life is counted by ACR's own clock."""
    sandbox.clock.skew = skew
    first = frozen.ask(image_of(sandbox))
    assert_answered(first, sandbox)
    shown = json.loads(frozen.run(b"", "cache", "show", "--output", "json", "--cache", str(frozen.cache)).stdout)
    (dead_in,) = (row["expiresInSeconds"] for row in shown if row["kind"] == "token")
    assert 3600 - 60 - 30 < dead_in <= 3600 - 60 + 2


def test_a_cloud_that_refuses_connections_is_named(frozen, sandbox):
    with_settings(frozen, sandbox, lambda all_: all_["registries"][0]["endpoints"].update(acr="https://127.0.0.1:1"))
    assert_told(frozen.ask(image_of(sandbox)), "connect to 127.0.0.1:1 was refused", "firewalls", within=8)


def test_a_certificate_of_an_unknown_ca_is_refused_and_the_bundle_named(frozen, sandbox, tmp_path):
    other = tmp_path / "other-ca.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with_settings(frozen, sandbox, lambda all_: all_.update(caBundle=str(other)))
    ended = frozen.ask(image_of(sandbox))
    assert_told(ended, "is not trusted by", str(other), "caBundle")
    assert sandbox.calls.counts() == {}


def test_a_certificate_for_another_name_is_refused(frozen, sandbox):
    sandbox.openapi.listen("127.0.0.77")  # the certificate has 127.0.0.1 to 9
    host, port = sandbox.openapi.addresses[-1]
    url = f"https://{host}:{port}"
    with_settings(frozen, sandbox, lambda all_: all_["registries"][0]["endpoints"].update(acr=url))
    assert_told(frozen.ask(image_of(sandbox)), "is for another host")
    assert sandbox.calls.counts() == {}


def test_no_ca_bundle_at_all_is_named(frozen, sandbox, tmp_path):
    with_settings(frozen, sandbox, lambda all_: all_.update(caBundle=str(tmp_path / "absent.pem")))
    assert_told(frozen.ask(image_of(sandbox)), "absent.pem", "ca-certificates")
    (tmp_path / "absent.pem").write_text("not a certificate")
    frozen.settings.write_bytes(frozen.settings.read_bytes())
    assert_told(frozen.ask(image_of(sandbox)), "absent.pem", "ca-certificates")


TIMELESS = '{"IsSuccess":true,"TempUsername":"u","AuthorizationToken":"p","ExpireTime":'
ANSWERS = {
    "a page": (Html(), ("web page", "captive portal")),
    "a page with 403": (Html(status=403), ("web page", "captive portal")),
    "a page with 503": (Html(status=503), ("HTTP 503",)),
    "IsSuccess is false": (NotSuccess(), ("INSTANCE_STATUS_NOT_SUPPORT", "Running")),
    "IsSuccess is false, no code": (Raw('{"IsSuccess":false}'), ("unknown code",)),
    "an empty object": (Raw("{}"), ("no usable token",)),
    "an empty body": (Raw(""), ("not a JSON object",)),
    "deep JSON": (Raw('{"a":' * 9000 + "1" + "}" * 9000), ("not a JSON object",)),
    "numbers of many digits": (Raw('{"ExpireTime":' + "9" * 6000 + "}"), ("not a JSON object",)),
    "NaN": (
        Raw('{"IsSuccess":true,"TempUsername":"u","AuthorizationToken":"p","ExpireTime":NaN}'),
        ("is impossible by ACR's own clock",),
    ),
    "an infinite expiry": (
        Raw('{"IsSuccess":true,"TempUsername":"u","AuthorizationToken":"p","ExpireTime":1e999}'),
        ("is impossible by ACR's own clock",),
    ),
    "an expiry that is true": (
        Raw('{"IsSuccess":true,"TempUsername":"u","AuthorizationToken":"p","ExpireTime":true}'),
        ("is impossible by ACR's own clock",),
    ),
    "a login with a line break": (
        Raw('{"IsSuccess":true,"TempUsername":"u\\nx","AuthorizationToken":"p","ExpireTime":1}'),
        ("no usable token",),
    ),
    "expired on arrival": (Grant(expiry="past"), ("is impossible by ACR's own clock",)),
    "expiry in seconds": (Grant(expiry="seconds"), ("is impossible by ACR's own clock",)),
    "expiry in the year 9999": (Grant(expiry="far"), ("is impossible by ACR's own clock",)),
    "no expiry": (Grant(expiry="absent"), ("is impossible by ACR's own clock",)),
    "no such instance": (Failure(404, "INSTANCE_NOT_EXIST", "no"), ("INSTANCE_NOT_EXIST", "instanceId or region")),
    "no permission": (Failure(403, "NoPermission", "no"), ("cr:GetAuthorizationToken", "RAM policy")),
    "unknown key": (Failure(404, "InvalidAccessKeyId.NotFound", "no"), ("InvalidAccessKeyId.NotFound", "disabled")),
    "wrong secret": (Echo(), ("SignatureDoesNotMatch", "does not belong to this access key")),
    "expired session": (Failure(400, "InvalidSecurityToken.Expired", "no"), ("InvalidSecurityToken", "expired")),
    "an instance in arrears": (NotSuccess(), ("INSTANCE_STATUS_NOT_SUPPORT", "in arrears", "renew it")),
    "an account in arrears": (Failure(400, "Arrearage", "no"), ("Arrearage", "in arrears", "Expenses and Costs")),
    "a service not activated": (
        Failure(403, "ServiceNotActivated", "no"),
        ("ServiceNotActivated", "about activation", "activate it"),
    ),
    "an unknown code about a quota": (
        Failure(400, "InstanceQuotaExceeded", "no"),
        ("This is about quota", "Quota Center"),
    ),
    "a code that is an essay": (Failure(400, "x" * 5000, "no"), ("unknown code",)),
    "throttled": (Throttle(), ("throttled", "quota")),
    "throttled for a minute": (Throttle(retry_after_ms=60_000), ("throttled", "quota")),
    "throttled by 429": (Throttle(429, "Whatever"), ("throttled", "quota")),
    "throttled for ever": (Throttle(retry_after_ms=9_999_999_999), ("throttled", "quota")),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_none_is_told_with_its_remedy(frozen, sandbox, name):
    fault, words = ANSWERS[name]
    sandbox.faults.add("GetAuthorizationToken", fault)
    ended = frozen.ask(image_of(sandbox))
    assert_told(ended, *words, within=10)
    assert len(ended.stderr) < 1000


@pytest.mark.parametrize(("retry_after", "least"), [(None, 10.0), (500, 10.0), (40_000, 35.0)])
def test_after_throttling_the_cloud_is_left_alone_for_as_long_as_it_said(frozen, sandbox, retry_after, least):
    sandbox.faults.add("GetAuthorizationToken", Throttle(retry_after_ms=retry_after))
    assert_told(frozen.ask(image_of(sandbox)), "throttled")
    calls = sandbox.calls.count("GetAuthorizationToken")
    assert calls <= 3
    assert_told(frozen.ask(image_of(sandbox)), "throttled", within=3)
    assert sandbox.calls.count("GetAuthorizationToken") == calls
    shown = json.loads(frozen.run(b"", "cache", "show", "--output", "json", "--cache", str(frozen.cache)).stdout)
    assert all(row["expiresInSeconds"] > least for row in shown if row["kind"] == "failed")


def test_a_session_that_ends_sooner_than_its_token_ends_the_token(frozen, sandbox):
    """ACR's token lives no longer than the session behind it, and that is what counts."""
    with_settings(frozen, sandbox, by_node_role)
    sandbox.state.session_life = 300.0
    ended = frozen.ask(image_of(sandbox))
    assert_answered(ended, sandbox)
    assert ended.duration <= 150


def test_a_session_that_is_over_is_told_and_a_new_one_works(frozen, sandbox):
    with_settings(frozen, sandbox, by_node_role)
    sandbox.faults.add("GetAuthorizationToken", Failure(400, "InvalidSecurityToken.Expired", "no"), times=1)
    assert_told(frozen.ask(image_of(sandbox)), "InvalidSecurityToken.Expired")
    for memo in (frozen.cache / "memo").glob("*.failed"):
        memo.unlink()
    assert_answered(frozen.ask(image_of(sandbox)), sandbox)


def test_the_living_token_serves_while_the_cloud_refuses(frozen, sandbox):
    """A refusal on renewal is not this pull's trouble as long as the token lives."""
    sandbox.state.token_life = 30.0
    first = frozen.ask(image_of(sandbox))
    assert_answered(first, sandbox)
    sandbox.faults.add("GetAuthorizationToken", Failure(403, "NoPermission", "no"))
    _wait_until_due(frozen)
    for _ in range(2):
        ended = frozen.ask(image_of(sandbox))
        assert ended.code == 0
        assert_whole(ended.stdout, sandbox)
        assert ended.stdout.partition(b'"auth"')[2] == first.stdout.partition(b'"auth"')[2]


def _wait_until_due(program):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        shown = json.loads(program.run(b"", "cache", "show", "--output", "json", "--cache", str(program.cache)).stdout)
        if all(row["refreshInSeconds"] < 0 for row in shown if row["kind"] == "token"):
            return
        time.sleep(0.5)
    raise AssertionError("never due")
