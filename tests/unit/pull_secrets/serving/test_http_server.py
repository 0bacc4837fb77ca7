"""The server keeps serving whatever its clients do, and holds no more of them than it said."""

import asyncio
import http.client
import logging
import socket
import ssl
import threading
import time
from contextlib import ExitStack, closing

import pytest
import trustme
from acr_credential_provider.pull_secrets.serving.event_loop import Loop
from acr_credential_provider.pull_secrets.serving.http_server import Answer, Limits, Server


async def echo(request):
    return Answer(
        200,
        b"%s %s %s %d"
        % (
            request.method.encode(),
            request.path.encode(),
            request.query.get("timeout", "").encode(),
            len(request.body),
        ),
    )


async def fail(_request):
    raise ValueError("s3cret text of somebody else")


HANDLERS = {"/echo": echo, "/fail": fail}


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def serve(loop):
    servers = []

    def start(**options) -> int:
        server = Server(HANDLERS, address=("127.0.0.1", 0), **options)
        servers.append(server)
        return loop.run(server.start())

    yield start
    for server in servers:
        loop.run(server.stop(grace=1.0))


def ask(port, path="/echo", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def until_closed(connection):
    """Read what comes until the other side closes (or resets)."""
    connection.settimeout(20)
    got = b""
    try:
        while some := connection.recv(65536):
            got += some
    except ConnectionError:
        pass
    return got


def test_a_request_is_answered_with_what_its_handler_says(serve):
    assert ask(serve(), "/echo?timeout=10s", b"x" * 100_000) == (200, b"POST /echo 10s 100000")


def test_a_path_that_nobody_serves_is_not_found(serve):
    assert ask(serve(), "/other")[0] == 404


def test_a_connection_is_used_again(serve):
    connection = http.client.HTTPConnection("127.0.0.1", serve(), timeout=20)
    for size in (0, 10, 70_000):
        connection.request("POST", "/echo", b"x" * size)
        assert connection.getresponse().read() == b"POST /echo  %d" % size
    connection.close()


def test_requests_sent_without_waiting_are_answered_in_turn(serve):
    with socket.create_connection(("127.0.0.1", serve())) as connection:
        connection.sendall(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n" * 2 + b"GET /x HTTP/1.0\r\n\r\n")
        got = until_closed(connection)
    assert got.count(b"HTTP/1.1 200") == 2
    assert got.count(b"HTTP/1.1 404") == 1


def test_a_handler_that_fails_costs_its_request_only_and_its_text_is_not_told(serve, caplog):
    port = serve()
    with caplog.at_level(logging.ERROR):
        status, said = ask(port, "/fail")
    assert (status, b"s3cret" in said) == (500, False)
    assert ask(port)[0] == 200


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(serve):
    assert ask(serve(limits=Limits(body=1000)), body=b"x" * 1001)[0] == 413


def test_a_body_of_unknown_length_is_refused(serve):
    with socket.create_connection(("127.0.0.1", serve())) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
        assert until_closed(connection).startswith(b"HTTP/1.1 411")


def test_all_bodies_together_have_a_limit_and_the_request_that_drips_goes_first(serve):
    port = serve(limits=Limits(body=1000, bodies=1500))
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 999)
        slow.settimeout(0.01)
        deadline = time.monotonic() + 10
        cut = False
        while not cut:  # until the bytes of the slow one have arrived
            assert time.monotonic() < deadline
            assert ask(port, body=b"x" * 600)[0] == 200
            try:
                cut = slow.recv(1) == b""
            except TimeoutError:
                pass
            except ConnectionError:
                cut = True


def test_what_is_not_http_is_answered_as_such_and_closed(serve):
    with socket.create_connection(("127.0.0.1", serve())) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert until_closed(connection).startswith(b"HTTP/1.1 400")


def test_who_drips_a_request_is_cut_off_however_steadily(serve):
    port = serve(limits=Limits(request=1.0))
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\n")
        stop = threading.Event()

        def drip():
            while not stop.wait(0.05):
                try:
                    connection.sendall(b"X-A: b\r\n")
                except OSError:
                    return

        dripper = threading.Thread(target=drip)
        dripper.start()
        until_closed(connection)
        stop.set()
        dripper.join()
    assert time.monotonic() - began < 15


def test_who_never_ends_the_handshake_is_cut_off(serve):
    context = tls_of(trustme.CA())
    with socket.create_connection(("127.0.0.1", serve(tls=lambda: context, limits=Limits(handshake=0.5)))) as cut:
        cut.sendall(b"\x16\x03\x01\x02\x00")
        until_closed(cut)


def test_a_crowd_that_says_nothing_keeps_nobody_else_out(serve):
    port = serve(limits=Limits(connections=10, request=30.0))
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    assert ask(port)[0] == 200
    for each in crowd:
        each.close()


def test_more_than_the_allowed_connections_at_work_are_turned_away(loop):
    entered = threading.Semaphore(0)
    leave = threading.Event()

    async def wait(_request):
        entered.release()
        await asyncio.get_running_loop().run_in_executor(None, leave.wait, 20)
        return Answer(200, b"")

    server = Server({**HANDLERS, "/wait": wait}, address=("127.0.0.1", 0), limits=Limits(connections=4))
    port = loop.run(server.start())
    with ExitStack() as stack:
        for _ in range(4):
            busy = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            busy.sendall(b"GET /wait HTTP/1.0\r\n\r\n")
            assert entered.acquire(timeout=20)
        with socket.create_connection(("127.0.0.1", port)) as one_more:
            assert until_closed(one_more) == b""
        leave.set()
        assert until_closed(busy).startswith(b"HTTP/1.1 200")
    assert ask(port)[0] == 200
    loop.run(server.stop())


def test_who_takes_no_answer_does_not_hold_it_for_ever(loop):
    async def big(_request):
        return Answer(200, b"x" * 50_000_000)

    server = Server({"/big": big}, address=("127.0.0.1", 0), limits=Limits(request=0.5))
    with socket.create_connection(("127.0.0.1", loop.run(server.start()))) as connection:
        connection.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(10)  # it is being answered, and takes no more than this
        deadline = time.monotonic() + 20
        while server.connections:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    loop.run(server.stop())


def test_a_new_certificate_counts_from_the_next_connection_on_and_breaks_none(serve):
    old, new = trustme.CA(), trustme.CA()
    current = [tls_of(old)]
    port = serve(tls=lambda: current[0])
    with closing(connect(port, old)) as kept:
        assert talk(kept) == 200
        current[0] = tls_of(new)
        with closing(connect(port, new)) as fresh:
            assert talk(fresh) == 200
        assert talk(kept) == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(port, old)


def test_without_a_certificate_yet_connections_are_dropped_and_nothing_else_happens(serve):
    current = [None]
    port = serve(tls=lambda: current[0])
    ca = trustme.CA()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(port, ca)
    current[0] = tls_of(ca)
    with closing(connect(port, ca)) as connection:
        assert talk(connection) == 200


def test_stopping_lets_a_request_at_work_end_and_drops_the_idle(loop):
    entered = threading.Event()
    leave = threading.Event()

    async def slow(_request):
        entered.set()
        await asyncio.get_running_loop().run_in_executor(None, leave.wait, 10)
        return Answer(200, b"done")

    server = Server({"/slow": slow}, address=("127.0.0.1", 0))
    port = loop.run(server.start())
    idle = socket.create_connection(("127.0.0.1", port))
    said = []
    asking = threading.Thread(target=lambda: said.append(ask(port, "/slow")))
    asking.start()
    assert entered.wait(10)
    threading.Timer(0.2, leave.set).start()
    loop.run(server.stop(grace=10))
    asking.join()
    assert said == [(200, b"done")]
    assert until_closed(idle) == b""
    idle.close()


def tls_of(ca):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    return context


def connect(port, ca):
    context = ssl.create_default_context()
    ca.configure_trust(context)
    connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=context)
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    with closing(plain):  # unless it becomes the connection's
        connection.sock = context.wrap_socket(plain, server_hostname="localhost")
    return connection


def talk(connection):
    connection.request("POST", "/echo", b"{}")
    answer = connection.getresponse()
    answer.read()
    return answer.status
