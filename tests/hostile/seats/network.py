"""A node's network as a neighbour sees it who answers for others: the cloud, the metadata service, DNS, a proxy."""

from __future__ import annotations

import json
import os
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from e2e.assertions import DEADLINE, assert_whole, image_of
from support import harness

from .node import NAME

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from sandbox import AcrSandbox
    from sandbox.netns import NetworkNamespace

ACR, STS = "cr.cn-hangzhou.aliyuncs.com", "sts.cn-hangzhou.aliyuncs.com"
METADATA = ("100.100.100.200", 80)
HIS = "127.0.0.66"
"""An address of the neighbour's own."""
FILES = 'mount --bind "$1" /etc/hosts; mount --bind "$2" /etc/resolv.conf; shift 2; ulimit -v 1500000; exec "$@"'
"""Little memory: what would take much of it for an answer fails."""


@dataclass
class Rogue:
    """A server of the neighbour's at *address*: it does *behave* with each connection, after a handshake with *tls*."""

    namespace: NetworkNamespace
    address: tuple[str, int]
    behave: Callable[[socket.socket, Rogue], None]
    tls: ssl.SSLContext | None = None
    heard: bytearray = field(default_factory=bytearray)
    came: int = 0

    def __post_init__(self) -> None:
        self.namespace.call(self._listen)
        threading.Thread(target=self._accept, daemon=True).start()

    def _listen(self) -> None:
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        self.listener = socket.create_server(self.address, family=family, backlog=64)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.came += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(30.0)
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            self.behave(connection, self)
        except (OSError, ValueError):  # the client has left
            pass
        finally:
            connection.close()

    def request(self, connection: socket.socket) -> bytes:
        """Read one request, as far as its head."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65536)
            if not piece:
                break
            head += piece
            self.heard += piece
        return head

    def close(self) -> None:
        """End it."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()


class Network:
    """The plugin in a network of its own: `names` says where names lead, `rogue` adds a server of the neighbour's."""

    def __init__(self, folder: Path, bundle: Path, cloud: AcrSandbox, namespace: NetworkNamespace) -> None:
        self.folder, self.cloud, self.namespace = folder, cloud, namespace
        self.names = {ACR: "127.0.0.1", STS: "127.0.0.5"}
        self.resolv = ""
        self.document = cloud.settings()
        self.registry = self.document["registries"][0]
        self.document["endpoints"] = self.registry["endpoints"] = {}
        self.registry["network"] = "public"
        self.identity = self.registry["identity"]
        self.pod: dict[str, object] = {}
        self.program = harness.Program((str(bundle / NAME),), folder / "settings.yaml", folder / "cache")
        self.rogues: list[Rogue] = []
        self.heard = b""
        self.secrets: set[str] = set()
        """What else he must not hear."""
        self._is_over = threading.Event()
        self._server: threading.Thread | None = None

    def rogue(self, address: tuple[str, int], behave: Callable, tls: ssl.SSLContext | None = None) -> Rogue:
        """Put a server of the neighbour's at *address*."""
        self.rogues.append(Rogue(self.namespace, address, behave, tls))
        return self.rogues[-1]

    def in_place_of_acr(self, behave: Callable, tls: ssl.SSLContext | None = None) -> Rogue:
        """Have the neighbour answer at ACR's address."""
        self.names[ACR] = HIS
        return self.rogue((HIS, 443), behave, tls)

    def name_server(self, answer: Callable[[bytes], bytes]) -> None:
        """Be the node's name server: *answer* makes an answer of the bytes of a query, which end with its question."""
        self.resolv = "nameserver 127.0.0.53\noptions attempts:1 timeout:1\n"

        def bind() -> None:
            self._names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._names.settimeout(0.1)
            self._names.bind(("127.0.0.53", 53))

        def serve() -> None:
            while not self._is_over.is_set():
                try:
                    query, client = self._names.recvfrom(4096)
                    self._names.sendto(answer(query[: query.index(b"\0", 12) + 5]), client)
                except (OSError, ValueError):  # nobody asked for a moment, or it is too long for a packet
                    continue
            self._names.close()

        self.namespace.call(bind)
        self._server = threading.Thread(target=serve)
        self._server.start()

    def ask(self, **options) -> harness.Ended:
        """Have the kubelet ask, without anything cached."""
        self.program.settings.write_text(json.dumps(self.document))
        self.program.settings.chmod(0o600)
        hosts, resolv = self.folder / "hosts", self.folder / "resolv.conf"
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{to} {name}\n" for name, to in self.names.items() if to))
        resolv.write_text(self.resolv)
        files = ["unshare", "--mount", "sh", "-ec", FILES, "sh", str(hosts), str(resolv)]
        environment = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
        raw = harness.request(image_of(self.cloud), **self.pod)
        under = tuple(self.namespace.command(files))
        return self.program.run(raw, under=under, env=environment, timeout=60, **options)

    def refused(self, *words: str) -> str:
        """Ask; the answer must be one error and one remedy, in time and without a secret. Return the error."""
        ended = self.ask()
        text = ended.stderr.decode()
        assert (ended.code, ended.stdout) == (1, b""), ended
        assert [line.partition(": ")[0] for line in text.splitlines()] == ["error", "remedy"], text
        assert all(character.isprintable() or character == "\n" for character in text), text
        assert "memory" not in text
        assert ended.seconds < DEADLINE
        assert len(text) < 2500
        for word in words:
            assert word in text
        self.heard += ended.stderr
        return f"{text.splitlines()[0][:140]} ({ended.seconds:.1f} s)"

    def prove(self) -> None:
        """The neighbour and the log heard no secret, nothing of his is kept, and without him the pull is answered."""
        heard = b"".join(bytes(each.heard) for each in self.rogues) + self.heard
        for secret in self.cloud.state.secrets() | self.secrets:
            assert secret.encode() not in heard, "he heard a secret"
        self.close()
        self.names = {ACR: "127.0.0.1", STS: "127.0.0.5"}
        self.resolv, self.pod = "", {}
        self.document.pop("proxy", None)
        self.registry |= {"identity": self.identity, "region": self.cloud.instance.region}
        for each in self.program.cache.rglob("*.failed"):
            each.unlink()
        ended = self.ask()
        assert ended.code == 0, ended
        assert_whole(ended.stdout, self.cloud)

    def close(self) -> None:
        """End what the neighbour runs."""
        self._is_over.set()
        if self._server is not None:
            self._server.join()
        for each in self.rogues:
            each.close()
