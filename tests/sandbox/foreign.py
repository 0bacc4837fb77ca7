"""A host that has no business with us: it writes down all that reaches it, for tests of redirects."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from .calls import CallLog, Subject
from .clock import SandboxClock
from .faults import FaultBook
from .listener import Listener
from .wire import Response, json_response

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from .faults import Drawn
    from .wire import Request


@dataclass
class _Recorder:
    requests: list[Request]
    name: str = "foreign"
    operations: frozenset[str] = frozenset({"foreign.request"})
    lock: threading.Lock = field(default_factory=threading.Lock)

    def subject(self, request: Request) -> Subject:
        with self.lock:
            self.requests.append(request)
        return Subject("foreign.request")

    def respond(self, request: Request, drawn: Drawn) -> Response:
        return drawn.answer.response(request) if drawn.answer else json_response(200, {})


class ForeignHost:
    """Listens on loopback; *requests* holds what came, headers and bodies included.

    Pass the sandbox's TLS context (`AcrSandbox.tls`) for one whose certificate the client trusts.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self.requests: list[Request] = []
        app = _Recorder(self.requests)
        self._listener = Listener(
            app, clock=SandboxClock(), faults=FaultBook(app.operations, (app.name,)), calls=CallLog(), tls=tls
        )
        self._address = address

    @property
    def url(self) -> str:
        return self._listener.url

    def __enter__(self) -> Self:
        self._listener.listen(self._address)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
