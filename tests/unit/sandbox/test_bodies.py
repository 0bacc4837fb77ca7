"""Bodies of requests, by length or in chunks: Alibaba Cloud's Java SDKs send every call in chunks."""

import http.client
import json
import socket

import pytest

FAULT = json.dumps({"target": "sts", "kind": "throttle"}).encode()


@pytest.fixture
def address(sandbox):
    return sandbox.control.addresses[0]


def post(address, head, body):
    """Send *body* under *head*, as it is, and return the status of the answer."""
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(b"POST /faults HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n" + body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status


CHUNKED = b"Transfer-Encoding: chunked"
HALVES = b"%x\r\n%s\r\n%x\r\n%s\r\n" % (10, FAULT[:10], len(FAULT) - 10, FAULT[10:])


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: %d" % len(FAULT), FAULT),
        (CHUNKED, HALVES + b"0\r\n\r\n"),
        (b"Transfer-Encoding: Chunked", HALVES.replace(b"a\r\n", b"A;name=value\r\n", 1) + b"0\r\n\r\n"),
        (CHUNKED, HALVES + b"0\r\nField: after the body\r\n\r\n"),
    ],
    ids=["by length", "in chunks", "with an extension", "with a field after it"],
)
def test_a_body_is_read_whole(sandbox, address, head, body):
    assert post(address, head, body) == 200
    assert [each["kind"] for each in sandbox.faults.document()] == ["throttle"]


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        (b"Content-Length: 2000000", b"", 413),
        (b"Content-Length: -1", b"", 400),
        (b"Content-Length: many", b"", 400),
        (CHUNKED, b"fffffff\r\n", 413),
        (CHUNKED, b"80000\r\n" + b"x" * 0x80000 + b"\r\n80001\r\n", 413),
        (CHUNKED, b"-1\r\n", 400),
        (CHUNKED, b"many\r\n", 400),
        (CHUNKED, b"2\r\n{}and more\r\n", 400),
        (b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n", 501),
    ],
    ids=["long", "negative", "no number", "long chunk", "long in sum", "negative chunk", "no size", "no end", "coding"],
)
def test_a_body_that_cannot_be_read_is_refused_at_once(sandbox, address, head, body, status):
    assert post(address, head, body) == status
    assert sandbox.faults.document() == []
