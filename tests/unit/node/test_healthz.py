"""Whose answer a /healthz is: real processes at real ports, one of them the kubelet."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from acr_node_config.install import rollback_guard
from acr_node_config.kubelet import healthz
from acr_node_config.kubelet.probe import KubeletProbe
from acr_node_config.kubelet.service_manager import ServiceState
from support.ports import closed_port

SERVER = """\
import http.server, socket, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[3]))
        self.end_headers()
    def log_message(self, *_):
        pass
class Server(http.server.HTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = Server((sys.argv[1], int(sys.argv[2])), Answer)
print(server.server_port, flush=True)
server.serve_forever()
"""
SLEEP = ["sleep", "60"]


class Service:
    def __init__(self, pid):
        self.pid = pid

    def state(self, _unit):
        return ServiceState("active", self.pid, 0)


@contextmanager
def process(words, **options):
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True, **options) as started:
        try:
            yield started
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)  # what it started too


@contextmanager
def server(address="127.0.0.1", port=0, status=200, before=()):
    """Yield a server's process and port; *before* are words of a program that starts it."""
    with process([*before, sys.executable, "-c", SERVER, address, str(port), str(status)]) as started:
        yield started, int(started.stdout.readline())


def probe(pid, port):
    return KubeletProbe(Service(pid), "kubelet.service", port=port)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"])
@pytest.mark.parametrize(("status", "is_well"), [(200, True), (500, False)])
def test_the_kubelets_own_answer_counts(address, status, is_well):
    with server(address, status=status) as (kubelet, port):
        assert probe(kubelet.pid, port).is_healthy() is is_well
        assert probe(kubelet.pid, port).healthz_holder() == ""


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])
@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_of_another_process_counts_neither_way_and_is_named(address, status):
    with process(SLEEP) as kubelet, server(address, status=status) as (_stranger, port):
        asked = probe(kubelet.pid, port)
        assert asked.is_healthy() is None
        assert asked.healthz_holder() == (
            f"127.0.0.1:{port} belongs to a process of user {os.geteuid()} that is not the kubelet's"
        )


def test_a_kubelet_that_its_script_started_is_the_kubelet():
    with server(before=["sh", "-c", '"$@"; exit $?', "start"]) as (script, port):
        assert probe(script.pid, port).is_healthy() is True


def test_a_process_that_has_ended_has_no_socket():
    """A kubelet starts short-lived processes all the time."""
    with process(SLEEP) as ended, server() as (kubelet, _port):
        ended.kill()
        ended.wait()
        assert healthz.sockets_of("/proc", [ended.pid, kubelet.pid]) == healthz.sockets_of("/proc", [kubelet.pid])


def test_where_nobody_listens_the_kubelet_does_not_answer():
    with process(SLEEP) as kubelet:
        asked = probe(kubelet.pid, closed_port())
        assert (asked.is_healthy(), asked.healthz_holder()) == (False, "")


def test_a_kubelet_that_does_not_run_has_no_port():
    with server() as (_stranger, port):
        assert probe(0, port).is_healthy() is None


def test_one_that_takes_the_port_while_it_is_asked_is_not_believed():
    """The kubelet listens when it is looked for, another process when the answer is there."""

    class Overtaken(KubeletProbe):
        def ask_healthz(self):
            kubelet.kill()
            kubelet.wait()
            stack.append(server(port=port))
            stack[0].__enter__()
            return True

    stack = []
    with server() as (kubelet, port):
        try:
            assert Overtaken(Service(kubelet.pid), "kubelet.service", port=port).is_healthy() is None
        finally:
            stack[0].__exit__(None, None, None)


def test_in_another_network_the_kubelet_is_not_the_one_that_answers_here():
    """A kubelet in a network of its own: what answers at the node's port is not it."""
    if os.geteuid() != 0:
        pytest.skip("a network of its own takes root")
    own = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "own"]
    with server() as (_stranger, port), server(port=port, before=own) as (kubelet, _):
        assert probe(kubelet.pid, port).is_healthy() is None


def test_the_specific_address_is_asked_before_the_wildcard(tmp_path):
    row = "   0: {}:2808 00000000:0000 0A 00000000:00000000 00:00000000 00000000  {} 0 {} 1 0 100 0 0 10 0\n"
    net = tmp_path / "1/net"
    net.mkdir(parents=True)
    loopback = healthz._LOOPBACK
    (net / "tcp").write_text("header\n" + row.format("00000000", 5, 77) + row.format(loopback, 0, 78))
    assert healthz.listeners(str(tmp_path)) == {healthz.Listener(78, 0)}
    (net / "tcp").write_text("header\n" + row.format("00000000", 5, 77) + row.format("0100000A", 0, 78))
    assert healthz.listeners(str(tmp_path)) == {healthz.Listener(77, 5)}


def guards_judgement(pid, port):
    """Return whether the rollback guard takes the port for the kubelet's, by its own function."""
    text = Path(rollback_guard.__file__).with_name("guard.sh").read_text()
    function = re.search(r"^has_its_port\(\) \{.*?^\}", text, re.MULTILINE | re.DOTALL)[0]
    words = ["sh", "-uc", f"PORT={port:04X}\n{function}\nhas_its_port {pid}"]
    return subprocess.run(words, check=False).returncode == 0


def test_the_guard_tells_the_kubelets_port_from_another_ones():
    with process(SLEEP) as other, server() as (kubelet, port):
        assert guards_judgement(kubelet.pid, port)
        assert not guards_judgement(other.pid, port)
        assert guards_judgement(other.pid, closed_port())
