"""Where commands take logins from that go into a pull secret: files, Secrets, ACR itself."""

from __future__ import annotations

import json
from base64 import b64decode
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from acr_credential_provider.acquire import acquired
from acr_credential_provider.deadline import Deadline
from acr_credential_provider.errors import ConfigurationError
from acr_credential_provider.folders import prepare
from acr_credential_provider.hit import API_VERSIONS, question
from acr_credential_provider.image import place_of
from acr_credential_provider.locks import Locks
from acr_credential_provider.memo import Memos
from acr_credential_provider.protocol import CredentialProviderRequest
from acr_credential_provider.reach import Tools
from acr_credential_provider.settings import load
from acr_credential_provider.sources.login import Login

from . import auth_file
from .openshift import PODMAN_TYPE, PULL_SECRET_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .auth_file import AuthFile

SECONDS = 15.0
"""For the token of one host."""


def from_file(path: str) -> AuthFile:
    """Return the logins in the docker or podman file at *path*; raise `ConfigurationError`."""
    try:
        with open(path, "rb") as file:
            content = file.read(auth_file.LARGEST + 1)
    except OSError as error:
        why = f"cannot read {path}: {type(error).__name__}"
        raise ConfigurationError(why, remedy="Name ~/.docker/config.json, or podman's auth.json.") from None
    return auth_file.parse(content, what=path)


def from_secret(secret: Mapping[str, Any], *, what: str) -> AuthFile:
    """Return the logins in a *secret* of any type that container clients' files are put into."""
    data = secret.get("data") or {}
    kind = str(secret.get("type") or "")
    keys = [PULL_SECRET_TYPES[kind]] if kind in PULL_SECRET_TYPES else list(data) if kind == PODMAN_TYPE else []
    if len(keys) != 1 or keys[0] not in data:
        raise ConfigurationError(
            f"{what} holds no container client's file (type {kind or 'unknown'})",
            remedy=f"Name a Secret of type {', '.join([*PULL_SECRET_TYPES, PODMAN_TYPE])}.",
        )
    return auth_file.parse(b64decode(data[keys[0]]), what=what)


def from_acr(settings: str, places: Sequence[str]) -> dict[str, Login]:
    """Ask ACR, by the *settings* (a path), for a token for each of *places*: HOST, or HOST/NAMESPACE.

    Without *places*, for all hosts that the settings name. Raises `CredentialProviderError`:
    all of them or none.
    """
    wanted = list(places) or [host for each in load(settings).registries for host in each.domains]
    if not wanted:
        raise ConfigurationError(f"{settings} names no domains", remedy="Say which hosts with --host HOST.")
    logins: dict[str, Login] = {}
    with TemporaryDirectory() as folder:  # nobody's cache: what lies there must not outlive this command
        cache = f"{folder}/cache"
        prepare(cache)
        for place in wanted:
            logins[place] = _token(settings, place, cache)
    return logins


def _token(settings: str, place: str, cache: str) -> Login:
    request = CredentialProviderRequest(API_VERSIONS[0], f"{place}/any")
    where = place_of(request.image)
    deadline = Deadline(SECONDS)
    tools = Tools(settings, f"{cache}/store", Memos(f"{cache}/memo"), Locks(f"{cache}/locks"), deadline, deadline, str)
    with acquired(request, digest=question(settings, where, ""), tools=tools) as memo:
        for auth in json.loads(memo.answer).values():
            return Login(auth["username"], auth["password"])
    raise ConfigurationError(f"{settings} does not cover {place}", remedy=f"See: explain {request.image}")
