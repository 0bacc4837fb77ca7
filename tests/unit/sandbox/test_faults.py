"""Each fault happens as asked, as often as asked, and never keeps the sandbox from closing."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sandbox import AcrSandbox
from sandbox.faults import (
    Delay,
    Drip,
    Echo,
    Failure,
    Grant,
    Hang,
    Html,
    Huge,
    NotSuccess,
    Raw,
    Redirect,
    Reset,
    Throttle,
    decode,
)
from sandbox.foreign import ForeignHost

ACTION = "GetAuthorizationToken"


def test_faults_of_one_kind_form_a_script(api, sandbox):
    sandbox.faults.add(ACTION, Throttle(), times=2)
    sandbox.faults.add(ACTION, Failure(500, "InternalError"), times=1)

    assert [api.call().status for _ in range(4)] == [400, 400, 500, 200]


def test_a_fault_without_number_stays_until_cleared(api, sandbox):
    sandbox.faults.add("openapi", Failure(502))

    assert [api.call().status for _ in range(3)] == [502] * 3
    sandbox.faults.clear("openapi")
    assert api.call().status == 200


def test_a_fault_meets_only_its_target(api, sandbox):
    sandbox.faults.add(ACTION, Failure())

    assert api.call("ListInstanceEndpoint").status == 200
    assert api.call().status == 503


def test_who_signs_wrongly_hears_that_first(api, sandbox):
    sandbox.faults.add(ACTION, Throttle())

    assert api.call(change={"x-acs-version": "x"}).document["Code"] == "SignatureDoesNotMatch"


def test_a_misspelt_target_is_an_error(sandbox):
    with pytest.raises(ValueError, match="no such target"):
        sandbox.faults.add("GetAuthorisationToken", Throttle())
    with pytest.raises(ValueError, match="not known at connect"):
        sandbox.faults.add(ACTION, Hang("connect"))
    with pytest.raises(ValueError, match="it can be headers, body"):
        Drip("request")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Throttle(), 400, "Throttling.User"),
        (Throttle(429, "Throttling.Api"), 429, "Throttling.Api"),
        (Failure(), 503, "ServiceUnavailable"),
        (NotSuccess(), 200, "INSTANCE_STATUS_NOT_SUPPORT"),
        (Raw('{"Code": "odd"}', 418), 418, "odd"),
    ],
)
def test_another_answer_is_given(api, sandbox, fault, status, code):
    sandbox.faults.add(ACTION, fault)

    answer = api.call()

    assert (answer.status, answer.document["Code"]) == (status, code)
    assert "x-acs-retry-after" not in answer.headers


def test_throttling_may_say_when_to_come_back(api, sandbox):
    sandbox.faults.add(ACTION, Throttle(retry_after_ms=1500))

    assert api.call().headers["x-acs-retry-after"] == "1500"


def test_a_page_may_come_where_json_belongs(api, sandbox):
    sandbox.faults.add(ACTION, Html())

    answer = api.call()

    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_an_echo_holds_the_security_token(api, sandbox):
    sandbox.faults.add(ACTION, Echo())
    session = sandbox.node.session()

    assert session.security_token in api.call(key=session).document["Message"]


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_leads_to_a_host_that_writes_down_who_follows(api, sandbox, send, status):
    with ForeignHost() as foreign:
        sandbox.faults.add(ACTION, Redirect(foreign.url + "/trap", status))
        answer = api.call()
        assert foreign.requests == []

        send(answer.headers["Location"], method="POST", headers={"x-acs-security-token": "s"})

    assert answer.status == status
    assert [(request.path, request.header("x-acs-security-token")) for request in foreign.requests] == [("/trap", "s")]


@pytest.mark.parametrize(
    ("expiry", "is_odd"),
    [
        ("seconds", lambda answer, now: abs(answer["ExpireTime"] - now - 3600) < 5),
        ("far", lambda answer, now: answer["ExpireTime"] / 1000 > now + 1e9),
        ("past", lambda answer, now: answer["ExpireTime"] / 1000 < now),
        ("absent", lambda answer, _: "ExpireTime" not in answer),
        ("text", lambda answer, _: answer["ExpireTime"] == "soon"),
    ],
)
def test_expiry_may_be_nonsense(api, sandbox, expiry, is_odd):
    sandbox.faults.add(ACTION, Grant(expiry=expiry))

    assert is_odd(api.call().document, time.time())


def test_one_answer_may_be_late_and_wrong(api, sandbox):
    sandbox.faults.add(ACTION, Delay(0.3))
    sandbox.faults.add(ACTION, Throttle(), times=1)
    started = time.monotonic()

    assert api.call().status == 400
    assert time.monotonic() - started >= 0.3


@pytest.mark.alone
@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ("openapi", Hang("connect")),
        (ACTION, Hang("request")),
        (ACTION, Hang("headers")),
        (ACTION, Hang("body")),
        (ACTION, Drip(bytes_per_second=5)),
        (ACTION, Drip("headers", bytes_per_second=5)),
    ],
    ids=repr,
)
def test_a_hanging_answer_does_not_keep_the_sandbox_from_closing(target, fault, caller):
    with AcrSandbox() as sandbox:
        sandbox.faults.add(target, fault)
        outcome = []
        api = caller(sandbox, timeout=20)
        client = threading.Thread(target=lambda: outcome.append(document_of(api)))
        client.start()
        time.sleep(0.5)
        assert client.is_alive()
        started = time.monotonic()
    client.join()

    assert time.monotonic() - started < 2
    assert outcome == [None]


def document_of(api):
    """Return the answer's document, None if it did not come whole: headers cut off are an empty answer to Python."""
    try:
        return api.call().document
    except (OSError, ValueError, http.client.HTTPException):
        return None


