"""The reporter as it is shipped, under clients that hold its port."""

import contextlib
import os
import socket
import time

import pytest
from support.harness import HERE_ONLY
from support.hostile_clients import addresses, connect, dripping, get, holding, until_closed

IN_A_POD = {**os.environ, **HERE_ONLY, "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}


@pytest.fixture
def reporter(program, tmp_path):
    """Return the port of a reporter that runs, and what reads its stderr once it has ended."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folders = [tmp_path / name for name in ("status", "grants", "account")]
    for folder in folders:
        folder.mkdir()
    names = ("--status-dir", "--lease-dir", "--service-account")
    words = [word for pair in zip(names, map(str, folders), strict=True) for word in pair]
    started = program.start("node", "reporter", "--node=n", "--host=127.0.0.1", f"--port={port}", *words, env=IN_A_POD)
    end = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError):
            assert get(port, "/healthz")[0] == 200
            break
        assert time.monotonic() < end
        time.sleep(0.1)

    def ended():
        started.terminate()
        return started.communicate(timeout=20)[1].decode()

    yield port, ended
    if started.poll() is None:
        started.kill()
        started.communicate()


def answered(port, count=20):
    good = 0
    for _ in range(count):
        with contextlib.suppress(OSError):
            good += get(port, "/healthz", timeout=1)[0] == 200
    return good


def test_whatever_is_held_each_probe_is_answered(reporter):
    port, _ = reporter
    with dripping(port, ["127.0.0.2"] * 16, every=0.2):
        assert answered(port) == 20
    for sources in (["127.0.0.2"] * 200, ["127.0.0.1"] * 200, addresses(200)):
        with holding(port, sources):
            assert answered(port) == 20


def test_what_clients_do_wrong_is_counted_and_not_printed(reporter):
    port, ended = reporter
    for sent in (b"GET http://[ HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"\xff\xfe\r\n\r\n"):
        with contextlib.closing(connect(port)) as stranger:
            stranger.sendall(sent)
            until_closed(stranger)
    assert 'acr_node_client_faults_total{reason="bad_request"} 3' in get(port, "/metrics")[1].splitlines()
    said = ended()
    assert "Traceback" not in said
    assert len(said.splitlines()) <= 4  # of the API server, which is not there
