import http.client
import socket

import pytest
from acr_node_config.reporter.health_server import AT_ONCE, HealthServer


@pytest.fixture
def server():
    server = HealthServer("127.0.0.1", 0, {"/healthz": lambda: (503, "silent\n"), "/metrics": lambda: (200, "a 1\n")})
    server.start()
    yield server
    server.shutdown()
    server.server_close()


def ask(server, path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_pages_are_made_when_they_are_asked_for(server):
    assert ask(server, "/healthz") == (503, "silent\n")
    assert ask(server, "/metrics?x=1") == (200, "a 1\n")
    assert ask(server, "/status.json")[0] == 404


def test_nothing_but_a_look_is_possible(server):
    assert ask(server, "/metrics", "POST")[0] == 501


def test_clients_that_say_nothing_take_no_more_than_their_places(server):
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(AT_ONCE)]
    try:
        with pytest.raises((http.client.HTTPException, OSError)):
            ask(server, "/metrics")
    finally:
        for each in silent:
            each.close()
    for _ in range(1000):
        try:
            assert ask(server, "/metrics")[0] == 200
            break
        except (http.client.HTTPException, OSError):
            continue
    else:
        pytest.fail("the places never became free again")
