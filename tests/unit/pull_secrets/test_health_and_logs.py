"""Health tells the truth about the replica, and the log tells no secrets."""

import asyncio
import io
import json
import logging
import warnings

import pytest
from acr_credential_provider.model.errors import CloudUnreachableError
from acr_credential_provider.pull_secrets.serving import health, json_logging
from acr_credential_provider.pull_secrets.serving.http_server import Request

CANARY = "canary-51c9"
ASKED = Request("GET", "/readyz", {}, b"")


def test_health_is_red_as_long_as_one_check_has_something_to_say():
    said = {"living": "", "certificate": "not seen for 900 s"}
    answer = health.handler({name: lambda name=name: said[name] for name in said})
    red = asyncio.run(answer(ASKED))
    assert (red.status, red.body) == (503, b"[+] living ok\n[-] certificate not seen for 900 s\n")
    said["certificate"] = ""
    assert asyncio.run(answer(ASKED)).status == 200


def test_a_loop_that_stands_still_has_no_pulse():
    now = [0.0]
    pulse = health.Heartbeat(60, clock=lambda: now[0])
    now[0] = 59
    assert pulse.check() == ""
    now[0] = 61
    assert pulse.check() == "no sign of life for 61 s"
    pulse.beat()
    assert pulse.check() == ""


@pytest.fixture
def written():
    root, ours = logging.getLogger(), logging.getLogger(json_logging.PACKAGE)
    before = (root.level, ours.level)
    stream = io.StringIO()
    handler = json_logging.start("info", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)
    logging.captureWarnings(False)
    root.setLevel(before[0])
    ours.setLevel(before[1])


def test_a_line_is_one_json_object_with_what_belongs_to_it(written):
    logging.getLogger(f"{json_logging.PACKAGE}.pull_secrets.tokens").info(
        "renewed\n%s", "x", extra={"entry": 'cri-1 "ü"'}
    )
    (line,) = written()
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "subject": "tokens", "message": "renewed x", "entry": 'cri-1 "ü"'}


def test_what_others_write_is_told_by_its_place_alone(written):
    logging.getLogger("httpx2").warning("HTTP Request: GET https://x/?token=%s", CANARY)
    logging.getLogger("httpx2").info("HTTP Request")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(CANARY, stacklevel=1)
    assert len(written()) == 2
    assert CANARY not in json.dumps(written())


def test_of_a_foreign_error_the_kind_is_told_and_of_ours_the_remedy(written):
    ours = logging.getLogger(f"{json_logging.PACKAGE}.x")
    for error in (ValueError(CANARY), CloudUnreachableError("no answer", remedy="Wait.")):
        ours.error("failed", exc_info=error)
    foreign, own = written()
    assert foreign["error"] == "ValueError"
    assert (own["problem"], own["remedy"]) == ("no answer", "Wait.")
    assert CANARY not in json.dumps(foreign)


def test_a_value_that_is_no_json_is_told_by_its_kind(written):
    logging.getLogger(f"{json_logging.PACKAGE}.x").info("odd", extra={"value": CANARY.encode()})
    assert written()[0]["value"] == "bytes"
