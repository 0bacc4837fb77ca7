"""The ECS metadata service: who this node is, and the temporary credentials of its RAM role."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .calls import Subject
from .state import ACCOUNT, Principal
from .wire import Response

if TYPE_CHECKING:
    from .faults import Drawn
    from .state import AccessKey, CloudState
    from .wire import Request

ROOT = "/latest/meta-data/"
ROLES = "ram/security-credentials/"
TOKEN_PATH = "/latest/api/token"  # a path, not a token
LONGEST_TTL = 21600


@dataclass
class Metadata:
    """The app behind 100.100.100.200. Change its fields to change the node, also while it runs.

    *hardened*: answers only to requests with a token (HttpTokens=required).
    *tokens_offered*: off on images and regions from before the token mode: PUT is not found.
    *role*: the RAM role of the node, None when no role is attached.
    """

    state: CloudState
    role: Principal | None = field(
        default_factory=lambda: Principal("KubernetesWorkerRole-sandbox", kind="AssumedRoleUser")
    )
    hardened: bool = False
    tokens_offered: bool = True
    region_id: str = "cn-hangzhou"
    zone_id: str = "cn-hangzhou-k"
    instance_id: str = "i-bp1sandbox00000001"
    owner_account_id: str = ACCOUNT
    name: str = "metadata"
    operations: frozenset[str] = frozenset(
        {"metadata.token", "metadata.role", "metadata.credentials", "metadata.item", "metadata.unknown"}
    )

    def __post_init__(self) -> None:
        self._tokens: dict[str, float] = {}
        self._session: AccessKey | None = None
        self._session_of: Principal | None = None

    def subject(self, request: Request) -> Subject:
        path = request.path
        if path == TOKEN_PATH:
            return Subject("metadata.token")
        if not path.startswith(ROOT):
            return Subject("metadata.unknown")
        item = path.removeprefix(ROOT)
        if item.rstrip("/") == ROLES.rstrip("/"):
            return Subject("metadata.role")
        return Subject("metadata.credentials" if item.startswith(ROLES) else "metadata.item")

    def respond(self, request: Request, drawn: Drawn) -> Response:
        if drawn.answer is not None:
            return drawn.answer.response(request)
        if request.path == TOKEN_PATH and request.method == "PUT" and self.tokens_offered:
            return self._new_token(request)
        if request.method != "GET":
            return _page(405, "Method Not Allowed") if request.path.startswith(ROOT) else _page(404, "Not Found")
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        value = self._value(request.path)
        return _page(404, "Not Found") if value is None else Response(200, value.encode(), "text/plain")

    def session(self) -> AccessKey | None:
        """Return the role's present STS credentials: renewed by the cloud ahead of their end, never on request."""
        with self.state.lock:
            if self.role is None:
                return None
            session, life = self._session, self.state.session_life
            ends_at = session.expires_at or 0.0 if session else 0.0
            if session is None or self._session_of is not self.role or ends_at - self.state.clock.now() < life / 4:
                session = self._session = self.state.open_session(self.role, life)
                self._session_of = self.role
            return session

    def _new_token(self, request: Request) -> Response:
        if request.values("x-forwarded-for"):
            return _page(403, "Forbidden")  # it came through a proxy
        ttl = request.header("x-aliyun-ecs-metadata-token-ttl-seconds")
        if not (ttl.isascii() and ttl.isdigit() and 1 <= int(ttl) <= LONGEST_TTL):
            return _page(400, "Bad Request")
        token = secrets.token_urlsafe(40)
        with self.state.lock:
            self._tokens[token] = self.state.clock.now() + int(ttl)
        return Response(200, token.encode(), "text/plain")

    def _refusal(self, request: Request) -> Response | None:
        token = request.header("x-aliyun-ecs-metadata-token")
        if not token:
            return _page(403, "Forbidden") if self.hardened else None
        with self.state.lock:
            alive = self._tokens.get(token, 0.0) > self.state.clock.now()
        return None if alive else _page(401, "Unauthorized")

    def _value(self, path: str) -> str | None:
        if path == "/latest/dynamic/instance-identity/document":
            return json.dumps(
                {
                    "owner-account-id": self.owner_account_id,
                    "instance-id": self.instance_id,
                    "region-id": self.region_id,
                    "zone-id": self.zone_id,
                }
            )
        if not path.startswith(ROOT):
            return None
        item = path.removeprefix(ROOT)
        items = {
            "region-id": self.region_id,
            "zone-id": self.zone_id,
            "instance-id": self.instance_id,
            "owner-account-id": self.owner_account_id,
        }
        if item == "":
            return "\n".join([*items, *(["ram/"] if self.role else [])])
        if item.startswith(ROLES.rstrip("/")):
            return self._role_value(item.removeprefix(ROLES.rstrip("/")).removeprefix("/"))
        return items.get(item)

    def _role_value(self, role_name: str) -> str | None:
        session = self.session()
        if session is None or role_name not in ("", session.principal.name):
            return None
        if not role_name:
            return session.principal.name
        clock, ends_at = self.state.clock, session.expires_at or 0.0
        return json.dumps(
            {
                "AccessKeyId": session.id,
                "AccessKeySecret": session.secret,
                "SecurityToken": session.security_token,
                "Expiration": clock.iso(ends_at),
                "LastUpdated": clock.iso(ends_at - self.state.session_life),
                "Code": "Success",
            }
        )


def _page(status: int, title: str) -> Response:
    page = f"<html><head><title>{status} - {title}</title></head><body><h1>{status} - {title}</h1></body></html>"
    return Response(status, page.encode(), "text/html")
