"""A small HTTP/1.1 server for untrusted clients: the webhook, metrics and health.

One thread for all connections: asyncio, h11 (which the Kubernetes client brings) and the standard library's TLS.
Handshake, idleness, and each request with its answer have a deadline. Connections (`ConnectionTable`) and the bytes of
all requests together are limited. What clients do wrong is counted and never logged.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import h11

from acr_credential_provider.model.connection_table import ClientFault, ConnectionTable, fault_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

LOG = logging.getLogger(__name__)
_CHUNK = 65536
_BACKLOG = 512
_ACCEPTED_AT_ONCE = 16
"""Then those that are connected have their turn. For asyncio this and the backlog are one number."""
LOG_AGAIN = 600.0
"""Seconds after which the same failure of a request is logged again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on clients: counts, bytes and seconds."""

    connections: int = 256
    per_client: int = 128
    """Connections of one client. An API server has as many as it has requests at once, over all replicas."""
    body: int = 4 << 20
    """Bytes of one request. The API server takes 3 MiB; a review holds the object once, or twice on updates."""
    bodies: int = 32 << 20
    """Bytes of all requests that are being read or answered."""
    handshake: float = 5.0
    request: float = 10.0
    """From a request's first byte to the last one of its answer. An API server waits no longer."""
    idle: float = 120.0
    """Longer than the 90 s after which the API server closes: who closes first meets no request on its way."""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes = field(repr=False)
    client: str = ""
    """The address that it came from."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    body: bytes = field(repr=False)
    content_type: str = "text/plain; charset=utf-8"


if TYPE_CHECKING:
    Handler = Callable[[Request], Awaitable[Answer]]


class _RefusedError(Exception):
    """A request that is not read to its end; the connection ends with the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.answer = Answer(status, f"{reason}\n".encode())


