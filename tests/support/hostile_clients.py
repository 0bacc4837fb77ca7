"""Clients of a server that hold connections or send what is no request; each from an address of 127.0.0.0/8."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import contextmanager


def connect(port, source="127.0.0.1", timeout=20):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0))


def get(port, path, source="127.0.0.1", *, method="GET", body=None, timeout=5):
    """Ask like a kubelet's probe: a connection of its own, and an answer within some seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout, source_address=(source, 0))
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def until_closed(connection, timeout=20):
    """Read what comes until the other side closes (or resets)."""
    connection.settimeout(timeout)
    got = b""
    try:
        while some := connection.recv(65536):
            got += some
    except ConnectionError:
        pass
    return got


def addresses(count):
    """Return *count* addresses of the loopback network."""
    return [f"127.9.{number // 250}.{number % 250 + 1}" for number in range(count)]


@contextmanager
def holding(port, sources, sent=b"GET /healthz HTTP/1.1\r\n"):
    """Hold a connection from each of *sources* that has sent *sent*."""
    connections = []
    try:
        for source in sources:
            connections.append(connect(port, source))
            connections[-1].sendall(sent)
        yield connections
    finally:
        for each in connections:
            each.close()


@contextmanager
def dripping(port, sources, first=b"GET /healthz HTTP/1.1\r\nX: ", drop=b"x", every=0.05):
    """Like `holding`, and send *drop* on each connection again and again; one that was closed is opened anew."""
    stop = threading.Event()

    def opened(source):
        connection = connect(port, source)
        connection.sendall(first)
        return connection

    def drip():
        held = [(source, opened(source)) for source in sources]
        begun.set()
        while not stop.wait(every):
            for at, (source, connection) in enumerate(held):
                try:
                    connection.sendall(drop)
                except OSError:
                    connection.close()
                    try:
                        held[at] = source, opened(source)
                    except OSError:
                        continue
        for _, connection in held:
            connection.close()

    begun = threading.Event()
    thread = threading.Thread(target=drip)
    thread.start()
    assert begun.wait(20)
    try:
        yield
    finally:
        stop.set()
        thread.join()
