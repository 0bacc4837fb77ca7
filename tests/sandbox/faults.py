"""Faults on demand: what a cloud does on a bad day, as values that a test or the control endpoint adds.

A fault belongs to a family. For one request the oldest fault of each family that still has
turns left is drawn, so faults of one family form a script (two throttles, then a 500) and
faults of different families combine (a delay and a throttle).
"""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from .wire import Response, api_error, json_response, new_request_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import DataclassInstance

    from .wire import Request

Family = Literal["delay", "answer", "grant", "delivery", "connect"]


@dataclass(frozen=True)
class Delay:
    """The answer takes this much longer."""

    seconds: float
    family: ClassVar[Family] = "delay"


class Answer:
    """Another answer than the right one, given once the caller has been recognised."""

    family: ClassVar[Family] = "answer"

    def response(self, request: Request) -> Response:
        raise NotImplementedError


@dataclass(frozen=True)
class Throttle(Answer):
    """Too many calls. *retry_after_ms*, when set, is sent as x-acs-retry-after."""

    status: int = 400
    code: str = "Throttling.User"
    retry_after_ms: int | None = None

    def response(self, request: Request) -> Response:
        headers = {} if self.retry_after_ms is None else {"x-acs-retry-after": str(self.retry_after_ms)}
        message = "Request was denied due to user flow control."
        return api_error(self.status, self.code, message, host=request.header("host"), headers=headers)


@dataclass(frozen=True)
class Failure(Answer):
    """The cloud's own failure, or any error answer: 500, 502, 503, 403 ..."""

    status: int = 503
    code: str = "ServiceUnavailable"
    message: str = "The request has failed due to a temporary failure of the server."

    def response(self, request: Request) -> Response:
        return api_error(self.status, self.code, self.message, host=request.header("host"))


@dataclass(frozen=True)
class Html(Answer):
    """A page where JSON belongs: a captive portal, a proxy, a load balancer."""

    status: int = 200
    page: str = "<html><body><h1>Please log in</h1></body></html>"

    def response(self, request: Request) -> Response:
        return Response(self.status, self.page.encode(), "text/html; charset=utf-8")


@dataclass(frozen=True)
class NotSuccess(Answer):
    """HTTP 200 that says IsSuccess=false in its body, ACR's own way to refuse."""

    code: str = "INSTANCE_STATUS_NOT_SUPPORT"

    def response(self, request: Request) -> Response:
        return json_response(200, {"IsSuccess": False, "Code": self.code, "RequestId": new_request_id()})


@dataclass(frozen=True)
class Redirect(Answer):
    """Another place to go; a client that follows takes its security token there."""

    location: str
    status: int = 307

    def response(self, request: Request) -> Response:
        return Response(self.status, headers={"Location": self.location})


@dataclass(frozen=True)
class Echo(Answer):
    """An error whose Message holds the whole request, headers and all."""

    status: int = 400
    code: str = "SignatureDoesNotMatch"

    def response(self, request: Request) -> Response:
        return api_error(self.status, self.code, "we received: " + request.text(), host=request.header("host"))


@dataclass(frozen=True)
class Huge(Answer):
    """A body of *size* bytes that starts like the right one."""

    size: int = 300_000_000

    def response(self, request: Request) -> Response:
        start = b'{"IsSuccess":true,"Code":"success","TempUsername":"cr_temp_user","AuthorizationToken":"'
        return Response(200, start, filler=max(0, self.size - len(start)))


@dataclass(frozen=True)
class Raw(Answer):
    """Exactly this body."""

    body: str
    status: int = 200
    content_type: str = "application/json;charset=utf-8"

    def response(self, request: Request) -> Response:
        return Response(self.status, self.body.encode(), self.content_type)


@dataclass(frozen=True)
class Grant:
    """A login is granted, but its life or what is said about it is odd.

    *life* in seconds. *expiry*: how ExpireTime is written; "right" is milliseconds.
    """

    life: float | None = None
    expiry: Literal["right", "seconds", "far", "past", "absent", "text"] = "right"
    family: ClassVar[Family] = "grant"

    def expire_time(self, expires_at: float, now: float) -> int | str | None:
        forms: dict[str, int | str | None] = {
            "right": int(expires_at * 1000),
            "seconds": int(expires_at),
            "far": 253_402_300_799_000,  # the end of the year 9999
            "past": int((now - 3600) * 1000),
            "absent": None,
            "text": "soon",
        }
        return forms[self.expiry]


Place = Literal["connect", "request", "headers", "body"]
PLACES: tuple[Place, ...] = ("connect", "request", "headers", "body")


