"""A threaded HTTP(S) server that can be slow, rude or silent on purpose, and still closes at once."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Protocol

from .calls import Call
from .faults import Delivery, Drip, Hang, Reset
from .wire import Request, Response

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from .calls import CallLog, Subject
    from .clock import SandboxClock
    from .faults import Drawn, FaultBook

BACKLOG = 512
LARGEST_BODY = 1 << 20
LONGEST_LINE = 4096
CHUNK = b"x" * 65536
RST_ON_CLOSE = struct.pack("ii", 1, 0)


class App(Protocol):
    """What one server answers; *name* is its name as a target of faults."""

    name: str
    operations: frozenset[str]

    def subject(self, request: Request) -> Subject:
        """Say what *request* is about, believing nothing of it."""

    def respond(self, request: Request, drawn: Drawn) -> Response:
        """Judge *request*; *drawn* may hold another answer to give."""


class Listener:
    """One app on one or more listening sockets, a thread per connection."""

    def __init__(
        self, app: App, *, clock: SandboxClock, faults: FaultBook, calls: CallLog, tls: ssl.SSLContext | None = None
    ) -> None:
        self.app = app
        self.clock = clock
        self.faults = faults
        self.calls = calls
        self.tls = tls
        self.closing = threading.Event()
        self.addresses: list[tuple[str, int]] = []
        self._lock = threading.Lock()
        self._listening: list[socket.socket] = []
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()

    @property
    def address(self) -> str:
        """The first address listened on, as host:port."""
        host, port = self.addresses[0]
        return f"{host}:{port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.address}"

    def listen(self, host: str, port: int = 0) -> None:
        """Listen on *host*:*port* too (0: any free port). The socket belongs to this thread's network namespace."""
        listening = socket.create_server((host, port), backlog=BACKLOG)
        self.addresses.append((host, listening.getsockname()[1]))
        self._listening.append(listening)
        self._start(lambda: self._accept(listening))

    def close(self) -> None:
        """Stop at once: hanging answers are cut off, and every thread has ended on return."""
        self.closing.set()
        with self._lock:
            for listening in self._listening:
                with contextlib.suppress(OSError):
                    listening.shutdown(socket.SHUT_RDWR)  # wakes accept()
            for connection in self._open:
                _cut(connection)
        # Again until none is left: one that was just starting sees that we close, and ends.
        while threads := self._running():
            for thread in threads:
                thread.join()
        for listening in self._listening:
            listening.close()

    def _running(self) -> set[threading.Thread]:
        with self._lock:
            return self._threads - {threading.current_thread()}

    def _start(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            finally:
                with self._lock:
                    self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=run, name=f"sandbox-{self.app.name}", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _accept(self, listening: socket.socket) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return  # closed
            self._start(lambda connection=connection: self._serve(connection))  # type: ignore[misc]

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._track(connection)
            meet(self.faults.draw_connect(self.app.name), connection, self.closing)
            if self.tls is not None:
                secure = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                # The plain socket gave its descriptor away: from now on this one is to be cut.
                self._untrack(connection)
                connection = secure
                self._track(connection)
                connection.do_handshake()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _Conversation(connection, self)
        except (OSError, _Ended):
            pass  # the client went away, or was sent away
        finally:
            self._untrack(connection)
            connection.close()

    def _track(self, connection: socket.socket) -> None:
        with self._lock:
            if self.closing.is_set():
                raise _Ended
            self._open.add(connection)

    def _untrack(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)


class _Ended(Exception):  # noqa: N818 - not an error: this conversation is over
    """Nothing more will be said on this connection."""


class _Unreadable(Exception):  # noqa: N818 - it becomes an answer
    """The body of a request cannot be read; *status* says why."""

    def __init__(self, status: int) -> None:
        self.status = status


def _size(text: str, base: int, before: int = 0) -> int:
    """Read the size of a body or of a chunk, *before* bytes of which the body has already."""
    try:
        size = int(text, base)
    except ValueError:
        raise _Unreadable(400) from None
    if size < 0:
        raise _Unreadable(400)
    if before + size > LARGEST_BODY:
        raise _Unreadable(413)
    return size


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not SSLSocket's own shutdown: that would pull the TLS state from under the thread that reads.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def meet(fault: Delivery | None, connection: socket.socket, closing: threading.Event) -> None:
    """Let *fault* happen here and now, if there is one."""
    if isinstance(fault, Hang):
        closing.wait(fault.seconds)
        raise _Ended
    if isinstance(fault, Reset):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
        raise _Ended


class _Conversation(BaseHTTPRequestHandler):
    """One connection: reads requests, asks the app, sends the answers as the faults want it."""

    protocol_version = "HTTP/1.1"
    server_version = "acr-sandbox"
    sys_version = ""

    def __init__(self, connection: socket.socket, listener: Listener) -> None:
        self.listener = listener
        super().__init__(connection, connection.getpeername(), None)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        """Stay silent: the call log is elsewhere, and request lines may hold secrets."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        del timestamp
        return self.listener.clock.http_date()

    def _answer(self) -> None:
        listener = self.listener
        try:
            body = self._read_body()
        except _Unreadable as unreadable:
            self.close_connection = True
            self._send(Response(unreadable.status), None)
            return
        request = Request(self.command, self.path, tuple(self.headers.items()), body)
        subject = listener.app.subject(request)
        call = Call(
            listener.clock.now(),
            listener.app.name,
            request.method,
            request.path,
            subject.operation,
            subject.instance_id,
            subject.access_key_id,
        )
        listener.calls.add(call)
        drawn = listener.faults.draw(listener.app.name, subject.operation)
        if drawn.delay is not None and listener.closing.wait(drawn.delay.seconds):
            raise _Ended
        response = listener.app.respond(request, drawn)
        listener.calls.answered(call, response.status)
        self._send(response, drawn.delivery)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

    def _read_body(self) -> bytes:
        """Read the body of the request, by its length or in chunks (as Alibaba Cloud's Java SDKs send it)."""
        coding = self.headers.get("transfer-encoding")
        if coding is None:
            return self.rfile.read(_size(self.headers.get("content-length") or "0", 10))
        if coding.lower() != "chunked":
            raise _Unreadable(501)
        body = b""
        while size := _size(self.rfile.readline(LONGEST_LINE).decode("latin-1").partition(";")[0], 16, len(body)):
            body += self.rfile.read(size)
            if self.rfile.readline(LONGEST_LINE) != b"\r\n":
                raise _Unreadable(400)
        while self.rfile.readline(LONGEST_LINE) not in (b"\r\n", b""):
            pass  # fields after the body, which nothing here needs
        return body

    def _send(self, response: Response, delivery: Delivery | None) -> None:
        at = delivery.at if delivery else ""
        if at == "request":
            meet(delivery, self.connection, self.listener.closing)
        head, body = self._head(response), self._body(response)
        if at == "headers":
            half = len(head) // 2
            self._pieces(delivery, head[:half], head[half:])
            at = ""
        else:
            self._write(head)
        if at == "body":
            start = next(body, b"")
            half = max(1, len(start) // 2)
            self._pieces(delivery, start[:half], start[half:])
        for chunk in body:
            self._write(chunk)

    def _pieces(self, delivery: Delivery | None, first: bytes, rest: bytes) -> None:
        """Send *first*, let the fault happen, send *rest* if there is still somebody to send it to."""
        if isinstance(delivery, Drip):
            for byte in first + rest:
                self._write(bytes((byte,)))
                if self.listener.closing.wait(1 / delivery.bytes_per_second):
                    raise _Ended
            return
        self._write(first)
        meet(delivery, self.connection, self.listener.closing)
        self._write(rest)

    def _head(self, response: Response) -> bytes:
        reason = self.responses.get(response.status, ("",))[0]
        headers = {
            "Date": self.date_time_string(),
            "Content-Type": response.content_type,
            "Content-Length": str(response.length),
            **response.headers,
        }
        if self.close_connection:
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {response.status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _body(self, response: Response) -> Iterator[bytes]:
        if self.command == "HEAD":
            return
        yield response.body
        for start in range(0, response.filler, len(CHUNK)):
            yield CHUNK[: response.filler - start]

    def _write(self, data: bytes) -> None:
        self.connection.sendall(data)
