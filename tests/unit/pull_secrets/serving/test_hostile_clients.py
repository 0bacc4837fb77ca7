"""The webhook's server answers the API server whatever other clients do, and logs nothing of them."""

import asyncio
import http.client
import io
import logging
import socket
import ssl
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import trustme
from acr_credential_provider.model.connection_table import ClientFault
from acr_credential_provider.pull_secrets.serving.event_loop import Loop
from acr_credential_provider.pull_secrets.serving.http_server import Answer, Limits, Server
from acr_credential_provider.pull_secrets.serving.json_logging import start as start_log
from support.hostile_clients import addresses, connect, dripping, get, holding, until_closed

API_SERVER, STRANGER = "127.0.0.1", "127.0.0.2"
HALF = b"POST /review HTTP/1.1\r\nHost: a\r\n"


async def review(request):
    return Answer(200 if request.body != b"bad" else 400, b"reviewed %d" % len(request.body))


async def big(_request):
    return Answer(200, b"x" * 500_000)


async def broken(_request):
    raise ValueError("s3cret text of somebody else")


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def faults():
    return Counter()


@pytest.fixture
def serve(loop, faults):
    servers = []

    def start(handlers=None, **options):
        handlers = handlers or {"/review": review, "/big": big, "/broken": broken}
        server = Server(handlers, address=("127.0.0.1", 0), count=lambda fault: faults.update([fault]), **options)
        servers.append(server)
        return loop.run(server.start())

    yield start
    for server in servers:
        loop.run(server.stop(grace=1.0))


@pytest.fixture
def log():
    """Return what the log of the controller got, as it is set up in a replica."""
    root, asyncio_log = logging.getLogger(), logging.getLogger("asyncio")
    levels = root.level, asyncio_log.level
    stream = io.StringIO()
    handler = start_log(stream=stream)
    yield stream.getvalue
    root.removeHandler(handler)
    root.setLevel(levels[0])
    asyncio_log.setLevel(levels[1])
    logging.captureWarnings(False)


def answered(port, count=60, source=API_SERVER):
    """Return how many of *count* reviews, twelve at a time, were answered within two seconds each."""

    def ask(_number):
        try:
            return get(port, "/review", source, method="POST", body=b"{}", timeout=2)[0] == 200
        except OSError:
            return False

    with ThreadPoolExecutor(12) as pool:
        return sum(pool.map(ask, range(count)))


