"""A registry with token authentication that only lets in logins this cloud minted, while they live.

The image behind every name is the same unless an instance says otherwise; what is tested is who gets it.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .calls import Subject
from .oci import MANIFEST_TYPE, small_image
from .wire import Response, json_response

if TYPE_CHECKING:
    from .faults import Drawn
    from .state import CloudState, Instance, Login, Principal
    from .wire import Request

CONTENT = re.compile(r"/v2/(?P<repository>[a-z0-9._/-]+)/(?P<kind>manifests|blobs)/(?P<reference>[\w.:-]+)")
SCOPE = re.compile(r"repository:(?P<repository>[a-z0-9._/-]+):(?P<actions>[a-z,*]+)")
TAGS = ("latest", "1.0")


@dataclass(frozen=True)
class Bearer:
    """What /auth granted: pulling from these repositories of one instance, until then."""

    instance_id: str
    repositories: frozenset[str]
    expires_at: float


@dataclass
class Registry:
    """The app behind <name>-registry.<region>.cr.aliyuncs.com and its dockerauth host, in one.

    *bearer_life* in seconds; a bearer never outlives the login behind it.
    """

    state: CloudState
    bearer_life: float = 300.0
    name: str = "registry"
    operations: frozenset[str] = frozenset(
        {"registry.v2", "registry.auth", "registry.manifest", "registry.blob", "registry.unknown"}
    )

    def __post_init__(self) -> None:
        self._bearers: dict[str, Bearer] = {}

    def subject(self, request: Request) -> Subject:
        instance = self.state.instance_at(request.header("host"))
        login = self._login(request)
        content = CONTENT.fullmatch(request.path)
        operation = {"/v2/": "registry.v2", "/v2": "registry.v2", "/auth": "registry.auth"}.get(request.path, "")
        if content:
            operation = "registry.manifest" if content["kind"] == "manifests" else "registry.blob"
        return Subject(
            operation or "registry.unknown", instance.id if instance else "", login.access_key_id if login else ""
        )

    def respond(self, request: Request, drawn: Drawn) -> Response:
        if drawn.answer is not None:
            return drawn.answer.response(request)
        instance = self.state.instance_at(request.header("host"))
        if instance is None or request.method not in ("GET", "HEAD"):
            return _error(404, "NAME_UNKNOWN", "no such registry")
        content = CONTENT.fullmatch(request.path)
        if content:
            return self._content(request, instance, content)
        pages = {"/auth": self._grant, "/v2/": self._version, "/v2": self._version}
        page = pages.get(request.path)
        return page(request, instance) if page else _error(404, "NAME_UNKNOWN", "no such page")

    def _version(self, request: Request, instance: Instance) -> Response:
        return json_response(200, {}) if self._bearer(request, instance) else self._challenge(request, instance)

    def _challenge(
        self, request: Request, instance: Instance, repository: str = "", *, insufficient: bool = False
    ) -> Response:
        challenge = f'Bearer realm="https://{request.header("host")}/auth",service="{instance.service}"'
        if repository:
            challenge += f',scope="repository:{repository}:pull"'
        if insufficient:
            challenge += ',error="insufficient_scope"'
            response = _error(401, "UNAUTHORIZED", "insufficient_scope: authorization failed")
        else:
            response = _error(401, "UNAUTHORIZED", "authentication required")
        headers = {"Www-Authenticate": challenge, "Docker-Distribution-Api-Version": "registry/2.0"}
        return Response(401, response.body, headers=headers)

    def _grant(self, request: Request, here: Instance) -> Response:
        """Change a login for a bearer, as /auth?service=...&scope=... does."""
        login = self._login(request)
        # The login must be of the very instance that the challenge named.
        is_anonymous = not request.header("authorization") and bool(here.public)
        is_good = is_anonymous or (login is not None and login.instance_id == here.id)
        if not is_good or dict(request.query).get("service") != here.service:
            return _error(401, "UNAUTHORIZED", "authentication required")
        scopes = " ".join(value for name, value in request.query if name == "scope").split()
        asked = [SCOPE.fullmatch(scope) for scope in scopes]
        pulled = {scope["repository"] for scope in asked if scope and "pull" in scope["actions"].split(",")}
        repositories = frozenset(
            each for each in pulled if each in here.public or (login and _may_pull(login.principal, here, each))
        )
        now = self.state.clock.now()
        expires_at = min(now + self.bearer_life, login.expires_at if login else now + self.bearer_life)
        token = secrets.token_urlsafe(60)
        with self.state.lock:
            self._bearers[token] = Bearer(here.id, repositories, expires_at)
        return json_response(
            200,
            {
                "token": token,
                "access_token": token,
                "expires_in": int(expires_at - now),
                "issued_at": self.state.clock.iso(now),
            },
        )

    def _content(self, request: Request, instance: Instance, content: re.Match[str]) -> Response:
        repository, reference = content["repository"], content["reference"]
        bearer = self._bearer(request, instance)
        if bearer is None:
            return self._challenge(request, instance, repository)
        if repository not in bearer.repositories or repository not in instance.repositories:
            return self._challenge(request, instance, repository, insufficient=True)
        image = instance.images.get(repository) or small_image()
        if content["kind"] == "manifests" and reference in (*TAGS, image.digest):
            return Response(200, image.manifest, MANIFEST_TYPE, {"Docker-Content-Digest": image.digest})
        if content["kind"] == "blobs" and reference in image.blobs:
            headers = {"Docker-Content-Digest": reference}
            return Response(200, image.blobs[reference], "application/octet-stream", headers)
        return _error(404, "MANIFEST_UNKNOWN" if content["kind"] == "manifests" else "BLOB_UNKNOWN", "not found")

    def _login(self, request: Request) -> Login | None:
        scheme, _, encoded = request.header("authorization").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return self.state.find_login(username, password)

    def _bearer(self, request: Request, here: Instance) -> Bearer | None:
        """Return the living bearer that *request* shows, if it is one for this instance."""
        scheme, _, token = request.header("authorization").partition(" ")
        with self.state.lock:
            bearer = self._bearers.get(token) if scheme.lower() == "bearer" else None
        is_good = bearer and bearer.instance_id == here.id and bearer.expires_at > self.state.clock.now()
        return bearer if is_good else None


def _may_pull(principal: Principal, here: Instance, repository: str) -> bool:
    """Say whether *principal* may: RAM allows it, and it is no other account's namespace."""
    owner = here.owners.get(repository.partition("/")[0], principal.account)
    allowed = principal.may("cr:PullRepository", here.id, resource=here.repository_arn(repository))
    return allowed and owner == principal.account


def _error(status: int, code: str, message: str) -> Response:
    return json_response(status, {"errors": [{"code": code, "message": message, "detail": None}]})
