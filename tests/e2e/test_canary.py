"""No secret in text: marked secrets go through every failure, and every trace is searched for them."""

import base64
import json
import os

import pytest
from sandbox.faults import Echo, Failure, Grant, Html, Huge, NotSuccess, Raw, Redirect, Reset, Throttle
from support.harness import API_VERSIONS, request

CLAIMS = {"iss": "i", "aud": ["a"], "kubernetes.io": {"namespace": "n", "serviceaccount": {"name": "s", "uid": "u"}}}
SIGNATURE = "CANARYSERVICEACCOUNTTOKENSIGNATURE"
TOKEN = "e30." + base64.urlsafe_b64encode(json.dumps(CLAIMS).encode()).decode().rstrip("=") + "." + SIGNATURE
BODY = '{"IsSuccess":true,"TempUsername":"cr_temp_user","AuthorizationToken":"CANARYPASSWORD","ExpireTime":'

FAULTS = {
    "echo": Echo(),
    "echo as a server's failure": Echo(status=500, code="InternalError"),
    "echo with an odd code": Echo(code="CANARYPASSWORD " * 3),
    "no permission": Failure(403, "NoPermission", "CANARYPASSWORD"),
    "server failure": Failure(500, "InternalError", "CANARYPASSWORD"),
    "throttled": Throttle(retry_after_ms=1),
    "not success": NotSuccess("CANARY PASSWORD"),
    "web page": Html(page="<html>CANARYPASSWORD</html>"),
    "huge": Huge(size=1_000_000),
    "redirect": Redirect("http://127.0.0.1:1/CANARYPASSWORD"),
    "reset": Reset("body"),
    "cut JSON": Raw(BODY),
    "odd expiry": Raw(BODY + '"CANARYPASSWORD"}'),
    "odd types": Raw('{"IsSuccess":true,"TempUsername":["CANARYPASSWORD"],"AuthorizationToken":{"CANARYPASSWORD":1}}'),
    "a list": Raw('["CANARYPASSWORD"]'),
    "not UTF-8": Raw("\udcff CANARYPASSWORD".encode("utf-8", "surrogateescape").decode("latin-1")),
    "expired on arrival": Grant(expiry="past"),
    "expiry in seconds": Grant(expiry="seconds"),
    "absurd expiry": Grant(expiry="far"),
    "expiry as text": Grant(expiry="text"),
    "no expiry": Grant(expiry="absent"),
}


def secrets_of(sandbox):
    return {sandbox.key.secret, SIGNATURE, TOKEN, "CANARYPASSWORD", "CANARY PASSWORD"}


def assert_no_trace(sandbox, ended, program):
    traces = [ended.stdout, ended.stderr]
    traces += [each.read_bytes() for each in program.cache.rglob("*") if each.is_file()]
    for secret in secrets_of(sandbox):
        assert not any(secret.encode() in trace for trace in traces)


@pytest.mark.parametrize("name", FAULTS)
def test_a_failing_cloud_brings_no_secret_to_light(program, sandbox, name):
    sandbox.faults.add("GetAuthorizationToken", FAULTS[name])
    ended = program.run(request(sandbox.image.partition(":latest")[0], serviceAccountToken=TOKEN))
    assert (ended.code, ended.stdout) == (1, b"")
    lines = ended.stderr.decode().splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["error", "remedy"]
    assert_no_trace(sandbox, ended, program)


def _write(path, content, mode=0o600):
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize("mode", [0o644, 0o640], ids=oct)
def test_a_key_file_that_others_can_read_is_refused_without_being_shown(program, sandbox, mode):
    sandbox.key_secret_file.chmod(mode)
    ended = program.ask(sandbox.image.partition(":latest")[0])
    assert (ended.code, ended.stdout) == (1, b"")
    assert f"mode 0{mode:o}" in ended.stderr.decode()
    assert_no_trace(sandbox, ended, program)


