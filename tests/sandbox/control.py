"""The control endpoint: what a test sets in Python, over HTTP for the standalone sandbox.

GET    /            addresses, as `python -m sandbox --json` prints them
GET    /calls       the call log and its counters       DELETE /calls
GET    /faults      the faults in force                 DELETE /faults[?target=T]
POST   /faults      {"target": T, "kind": K, "times": N or null, ... the fault's own fields}
PATCH  /clock       {"skew": seconds}
PATCH  /tokens      {"life": seconds or null}            DELETE /tokens  (revokes all logins)
PATCH  /metadata    {"hardened": bool, "tokens_offered": bool, "role_attached": bool, "session_life": seconds}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .calls import Subject
from .faults import decode
from .wire import Response, json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from .faults import Drawn
    from .server import AcrSandbox
    from .wire import Request


@dataclass
class Control:
    """The app that turns knobs of *sandbox*; loopback only, like everything here."""

    sandbox: AcrSandbox
    name: str = "control"
    operations: frozenset[str] = frozenset({"control"})

    def __post_init__(self) -> None:
        self._role = self.sandbox.node.role
        box = self.sandbox
        self._routes: dict[tuple[str, str], Callable[[Request, Any], Any]] = {
            ("GET", "/"): lambda *_: box.document(),
            ("GET", "/calls"): lambda *_: box.calls.document(),
            ("DELETE", "/calls"): lambda *_: box.calls.clear(),
            ("GET", "/faults"): lambda *_: box.faults.document(),
            ("POST", "/faults"): self._add_fault,
            ("DELETE", "/faults"): lambda request, _: box.faults.clear(dict(request.query).get("target")),
            ("PATCH", "/clock"): self._set_clock,
            ("PATCH", "/tokens"): self._set_tokens,
            ("DELETE", "/tokens"): lambda *_: box.state.revoke_logins(),
            ("PATCH", "/metadata"): self._set_metadata,
        }

    def subject(self, request: Request) -> Subject:
        del request
        return Subject("control")

    def respond(self, request: Request, drawn: Drawn) -> Response:
        del drawn
        route = self._routes.get((request.method, request.path))
        if route is None:
            return json_response(404, {"error": "no such control", "controls": [" ".join(key) for key in self._routes]})
        try:
            document = json.loads(request.body) if request.body else {}
            answer = route(request, document)
        except (ValueError, TypeError, KeyError) as error:
            return json_response(400, {"error": f"{type(error).__name__}: {error}"})
        return json_response(200, {"ok": True} if answer is None else answer)

    def _add_fault(self, _: Request, document: dict[str, Any]) -> None:
        target, times = document.pop("target"), document.pop("times", None)
        self.sandbox.faults.add(target, decode(document), times=times)

    def _set_clock(self, _: Request, document: dict[str, Any]) -> None:
        self.sandbox.clock.skew = float(document["skew"])

    def _set_tokens(self, _: Request, document: dict[str, Any]) -> None:
        life = document["life"]
        self.sandbox.state.token_life = None if life is None else float(life)

    def _set_metadata(self, _: Request, document: dict[str, Any]) -> None:
        node = self.sandbox.node
        unknown = document.keys() - {"hardened", "tokens_offered", "role_attached", "session_life"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        node.hardened = bool(document.get("hardened", node.hardened))
        node.tokens_offered = bool(document.get("tokens_offered", node.tokens_offered))
        if "role_attached" in document:
            node.role = self._role if document["role_attached"] else None
        self.sandbox.state.session_life = float(document.get("session_life", self.sandbox.state.session_life))