class Delivery:
    """How the answer travels. *at* "connect" comes before TLS, so it can be set for a whole server only."""

    at: Place
    places: ClassVar[tuple[Place, ...]] = PLACES

    def __post_init__(self) -> None:
        # A fault at no place would never happen, and the test would pass for the wrong reason.
        if self.at not in self.places:
            raise ValueError(f"at: {self.at}; it can be {', '.join(self.places)}")

    @property
    def family(self) -> Family:
        return "connect" if self.at == "connect" else "delivery"


@dataclass(frozen=True)
class Hang(Delivery):
    """Nothing more is sent from *at* on, for *seconds* or until the sandbox closes."""

    at: Place = "request"
    seconds: float | None = None


@dataclass(frozen=True)
class Reset(Delivery):
    """The connection is reset (TCP RST) at *at*."""

    at: Place = "request"


@dataclass(frozen=True)
class Drip(Delivery):
    """The answer comes so slowly that no single read times out; *at* "headers" or "body"."""

    at: Place = "body"
    bytes_per_second: float = 1.0
    places: ClassVar[tuple[Place, ...]] = ("headers", "body")


Fault = Delay | Answer | Grant | Delivery

KINDS: dict[str, type[Fault]] = {
    "delay": Delay,
    "throttle": Throttle,
    "failure": Failure,
    "html": Html,
    "not-success": NotSuccess,
    "redirect": Redirect,
    "echo": Echo,
    "huge": Huge,
    "raw": Raw,
    "grant": Grant,
    "hang": Hang,
    "reset": Reset,
    "drip": Drip,
}


def decode(document: dict[str, Any]) -> Fault:
    """Read a fault from the control endpoint: its "kind" and its own fields.

    >>> decode({"kind": "throttle", "retry_after_ms": 1500})
    Throttle(status=400, code='Throttling.User', retry_after_ms=1500)
    """
    fields = dict(document)
    try:
        return KINDS[fields.pop("kind")](**fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a fault ({error}); kinds: {', '.join(KINDS)}") from None


@dataclass(frozen=True)
class Drawn:
    """The faults that one request meets, at most one per family."""

    delay: Delay | None = None
    answer: Answer | None = None
    grant: Grant | None = None
    delivery: Delivery | None = None
    connect: Delivery | None = None


@dataclass
class _Entry:
    target: str
    fault: Fault
    left: int | None


class FaultBook:
    """The faults in force. A target is a server ("openapi") or an operation ("GetAuthorizationToken")."""

    def __init__(self, targets: Iterable[str], servers: Iterable[str]) -> None:
        self._servers = frozenset(servers)
        self._targets = frozenset(targets) | self._servers
        self._lock = threading.Lock()
        self._entries: list[_Entry] = []

    def add(self, target: str, fault: Fault, *, times: int | None = None) -> None:
        """Let *fault* meet the next *times* requests to *target*, or all of them until cleared."""
        # A misspelt target would never apply, and the test would pass for the wrong reason.
        if target not in self._targets:
            raise ValueError(f"no such target: {target}; there are {', '.join(sorted(self._targets))}")
        if fault.family == "connect" and target not in self._servers:
            raise ValueError(f"what will be asked for is not known at connect: use {', '.join(sorted(self._servers))}")
        with self._lock:
            self._entries.append(_Entry(target, fault, times))

    def clear(self, target: str | None = None) -> None:
        with self._lock:
            self._entries = [entry for entry in self._entries if target not in (None, entry.target)]

    def draw(self, server: str, operation: str) -> Drawn:
        """Take the faults that a request for *operation* meets, and count them."""
        return self._take((server, operation), ("delay", "answer", "grant", "delivery"))

    def draw_connect(self, server: str) -> Delivery | None:
        """Take the fault that a new connection to *server* meets."""
        return self._take((server,), ("connect",)).connect

    def _take(self, targets: tuple[str, ...], families: tuple[Family, ...]) -> Drawn:
        drawn: dict[Family, Any] = {}
        with self._lock:
            for entry in self._entries:
                family = entry.fault.family
                if entry.target in targets and family in families and family not in drawn:
                    drawn[family] = entry.fault
                    entry.left = None if entry.left is None else entry.left - 1
            self._entries = [entry for entry in self._entries if entry.left is None or entry.left > 0]
        return Drawn(**drawn)

    def document(self) -> list[dict[str, Any]]:
        names = {kind: name for name, kind in KINDS.items()}
        with self._lock:
            return [
                {
                    "target": entry.target,
                    "times": entry.left,
                    "kind": names[type(entry.fault)],
                    **dataclasses.asdict(cast("DataclassInstance", entry.fault)),
                }
                for entry in self._entries
            ]
