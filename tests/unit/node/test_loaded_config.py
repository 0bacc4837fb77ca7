"""Which configuration a kubelet says it has read; against the real one's word: tests/systemd/test_real_kubelet.py."""

import contextlib
import hashlib
import http.server
import socket
import threading

import pytest
from acr_node_config.kubelet import loaded_config
from support.ports import closed_port

ONE = loaded_config.digest([b"a: b\n"])
METRICS = f"""\
# TYPE kubelet_credential_provider_config_info gauge
kubelet_credential_provider_config_info{{hash="{ONE}"}} 1
kubelet_credential_provider_plugin_errors_total{{plugin_name="x"}} 0
"""


@pytest.fixture
def kubelet():
    """A port that answers with what *said* holds."""
    said = {"/metrics": METRICS.encode()}

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path in said else 404)
            self.end_headers()
            self.wfile.write(said.get(self.path, b""))

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, said
        server.shutdown()


def test_a_digest_is_over_the_length_and_the_bytes_of_each_file():
    content = b"a: b\n"
    assert f"sha256:{hashlib.sha256((5).to_bytes(8, 'big') + content).hexdigest()}" == ONE
    assert loaded_config.digest([b"a", b"b"]) != loaded_config.digest([b"b", b"a"])


def test_the_metric_is_found_among_the_others(kubelet, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert loaded_config.ask(kubelet[0]) == ONE


@pytest.mark.parametrize(
    "metrics",
    [b"", b"up 1\n", METRICS.replace("sha256", "md5").encode(), b"# " + METRICS.splitlines()[1].encode(), b"\xff" * 99],
)
def test_a_kubelet_that_does_not_tell_it_is_not_told_of(kubelet, metrics):
    kubelet[1]["/metrics"] = metrics
    assert loaded_config.ask(kubelet[0]) == ""


def test_a_port_that_is_closed_or_says_no_tells_nothing(kubelet):
    kubelet[1].clear()
    assert loaded_config.ask(kubelet[0]) == ""
    assert loaded_config.ask(closed_port()) == ""


def test_a_port_that_takes_a_call_and_says_nothing_is_left_in_time():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert loaded_config.ask(server.getsockname()[1], seconds=0.2) == ""


def test_an_answer_without_an_end_is_left():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk():
            client = server.accept()[0]
            try:
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                while True:
                    client.sendall(b"up 1\n" * 10000)
            except OSError:
                client.close()

        threading.Thread(target=talk, daemon=True).start()
        assert loaded_config.ask(server.getsockname()[1]) == ""


@pytest.mark.parametrize("head", [b"", b"HTTP/1.0 200 OK\r\n\r\n"])
def test_an_answer_that_drips_is_left_in_time(head):
    gone = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            with server.accept()[0] as client, contextlib.suppress(OSError):
                client.sendall(head)
                for _ in range(200):  # for ten seconds
                    client.sendall(b"X")
                    if gone.wait(0.05):
                        return

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        asked = loaded_config.ask(server.getsockname()[1], seconds=0.3)
        was_left = dripping.is_alive()
        gone.set()
        dripping.join()
    assert (asked, was_left) == ("", True)
