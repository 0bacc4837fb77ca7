"""What is seen of a kubelet that runs: a real process, a real /healthz on loopback."""

from __future__ import annotations

import contextlib
import http.server
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from acr_node_config.kubelet import healthz
from acr_node_config.kubelet.probe import KubeletProbe
from acr_node_config.kubelet.service_manager import ServiceState, SystemctlServiceManager, checked
from acr_node_config.model.errors import ServiceError
from support.ports import closed_port

FLAGS = {"image-credential-provider-config": "/etc/c.yaml", "image-credential-provider-bin-dir": "/opt/bin"}


class Service:
    def __init__(self, pid: int) -> None:
        self.pid = pid

    def state(self, _unit):
        if self.pid < 0:
            raise ServiceError("systemd did not do it", remedy="Look.")
        return ServiceState("active" if self.pid else "failed", self.pid, 0)


@pytest.fixture
def process():
    words = [f"--{name}={value}" for name, value in FLAGS.items()]
    with subprocess.Popen(
        ["sh", "-c", "read x", "kubelet", "--image-credential-provider-config=/old", *words], stdin=subprocess.PIPE
    ) as process:
        # It is started before the kernel shows its command line.
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes():
            pass
        yield process
        process.stdin.close()


def test_the_last_word_for_a_flag_holds(process):
    assert KubeletProbe(Service(process.pid), "kubelet.service", flags=FLAGS).has_flags(process.pid)
    old = {**FLAGS, "image-credential-provider-config": "/old"}
    assert KubeletProbe(Service(process.pid), "kubelet.service", flags=old).has_flags(process.pid) is False


def test_a_process_that_is_gone_says_nothing():
    assert KubeletProbe(Service(0), "kubelet.service", flags=FLAGS).has_flags(2**22 - 1) is None
    assert KubeletProbe(Service(0), "kubelet.service").has_flags(1) is None


def test_each_start_has_a_mark_of_its_own_and_none_without_a_process(process):
    kubelet = KubeletProbe(Service(process.pid), "kubelet.service")
    assert kubelet.start_id() == kubelet.start_id()
    assert kubelet.start_id().split()[1] == str(process.pid)
    assert KubeletProbe(Service(0), "kubelet.service").start_id() == ""
    assert KubeletProbe(Service(-1), "kubelet.service").start_id() == ""


@pytest.mark.parametrize(("code", "is_well"), [(200, True), (500, False)])
def test_health_is_what_healthz_says(code, is_well, monkeypatch):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(code if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert healthz.answers(server.server_port) is is_well
        server.shutdown()


def test_where_nobody_listens_it_is_not_well():
    assert healthz.answers(closed_port()) is False


def test_a_healthz_that_drips_is_not_well_and_is_left_in_time():
    gone = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            with server.accept()[0] as client, contextlib.suppress(OSError):
                for _ in range(200):  # for ten seconds
                    client.sendall(b"X")
                    if gone.wait(0.05):
                        return

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        is_well = healthz.answers(server.getsockname()[1], seconds=0.3)
        was_left = dripping.is_alive()
        gone.set()
        dripping.join()
    assert (is_well, was_left) == (False, True)


def test_a_healthz_whose_answer_has_no_end_is_well_once_it_says_so():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def say():
            with server.accept()[0] as client:
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                client.recv(1 << 16)
                client.recv(1)  # until it is left

        saying = threading.Thread(target=say, daemon=True)
        saying.start()
        assert healthz.answers(server.getsockname()[1])
        saying.join()


@pytest.mark.parametrize(
    "unit", ["kubelet", "-H root@x.service", "a b.service", "kubelet.service;x", "../x.service", "$(x).service", ""]
)
def test_what_is_no_unit_is_not_handed_on(unit):
    with pytest.raises(ServiceError):
        checked(unit)
    with pytest.raises(ServiceError):
        SystemctlServiceManager("/").restart(unit)