def test_a_drip_outlasts_every_single_read(api, sandbox):
    sandbox.faults.add(ACTION, Drip(bytes_per_second=400))
    api.timeout = 0.2
    started = time.monotonic()

    assert api.call().status == 200
    assert time.monotonic() - started > 0.5


@pytest.mark.parametrize(
    ("target", "place"), [("openapi", "connect"), (ACTION, "request"), (ACTION, "headers"), (ACTION, "body")]
)
def test_a_reset_connection_brings_no_answer(api, sandbox, target, place):
    sandbox.faults.add(target, Reset(place), times=1)

    assert document_of(api) is None
    assert document_of(api)["IsSuccess"]


@pytest.mark.parametrize("place", ["connect", "request", "headers", "body"])
def test_a_reset_is_a_true_reset(sandbox, place):
    sandbox.faults.add("metadata", Reset(place))

    # Without TLS: OpenSSL tells its callers of an end where the kernel said reset.
    with socket.create_connection(sandbox.metadata.addresses[0]) as client, pytest.raises(ConnectionResetError):
        ask_and_read_to_end(client)


def ask_and_read_to_end(client):
    client.sendall(b"GET /latest/meta-data/region-id HTTP/1.1\r\nHost: x\r\n\r\n")
    while client.recv(1000):
        pass


def test_a_huge_body_is_as_long_as_it_says(api, sandbox):
    sandbox.faults.add(ACTION, Huge(3_000_001))

    assert len(api.call().body) == 3_000_001


@pytest.mark.alone
def test_an_unread_huge_body_does_not_keep_the_sandbox_from_closing():
    with AcrSandbox() as sandbox:
        sandbox.faults.add("metadata", Huge())
        host, port = sandbox.metadata.addresses[0]
        with socket.create_connection((host, port)) as client:
            client.sendall(b"GET /latest/meta-data/region-id HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(9) == b"HTTP/1.1 "
            started = time.monotonic()
            sandbox.close()
            assert time.monotonic() - started < 2


def test_faults_come_in_over_http_too(api, sandbox, send):
    control = sandbox.control.url
    fault = {"target": ACTION, "kind": "throttle", "retry_after_ms": 10, "times": 2}

    assert send(control + "/faults", method="POST", body=json.dumps(fault)).status == 200
    assert send(control + "/faults").document[0]["retry_after_ms"] == 10
    assert api.call().document["Code"] == "Throttling.User"
    assert send(control + "/faults?target=" + ACTION, method="DELETE").status == 200
    assert api.call().status == 200
    assert send(control + "/calls").document["counts"] == {ACTION: 2}


@pytest.mark.parametrize(
    "body", ['{"target": "nowhere", "kind": "html"}', '{"target": "openapi", "kind": "no"}', "[]", "{"]
)
def test_a_wrong_fault_is_refused_over_http(sandbox, send, body):
    assert send(sandbox.control.url + "/faults", method="POST", body=body).status == 400


def test_the_other_knobs_turn_over_http(sandbox, send):
    def patch(path, **document):
        return send(sandbox.control.url + path, method="PATCH", body=json.dumps(document)).status

    assert patch("/clock", skew=60) == 200
    assert patch("/tokens", life=4) == 200
    assert patch("/metadata", hardened=True, role_attached=False) == 200
    assert patch("/metadata", hardend=True) == 400
    assert (sandbox.clock.skew, sandbox.state.token_life) == (60, 4)
    assert (sandbox.node.hardened, sandbox.node.role) == (True, None)


def test_an_unknown_fault_names_the_known_ones():
    with pytest.raises(ValueError, match="kinds: delay, throttle"):
        decode({"kind": "flood"})


def test_the_standalone_sandbox_writes_private_files_and_stops_when_told(tmp_path, send):
    command = [sys.executable, "-W", "error", "-m", "sandbox", "--json", "--directory", str(tmp_path / "box")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        box = json.loads(process.stdout.readline())
        settings = json.loads(Path(box["settingsFile"]).read_text())
        modes = {Path(box[name]).stat().st_mode & 0o777 for name in ("accessKeyIdFile", "accessKeySecretFile")}
        counts = send(box["control"] + "/calls").document["counts"]
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=10)

    assert (process.returncode, stderr) == (0, b"")
    assert settings["registries"][0]["endpoints"] == {"acr": box["openapi"]}
    assert settings["registries"][0]["domains"] == [box["registry"]]
    assert modes == {0o600}
    assert counts == {}
