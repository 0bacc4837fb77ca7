"""The reporter answers the kubelet's probes whatever other clients do."""

import socket
import time
from contextlib import closing

import pytest
from acr_credential_provider.model.connection_table import ClientFault
from acr_node_config.reporter.health_server import HealthServer, Limits
from support.hostile_clients import addresses, connect, dripping, get, holding, until_closed

KUBELET = "127.0.0.1"
BIG = "x" * 5_000_000


def fail():
    raise ValueError


PAGES = {
    "/healthz": lambda: (200, "ok\n"),
    "/silent": lambda: (503, "silent\n"),
    "/metrics": lambda: (200, "a 1\n"),
    "/big": lambda: (200, BIG),
    "/broken": fail,
}


@pytest.fixture
def serve():
    servers = []

    def start(**limits):
        server = HealthServer("127.0.0.1", 0, PAGES, Limits(**limits))
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(serve):
    return serve()


def probes_answered(server, count=20, source=KUBELET):
    """Return how many of *count* probes, each of a second at most, were answered."""
    answered = 0
    for _ in range(count):
        try:
            answered += get(server.port, "/healthz", source, timeout=1)[0] == 200
        except OSError:
            continue
        time.sleep(0.02)
    return answered


def test_pages_are_made_when_they_are_asked_for(server):
    assert get(server.port, "/silent") == (503, "silent\n")
    assert get(server.port, "/metrics?x=1") == (200, "a 1\n")
    assert get(server.port, "/status.json")[0] == 404


def test_nothing_but_a_look_is_possible(server):
    assert get(server.port, "/metrics", method="HEAD") == (200, "")
    assert get(server.port, "/metrics", method="POST")[0] == 405
    assert server.faults[ClientFault.METHOD] == 1


def test_a_page_that_fails_is_an_answer_and_not_the_end(server):
    assert get(server.port, "/broken")[0] == 500
    assert get(server.port, "/healthz")[0] == 200


def test_a_request_in_pieces_is_one(server):
    with closing(connect(server.port)) as slow:
        for piece in (b"GET /metr", b"ics HTTP/1.1\r\nHost: ", b"a\r\n", b"\r\n"):
            slow.sendall(piece)
            time.sleep(0.05)
        assert until_closed(slow).endswith(b"\r\n\r\na 1\n")


# What strangers hold, and from where. The kubelet has an address of its own unless the test says otherwise.
def test_sixteen_connections_that_drip_keep_no_probe_waiting(server):
    with dripping(server.port, ["127.0.0.2"] * 16):
        assert probes_answered(server, 100) == 100


@pytest.mark.parametrize(
    ("sources", "sent"),
    [
        (["127.0.0.2"] * 400, b""),
        (["127.0.0.2"] * 400, b"GET /healthz HTTP/1.1\r\n"),
        ([KUBELET] * 400, b"GET /healthz HTTP/1.1\r\n"),
        (addresses(400), b""),
        (addresses(400), b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 8000),
    ],
    ids=[
        "nothing sent",
        "half requests",
        "half requests of a Pod with the node's address",
        "hundreds of addresses",
        "long headers of hundreds of addresses",
    ],
)
def test_connections_that_are_held_keep_no_probe_waiting(server, sources, sent):
    with holding(server.port, sources, sent):
        assert probes_answered(server) == 20


@pytest.mark.parametrize("sources", [["127.0.0.2"] * 100, addresses(200)], ids=["one", "many"])
def test_connections_that_are_opened_again_and_again_keep_no_probe_waiting(server, sources):
    with dripping(server.port, sources, every=0.01):
        assert probes_answered(server, 50) == 50


def test_opened_again_and_again_from_the_nodes_address_they_cost_single_probes_at_most(server):
    """The kubelet restarts a container after four failures in a row."""
    with dripping(server.port, [KUBELET] * 100, every=0.01):
        assert all(probes_answered(server, 4) for _ in range(15))


def test_answers_that_are_not_taken_keep_no_probe_waiting(server):
    with holding(server.port, ["127.0.0.2"] * 50, b"GET /big HTTP/1.1\r\n\r\n"):
        assert probes_answered(server) == 20


def test_one_client_holds_no_more_than_its_connections(serve):
    server = serve(per_client=4)
    with holding(server.port, ["127.0.0.2"] * 10):
        deadline = time.monotonic() + 10
        while server.faults[ClientFault.TOO_MANY] < 6:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert server.faults[ClientFault.TOO_MANY] == 6


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\n", b"GET /big HTTP/1.1\r\n\r\n"])
def test_all_of_a_request_has_one_deadline(serve, sent):
    server = serve(request=0.5)
    with closing(connect(server.port)) as slow:
        slow.sendall(sent)
        began = time.monotonic()
        while not server.faults[ClientFault.TIMEOUT]:
            assert time.monotonic() - began < 5
            time.sleep(0.01)


def test_who_drips_has_no_more_time_than_who_is_silent(serve):
    server = serve(request=0.5)
    with dripping(server.port, ["127.0.0.2"]):
        began = time.monotonic()
        while not server.faults[ClientFault.TIMEOUT]:
            assert time.monotonic() - began < 5
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("sent", "status", "fault"),
    [
        (b"GET //[ HTTP/1.1\r\n\r\n", b"404", ClientFault.NOT_FOUND),
        (b"GET http://[ HTTP/1.1\r\n\r\n", b"400", ClientFault.BAD_REQUEST),
        (b"GET /\xff\xfe HTTP/1.1\r\n\r\n", b"400", ClientFault.BAD_REQUEST),
        (b"\x16\x03\x01\x00\xf4\r\n\r\n", b"400", ClientFault.BAD_REQUEST),
        (b"GET /healthz HTTP/9.9\r\n\r\n", b"400", ClientFault.BAD_REQUEST),
        (b"\r\n\r\n", b"400", ClientFault.BAD_REQUEST),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 20_000, b"431", ClientFault.TOO_LARGE),
        (b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 5000, b"431", ClientFault.TOO_LARGE),
    ],
)
def test_what_is_no_request_is_counted_by_its_kind_and_nothing_is_printed(server, capfd, sent, status, fault):
    with closing(connect(server.port)) as stranger:
        stranger.sendall(sent)
        stranger.shutdown(socket.SHUT_WR)
        got = until_closed(stranger)
    assert got == b"" or got.split()[1] == status  # a reset may overtake the answer
    assert server.faults[fault] == 1
    assert sum(server.faults.values()) == 1
    assert capfd.readouterr() == ("", "")


def test_requests_sent_together_are_one_and_the_connection_ends(server):
    with closing(connect(server.port)) as stranger:
        stranger.sendall(b"GET /metrics HTTP/1.1\r\n\r\n" * 300)
        assert until_closed(stranger).count(b"HTTP/1.1") <= 1
    assert get(server.port, "/healthz")[0] == 200
