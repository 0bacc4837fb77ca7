"""What goes over the wire, as values: requests, answers, and the error bodies Alibaba Cloud sends."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping

RECOMMEND = "https://api.aliyun.com/troubleshoot?q="


@dataclass(frozen=True)
class Request:
    """One HTTP request, its body read. *target* is what the request line said: path and query."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query, decoded, in the order it came: "+" and "%20" are both a space."""
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of an API call: the query, then a form body."""
        pairs = self.query
        if self.header("content-type").partition(";")[0].strip() == "application/x-www-form-urlencoded":
            pairs = pairs + parse_qsl(self.body.decode("latin-1"), keep_blank_values=True)
        return dict(pairs)

    def values(self, name: str) -> list[str]:
        return [value for other, value in self.headers if other.lower() == name.lower()]

    def header(self, name: str) -> str:
        """Return the first header called *name*, or an empty string."""
        return next(iter(self.values(name)), "")

    def text(self) -> str:
        """Return the whole request as it came, secrets included: what an echoing server sends back."""
        head = "".join(f"{name}: {value}\n" for name, value in self.headers)
        return f"{self.method} {self.target} HTTP/1.1\n{head}\n{self.body.decode('latin-1')}"


@dataclass(frozen=True)
class Response:
    """One HTTP answer. *filler* is how many more bytes are streamed after *body*."""

    status: int
    body: bytes = b""
    content_type: str = "application/json;charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    filler: int = 0

    @property
    def length(self) -> int:
        return len(self.body) + self.filler


def json_response(status: int, document: Any, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, json.dumps(document).encode(), headers=headers or {})


def new_request_id() -> str:
    return str(uuid.uuid4()).upper()


def api_error(  # one parameter per field of the wire form
    status: int,
    code: str,
    message: str,
    *,
    host: str = "",
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """Build an error as the OpenAPI gateway sends it: Code, Message, RequestId, HostId, Recommend."""
    body = {
        "Code": code,
        "Message": message,
        "RequestId": new_request_id(),
        "HostId": host,
        "Recommend": RECOMMEND + code,
        **more,
    }
    return json_response(status, body, headers)


class RefusedError(Exception):
    """A call that is refused; carries the answer that says so."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.message = message
        self.more = more

    def response(self, host: str) -> Response:
        return api_error(self.status, self.code, self.message, host=host, **self.more)