@pytest.mark.parametrize(
    ("sources", "sent"),
    [
        ([STRANGER] * 256, HALF),
        ([STRANGER] * 600, b""),
        ([API_SERVER] * 256, HALF),
        (addresses(400), HALF),
        (addresses(40) * 8, HALF + b"Content-Length: 4194304\r\n\r\n"),
        (addresses(16), HALF + b"Content-Length: 4194304\r\n\r\n" + b"x" * 4_000_000),
        ([STRANGER] * 200, b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n"),
        ([STRANGER] * 200, HALF + b"X: " + b"y" * 15_000),
    ],
    ids=[
        "half requests",
        "nothing sent",
        "half requests of a Pod with the API server's address",
        "hundreds of addresses",
        "bodies that are announced and do not come",
        "bodies that lack their end",
        "answers that are not taken",
        "long headers",
    ],
)
def test_whatever_is_held_each_new_review_is_answered(serve, sources, sent):
    port = serve()
    with holding(port, sources, sent):
        assert answered(port) == 60


@pytest.mark.parametrize("sources", [[STRANGER] * 200, addresses(300)], ids=["one address", "hundreds"])
def test_whatever_is_opened_again_and_again_each_new_review_is_answered(serve, sources):
    port = serve()
    assert answered(port, 1) == 1  # it is known from before
    with dripping(port, sources, first=HALF, drop=b"X: y\r\n", every=0.02):
        assert answered(port) == 60


def test_a_connection_that_the_api_server_keeps_is_there_after_a_crowd(serve):
    port = serve()
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for _ in range(3):
        kept.request("POST", "/review", b"{}")
        assert kept.getresponse().read() == b"reviewed 2"
        sock = kept.sock
        with holding(port, [STRANGER] * 300 + addresses(300), HALF):
            time.sleep(0.2)
    kept.request("POST", "/review", b"{}")
    assert kept.getresponse().read() == b"reviewed 2"
    assert kept.sock is sock
    kept.close()


def test_requests_sent_together_keep_nobody_waiting(serve):
    async def slow(_request):
        time.sleep(0.005)  # noqa: ASYNC251 - work that takes the loop, like a large page
        return Answer(200, b"")

    port = serve({"/slow": slow, "/review": review})
    with holding(port, [STRANGER] * 4, b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" * 600):
        began = time.monotonic()
        assert answered(port, 1) == 1
        assert time.monotonic() - began < 1.0


def test_a_request_and_its_answer_have_one_deadline(serve, faults):
    async def hang(_request):
        await asyncio.sleep(60)
        return Answer(200, b"")

    async def huge(_request):
        return Answer(200, b"x" * 50_000_000)

    port = serve({"/hang": hang, "/huge": huge}, limits=Limits(request=0.5))
    for sent in (HALF, b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n"):
        before = faults[ClientFault.TIMEOUT]
        with closing(connect(port)) as slow:
            slow.sendall(sent)
            wait_for(lambda before=before: faults[ClientFault.TIMEOUT] > before)


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# TLS.
@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def reviewed_by_tls(port, authority, source=API_SERVER):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with (
        connect(port, source, timeout=3) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"POST /review HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        return until_closed(connection, timeout=3).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "the begin of a hello"])
@pytest.mark.parametrize("sources", [[STRANGER] * 256, addresses(300)], ids=["one address", "hundreds"])
def test_handshakes_that_stop_keep_no_review_waiting(serve, tls, authority, sources, sent):
    port = serve(tls=lambda: tls)
    with holding(port, sources, sent):
        assert [reviewed_by_tls(port, authority) for _ in range(20)] == [True] * 20


def test_a_handshake_that_stops_ends_in_time_and_is_counted(serve, tls, faults, log):
    port = serve(tls=lambda: tls, limits=Limits(handshake=0.3))
    with holding(port, [STRANGER] * 5, b"\x16\x03\x01\x02\x00\x01"):
        wait_for(lambda: faults[ClientFault.TIMEOUT] == 5)
    assert log() == ""


def test_what_is_no_tls_is_counted_and_not_logged(serve, tls, faults, log):
    port = serve(tls=lambda: tls)
    for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x00" * 100):
        with closing(connect(port)) as stranger:
            stranger.sendall(sent)
            until_closed(stranger)
    wait_for(lambda: faults[ClientFault.TLS] == 3)
    # It trusts another authority, and says so.
    with closing(connect(port)) as stranger, pytest.raises(ssl.SSLError):
        ssl.create_default_context().wrap_socket(stranger, server_hostname="localhost")
    assert log() == ""


# What is counted.
@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"GET //[ HTTP/1.1\r\nHost: a\r\n\r\n", (400, ClientFault.BAD_REQUEST)),
        (b"GET http://[::1 HTTP/1.1\r\nHost: a\r\n\r\n", (400, ClientFault.BAD_REQUEST)),
        (b"HEAD //[ HTTP/1.1\r\nHost: a\r\n\r\n", (400, ClientFault.BAD_REQUEST)),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", (404, ClientFault.NOT_FOUND)),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", (400, ClientFault.BAD_REQUEST)),
        (b"GET /review HTTP/1.1\r\n\r\n", (400, ClientFault.BAD_REQUEST)),
        (b"GET /review HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", (400, ClientFault.BAD_REQUEST)),
        (
            b"GET /review HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
            (400, ClientFault.BAD_REQUEST),
        ),
        (b"POST /review HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nbad", (400, ClientFault.BAD_REQUEST)),
        (b"POST /review HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n", (413, ClientFault.TOO_LARGE)),
        (b"HEAD /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", (411, ClientFault.BAD_REQUEST)),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", (501, ClientFault.BAD_REQUEST)),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", (404, ClientFault.NOT_FOUND)),
        (b"PRI * HTTP/2.0\r\n\r\n", (404, ClientFault.NOT_FOUND)),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000, (431, ClientFault.TOO_LARGE)),
        (b"GET /x HTTP/1.1\r\nHost: a\r\n\x00: y\r\n\r\n", (400, ClientFault.BAD_REQUEST)),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else value[1],
)
def test_what_a_parser_refuses_is_an_answer_and_a_count_and_no_log_line(serve, faults, log, sent, kind):
    status, fault = kind
    port = serve()
    with closing(connect(port)) as stranger:
        stranger.sendall(sent)
        stranger.shutdown(socket.SHUT_WR)
        assert int(until_closed(stranger).split()[1]) == status
    assert faults == {fault: 1}
    assert answered(port, 1) == 1
    assert log() == ""


def test_a_head_of_a_page_is_answered_without_its_body(serve, log):
    port = serve()
    assert get(port, "/big", method="HEAD") == (200, "")
    assert log() == ""


def test_who_leaves_in_the_middle_is_neither_counted_nor_logged(serve, faults, log):
    port = serve()
    for sent in (b"", HALF, b"POST /review HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx"):
        with closing(connect(port)) as leaving:
            leaving.sendall(sent)
            leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset
    assert answered(port, 1) == 1
    assert (faults, log()) == ({}, "")


def test_an_error_of_ours_is_logged_once_however_often_it_is_asked_for(serve, log):
    port = serve()
    assert {get(port, "/broken")[0] for _ in range(20)} == {500}
    lines = log().splitlines()
    assert len(lines) == 1
    assert "s3cret" not in lines[0]
    assert "ValueError" in lines[0]


def test_connections_closed_for_others_are_counted(serve, faults):
    port = serve(limits=Limits(connections=20, per_client=10))
    with holding(port, [STRANGER] * 15, HALF):
        wait_for(lambda: faults[ClientFault.TOO_MANY] == 5)
