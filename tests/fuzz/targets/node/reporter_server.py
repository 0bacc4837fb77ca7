"""What a client sends to the telemetry's port: one HTTP response, or nothing while the request has no end."""

import atexit
import time
from types import SimpleNamespace

import h11
from acr_node_config.reporter.health_server import HealthServer, _Client

SERVER = HealthServer("127.0.0.1", 0, {"/healthz": lambda: (200, "ok\n")})
SERVER._selector.close()
SERVER._selector = SimpleNamespace(modify=lambda *_: None, close=lambda: None)
atexit.register(SERVER._listener.close)


class Connection:
    """A socket that has *data* for us, in small pieces."""

    def __init__(self, data):
        self._data = data

    def recv(self, largest):
        piece, self._data = self._data[: min(largest, 1000)], self._data[min(largest, 1000) :]
        return piece


def fuzz(data):
    client = _Client(Connection(data), time.monotonic() + 5)
    SERVER._table.add(client, "192.0.2.1", time.monotonic())
    while not SERVER._read(client):
        pass
    SERVER._table.remove(client)
    if client.answer is None:
        assert b"\r\n\r\n" not in data
        return
    is_head = data.startswith(b"HEAD ")
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="HEAD" if is_head else "GET", target="/", headers=[("Host", "x")]))
    http.send(h11.EndOfMessage())
    http.receive_data(bytes(client.answer))
    response = http.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code in (200, 400, 404, 405, 431)
