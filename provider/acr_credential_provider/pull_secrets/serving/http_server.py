"""A small HTTP/1.1 server for untrusted clients: the webhook, metrics and health.

One thread for all connections: asyncio, h11 (which the Kubernetes client brings) and the standard library's TLS.
Every step has a deadline: handshake, whole request (so that a slow sender gains nothing), answer, idleness. The number
of connections and the bytes of all requests together are limited too.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, urlsplit

import h11

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

LOG = logging.getLogger(__name__)
_CHUNK = 65536
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on clients: counts, bytes and seconds."""

    connections: int = 256
    body: int = 4 << 20
    """Bytes of one request. The API server takes 3 MiB; a review holds the object once, or twice on updates."""
    bodies: int = 32 << 20
    """Bytes of all requests that are being read or answered."""
    handshake: float = 5.0
    request: float = 5.0
    """From a request's first byte to its last."""
    answer: float = 5.0
    """For the client to take an answer that is ready."""
    idle: float = 120.0
    """Longer than the 90 s after which the API server closes: who closes first meets no request on its way."""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes = field(repr=False)


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
    """Answers at *address*:*port* (0: any) with one of *handlers* by path, in its `Loop`.

    *tls* returns the context for each new connection, so that a new certificate counts from the next one on; while
    there is none, connections are dropped.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        address: str,
        port: int,
        tls: Callable[[], ssl.SSLContext | None] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._handlers = handlers
        self._address = (address, port)
        self._tls = tls
        self._limits = limits or Limits()
        self._idle: dict[asyncio.Task[None], None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._handle_connection, *self._address, limit=_CHUNK, backlog=512)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self, grace: float = 5.0) -> None:
        """Accept no more connections, close idle ones, and give busy ones *grace* seconds."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._idle):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(5):  # transports close in turns of their own
            await asyncio.sleep(0)

    @property
    def connections(self) -> int:
        """The number of connections."""
        return len(self._tasks)

    async def _handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - asyncio starts us as a task
            return
        self._tasks.add(task)
        try:
            if self._make_room():
                await self._start_tls(writer)
                await self._serve_requests(task, reader, writer)
        except (OSError, TimeoutError, EOFError, h11.RemoteProtocolError, asyncio.CancelledError):
            # Includes ssl.SSLError. A client that goes, drips, or speaks no HTTP: its own business, at any rate.
            pass
        finally:
            self._idle.pop(task, None)
            await self._close(writer)
            self._tasks.discard(task)

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        """Close a connection politely, if the client lets us."""
        writer.close()
        try:
            if not writer.transport.get_write_buffer_size():  # or else it would wait for one that takes nothing
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    def _make_room(self) -> bool:
        """True if one more connection may stay; the longest idle one is closed for it."""
        if len(self._tasks) <= self._limits.connections:
            return True
        idle = next(iter(self._idle), None)
        if idle is not None:
            self._idle.pop(idle)
            idle.cancel()
        return idle is not None

    async def _start_tls(self, writer: asyncio.StreamWriter) -> None:
        if self._tls is None:
            return
        context = self._tls()
        if context is None:
            raise EOFError
        await writer.start_tls(context, ssl_handshake_timeout=self._limits.handshake)

    async def _serve_requests(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        talk = h11.Connection(h11.SERVER)
        while True:
            if not talk.trailing_data[0]:
                self._idle[task] = None
                async with asyncio.timeout(self._limits.idle):
                    first = await reader.read(_CHUNK)
                self._idle.pop(task, None)
                if not first:
                    return
                talk.receive_data(first)
            try:
                answer = await self._serve(talk, reader)
            except _RefusedError as refused:
                answer = refused.answer
            except h11.RemoteProtocolError as error:
                answer = Answer(error.error_status_hint, b"not a request\n")
            ends = await self._write(talk, writer, answer)
            if ends:
                return
            talk.start_next_cycle()

    async def _serve(self, talk: h11.Connection, reader: asyncio.StreamReader) -> Answer:
        length = 0
        try:
            async with asyncio.timeout(self._limits.request):
                head = await _next(talk, reader)
                if not isinstance(head, h11.Request):
                    raise EOFError  # noqa: TRY004 - the client is gone
                length = self._reserve(head)
                parts: list[bytes] = []
                while isinstance(event := await _next(talk, reader), h11.Data):
                    parts.append(bytes(event.data))
                if not isinstance(event, h11.EndOfMessage):
                    raise EOFError  # noqa: TRY004 - the client is gone
            target = urlsplit(head.target.decode("ascii"))
            query = dict(parse_qsl(target.query))
            return await self._answer(Request(head.method.decode("ascii"), target.path, query, b"".join(parts)))
        finally:
            self._held -= length

    def _reserve(self, head: h11.Request) -> int:
        """Return the length of the body in bytes, and count it as held; raise `_RefusedError` if it may not come."""
        headers = dict(head.headers)
        if b"transfer-encoding" in headers:
            raise _RefusedError(411, "say Content-Length")  # how else to know whether there is room for it?
        length = int(headers.get(b"content-length", b"0"))
        if length > self._limits.body:
            raise _RefusedError(413, "too large")
        if self._held + length > self._limits.bodies:
            raise _RefusedError(503, "too much at once")
        self._held += length
        return length

    async def _answer(self, request: Request) -> Answer:
        handler = self._handlers.get(request.path)
        if handler is None:
            return Answer(404, b"nothing here\n")
        try:
            return await handler(request)
        except Exception:  # one request's end must not be the server's
            LOG.exception("a request failed", extra={"path": request.path})
            return Answer(500, b"failed; the log says why\n")

    async def _write(self, talk: h11.Connection, writer: asyncio.StreamWriter, answer: Answer) -> bool:
        """Send *answer*; True if the connection ends with it."""
        ends = talk.their_state is not h11.DONE  # what was not read cannot be skipped
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
        if ends:
            headers.append(("Connection", "close"))
        events = (h11.Response(status_code=answer.status, headers=headers), h11.Data(answer.body), h11.EndOfMessage())
        # In one piece: a small packet after a small packet waits for the first one's acknowledgement, 40 ms.
        writer.write(b"".join(talk.send(event) or b"" for event in events))
        async with asyncio.timeout(self._limits.answer):
            await writer.drain()
        return ends or talk.our_state is not h11.DONE


async def _next(talk: h11.Connection, reader: asyncio.StreamReader) -> object:
    """Return the next event other than NEED_DATA."""
    while (event := talk.next_event()) is h11.NEED_DATA:
        talk.receive_data(await reader.read(_CHUNK))
    return event


class Loop:
    """A thread with an event loop in it, for servers: ``port = loop.run(server.start())``."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._turn, name="serving", daemon=True)
        self._thread.start()

    def _turn(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    @property
    def is_alive(self) -> bool:
        """True if the thread still runs."""
        return self._thread.is_alive()

    def run(self, work: Coroutine[None, None, _Result]) -> _Result:
        """Run *work* in the loop and return its result; called from any other thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