class Server:
    """Answers at *address* (host, and port or 0 for any) with one of *handlers* by path, in its `Loop`.

    *tls* returns the context for each new connection, so that a new certificate counts from the next one on; while
    there is none, connections are dropped. *count* is called for what a client does wrong.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        address: tuple[str, int],
        tls: Callable[[], ssl.SSLContext | None] | None = None,
        limits: Limits | None = None,
        count: Callable[[ClientFault], None] = lambda _fault: None,
    ) -> None:
        self._handlers = handlers
        self._address = address
        self._tls = tls
        self._limits = limits = limits or Limits()
        self._count = count
        self._table: ConnectionTable[asyncio.Task[None]] = ConnectionTable(limits.connections, limits.per_client)
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.Task[None]] = set()
        self._held: dict[asyncio.Task[None], int] = {}
        """The bytes of the request that each connection has sent so far."""
        self._logged: dict[tuple[str, str], float] = {}
        self._listener: socket.socket | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; return the port."""
        self._listener = listener = socket.create_server(self._address)
        listener.setblocking(False)
        self._server = await asyncio.start_server(
            self._handle_connection, sock=listener, limit=_CHUNK, backlog=_ACCEPTED_AT_ONCE
        )
        listener.listen(_BACKLOG)
        port: int = listener.getsockname()[1]
        return port

    async def stop(self, grace: float = 5.0) -> None:
        """Accept no more connections, close idle ones, and give busy ones *grace* seconds."""
        if self._server is None or self._listener is None:
            return
        asyncio.get_running_loop().remove_reader(self._listener)
        await _turns()  # asyncio loses connections that it is accepting while a server closes
        self._server.close()
        for task in self._idle:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await _turns()

    @property
    def connections(self) -> int:
        """The number of connections."""
        return len(self._tasks)

    async def _handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - asyncio starts us as a task
            return
        self._tasks.add(task)
        is_polite = False
        try:
            if self._is_let_in(task, writer):
                await self._start_tls(writer)
                await self._serve_requests(task, reader, writer)
                is_polite = True
        except TimeoutError:
            self._count(ClientFault.TIMEOUT)
        except ssl.SSLError:
            self._count(ClientFault.TLS)
        except (OSError, EOFError, asyncio.CancelledError):  # a client that leaves, or that is closed for another one
            pass
        except Exception as error:  # noqa: BLE001 - the end of one connection must not be the server's
            self._log_failure(type(error).__name__, error)
        finally:
            self._table.remove(task)
            self._held.pop(task, None)
            await self._close(writer, is_polite=is_polite)
            self._tasks.discard(task)

    def _is_let_in(self, task: asyncio.Task[None], writer: asyncio.StreamWriter) -> bool:
        """True if one more connection may stay; another one may be closed for it."""
        victim = self._table.add(task, _address(writer), time.monotonic())
        if victim is not None:
            self._drop(victim, ClientFault.TOO_MANY)
        return victim is not task

    def _drop(self, victim: asyncio.Task[None], fault: ClientFault) -> None:
        self._count(fault)
        self._table.remove(victim)
        if victim is not asyncio.current_task():
            victim.cancel()

    async def _close(self, writer: asyncio.StreamWriter, *, is_polite: bool) -> None:
        """Close a connection; *is_polite*: with the end of TLS, if the client lets us."""
        try:
            # Or else it would wait for a client that takes nothing.
            if is_polite and not writer.transport.get_write_buffer_size():
                writer.close()
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _start_tls(self, writer: asyncio.StreamWriter) -> None:
        if self._tls is None:
            return
        context = self._tls()
        if context is None:
            raise EOFError
        try:
            await writer.start_tls(context, ssl_handshake_timeout=self._limits.handshake)
        except ConnectionAbortedError:  # asyncio's word for it
            raise TimeoutError from None

    async def _serve_requests(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        talk = h11.Connection(h11.SERVER)
        while True:
            if talk.trailing_data[0]:
                await asyncio.sleep(0)  # requests that were sent together do not keep other clients waiting
            elif not await self._await_request(task, talk, reader):
                return
            self._table.await_client(task, time.monotonic())
            async with asyncio.timeout(self._limits.request):
                answer = await self._serve(task, talk, reader, _address(writer))
                self._table.await_client(task, time.monotonic())
                ends = await self._write(talk, writer, answer)
            if ends:
                return
            self._table.idle(task, time.monotonic())
            talk.start_next_cycle()

    async def _await_request(
        self, task: asyncio.Task[None], talk: h11.Connection, reader: asyncio.StreamReader
    ) -> bool:
        """True once a request has begun; False if the client has none."""
        self._idle.add(task)
        try:
            async with asyncio.timeout(self._limits.idle):
                first = await reader.read(_CHUNK)
        except TimeoutError:
            return False
        finally:
            self._idle.discard(task)
        talk.receive_data(first)
        return bool(first)

    async def _serve(
        self, task: asyncio.Task[None], talk: h11.Connection, reader: asyncio.StreamReader, client: str
    ) -> Answer:
        """Return the answer to the next request; count what is wrong with it."""
        method, fault = b"", None
        try:
            head = await _next(talk, reader)
            if not isinstance(head, h11.Request):
                raise EOFError  # noqa: TRY004 - the client is gone
            method = head.method
            request = _decoded(head, await self._read_body(task, head, talk, reader), client)
            self._table.work(task, time.monotonic())
            answer = await self._answer(request)
            fault = fault_of(answer.status)
        except _RefusedError as refused:
            answer = refused.answer
            fault = fault_of(answer.status) or ClientFault.TOO_LARGE
        except h11.RemoteProtocolError as error:
            answer = Answer(error.error_status_hint, b"not a request\n")
            fault = fault_of(answer.status) or ClientFault.BAD_REQUEST
        finally:
            self._held.pop(task, None)
        if fault is not None:
            self._count(fault)
        else:
            self._table.trust(task, time.monotonic())
        return replace(answer, body=b"") if method == b"HEAD" else answer

    async def _read_body(
        self, task: asyncio.Task[None], head: h11.Request, talk: h11.Connection, reader: asyncio.StreamReader
    ) -> bytes:
        headers = dict(head.headers)
        if b"transfer-encoding" in headers:
            raise _RefusedError(411, "say Content-Length")  # or else it would be read before it is refused
        if int(headers.get(b"content-length", b"0")) > self._limits.body:
            raise _RefusedError(413, "too large")
        parts: list[bytes] = []
        while isinstance(event := await _next(talk, reader), h11.Data):
            self._hold(task, len(event.data))
            parts.append(bytes(event.data))
        if not isinstance(event, h11.EndOfMessage):
            raise EOFError  # noqa: TRY004 - the client is gone
        return b"".join(parts)

    def _hold(self, task: asyncio.Task[None], length: int) -> None:
        """Count *length* bytes more; if they are too many, end the request that matters least, maybe this one."""
        self._held[task] = self._held.get(task, 0) + length
        while sum(self._held.values()) > self._limits.bodies:
            others = [other for other in self._held if other is not task]
            victim = self._table.least_of(others, task, time.monotonic())
            if victim is task:
                raise _RefusedError(503, "too much at once")
            del self._held[victim]
            self._drop(victim, ClientFault.TOO_LARGE)

    async def _answer(self, request: Request) -> Answer:
        handler = self._handlers.get(request.path)
        if handler is None:
            return Answer(404, b"nothing here\n")
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001 - the end of one request must not be the server's
            self._log_failure(request.path, error)
            return Answer(500, b"failed; the log says why\n")

    def _log_failure(self, path: str, error: Exception) -> None:
        """Log an error of ours, each kind once in a while: clients may be able to repeat it."""
        kind, now = (path, type(error).__name__), time.monotonic()
        if now - self._logged.get(kind, float("-inf")) >= LOG_AGAIN:
            self._logged[kind] = now
            LOG.error("a request failed", extra={"path": path}, exc_info=error)

    async def _write(self, talk: h11.Connection, writer: asyncio.StreamWriter, answer: Answer) -> bool:
        """Send *answer*; True if the connection ends with it."""
        ends = talk.their_state is not h11.DONE  # what was not read cannot be skipped
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
        if ends:
            headers.append(("Connection", "close"))
        events = (h11.Response(status_code=answer.status, headers=headers), h11.Data(answer.body), h11.EndOfMessage())
        # In one piece: a small packet after a small packet waits for the first one's acknowledgement, 40 ms.
        writer.write(b"".join(talk.send(event) or b"" for event in events))
        await writer.drain()
        return ends or talk.our_state is not h11.DONE


async def _turns() -> None:
    """Let the loop turn some times: sockets are accepted, and transports closed, in turns of their own."""
    for _ in range(5):
        await asyncio.sleep(0)


def _address(writer: asyncio.StreamWriter) -> str:
    """Return the client's address, "" if it has left already."""
    return str((writer.get_extra_info("peername") or ("",))[0])


def _decoded(head: h11.Request, body: bytes, client: str) -> Request:
    """Return a request; raise `_RefusedError` for a target that is no URL."""
    try:
        target = urlsplit(head.target.decode("ascii"))
        query = dict(parse_qsl(target.query))
    except ValueError:
        raise _RefusedError(400, "not a URL") from None
    return Request(head.method.decode("ascii"), target.path, query, body, client)


async def _next(talk: h11.Connection, reader: asyncio.StreamReader) -> object:
    """Return the next event other than NEED_DATA."""
    while (event := talk.next_event()) is h11.NEED_DATA:
        talk.receive_data(await reader.read(_CHUNK))
    return event