@pytest.mark.parametrize(
    "content", [b"two CANARYPASSWORD words", b"", b"\xffCANARYPASSWORD", b"CANARYPASSWORD\nx", b"x" * 9999]
)
def test_a_key_file_with_odd_content_is_refused_without_being_shown(program, sandbox, content):
    _write(sandbox.key_secret_file, content)
    ended = program.ask(sandbox.image.partition(":latest")[0])
    assert (ended.code, ended.stdout) == (1, b"")
    assert str(sandbox.key_secret_file) in ended.stderr.decode()
    assert_no_trace(sandbox, ended, program)


@pytest.mark.parametrize(
    "change",
    [
        {"accessKeySecret": "CANARYPASSWORD"},
        {"kind": "CANARYPASSWORD"},
        {"accessKeyIdFile": ["CANARYPASSWORD"]},
        {"accessKeyIdFile": "CANARYPASSWORD"},
    ],
    ids=str,
)
def test_a_secret_put_into_the_settings_by_mistake_is_not_shown(program, sandbox, change):
    settings = sandbox.settings()
    settings["registries"][0]["identity"] |= change
    settings["proxy"] = {"https": "http://me:CANARYPASSWORD@"}
    program.settings.write_text(json.dumps(settings))
    for ended in (
        program.ask(sandbox.image.partition(":latest")[0]),
        program.run(b"", "settings", "validate", str(program.settings)),
    ):
        assert (ended.code, ended.stdout) == (1, b"")
        assert b"line " in ended.stderr
        assert b"CANARY" not in ended.stderr.replace(str(program.settings).encode(), b"")


@pytest.mark.parametrize(
    "stdin",
    [
        b'{"serviceAccountToken":"' + TOKEN.encode(),
        request("no-host", serviceAccountToken=TOKEN),
        request("a.example/b", serviceAccountToken=SIGNATURE),
        request("a.example/b", version="v9", serviceAccountToken=TOKEN),
        request("a.example/b", serviceAccountToken=[TOKEN]),
        request("a.example/b", serviceAccountToken=TOKEN, serviceAccountAnnotations=[TOKEN]),
        request("", serviceAccountToken=TOKEN),
    ],
    ids=range(7),
)
def test_an_odd_request_is_not_quoted_with_its_token(program, sandbox, stdin):
    ended = program.run(stdin)
    assert (ended.code, ended.stdout) == (1, b"")
    assert_no_trace(sandbox, ended, program)


def test_what_operators_are_shown_of_the_cache_holds_no_login(program, sandbox):
    host = sandbox.registry.address
    password = program.ask(f"{host}/team/app").login(host)[1]
    for output in ("text", "json"):
        shown = program.run(b"", "cache", "show", "--output", output, "--cache", str(program.cache))
        assert (shown.code, shown.stderr) == (0, b"")
        assert host.encode() in shown.stdout
        assert password.encode() not in shown.stdout


@pytest.mark.parametrize("version", API_VERSIONS)
def test_everything_on_disk_is_for_root_alone_whatever_the_umask(program, sandbox, version):
    ended = program.run(request(sandbox.image.partition(":latest")[0], version=version), umask=0)
    assert ended.code == 0
    for each in [program.cache, *program.cache.rglob("*")]:
        assert each.stat().st_mode & 0o077 == 0, each


def test_a_secret_in_the_environment_is_not_used_or_shown(program, sandbox):
    """The SDKs read these at import; the settings alone say who asks."""
    environment = {
        **os.environ,
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "CANARYPASSWORD",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "CANARYPASSWORD",
        "ALIBABA_CLOUD_SECURITY_TOKEN": "CANARYPASSWORD",
        "DEBUG": "sdk",
    }
    ended = program.ask(sandbox.image.partition(":latest")[0], env=environment)
    assert (ended.code, ended.stderr) == (0, b"")
    assert {call.access_key_id for call in sandbox.calls.all()} == {sandbox.key.id}
    assert_no_trace(sandbox, ended, program)
