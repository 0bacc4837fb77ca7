"""Where commands take logins from that go into a pull secret: files, Secrets, ACR itself."""

from __future__ import annotations

import json
from base64 import b64decode
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from acr_credential_provider.cache.cache_dirs import ensure
from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.model.deadline import Deadline, Deadlines
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.progress import Progress
from acr_credential_provider.model.question import Question
from acr_credential_provider.settings.loader import load
from acr_credential_provider.sources.basic_auth import BasicAuth
from acr_credential_provider.tokens.acquire import acquire_response

from . import docker_config
from .pull_secrets import PODMAN_TYPE, PULL_SECRET_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .docker_config import DockerConfig

SECONDS = 15.0
"""For the token of one host."""


def from_file(path: str) -> DockerConfig:
    """Return the logins in the docker or podman file at *path*; raise `ConfigurationError`."""
    try:
        with open(path, "rb") as file:
            content = file.read(docker_config.LARGEST + 1)
    except OSError as error:
        why = f"cannot read {path}: {type(error).__name__}"
        raise ConfigurationError(why, remedy="Name ~/.docker/config.json, or podman's auth.json.") from None
    return docker_config.parse(content, what=path)


def from_secret(secret: Mapping[str, Any], *, what: str) -> DockerConfig:
    """Return the logins in a *secret* of any type that container clients' files are put into."""
    data = secret.get("data") or {}
    kind = str(secret.get("type") or "")
    keys = [PULL_SECRET_TYPES[kind]] if kind in PULL_SECRET_TYPES else list(data) if kind == PODMAN_TYPE else []
    if len(keys) != 1 or keys[0] not in data:
        raise ConfigurationError(
            f"{what} holds no container client's file (type {kind or 'unknown'})",
            remedy=f"Name a Secret of type {', '.join([*PULL_SECRET_TYPES, PODMAN_TYPE])}.",
        )
    return docker_config.parse(b64decode(data[keys[0]]), what=what)


def from_acr(settings: str, places: Sequence[str]) -> dict[str, BasicAuth]:
    """Ask ACR, by the *settings* (a path), for a token for each of *places*: HOST, or HOST/NAMESPACE.

    Without *places*, for all hosts that the settings name. Raises `CredentialProviderError`:
    all of them or none.
    """
    wanted = list(places) or [host for each in load(settings).registries for host in each.domains]
    if not wanted:
        raise ConfigurationError(f"{settings} names no domains", remedy="Say which hosts with --host HOST.")
    logins: dict[str, BasicAuth] = {}
    with TemporaryDirectory() as folder:  # nobody's cache: what lies there must not outlive this command
        cache = f"{folder}/cache"
        ensure(cache)
        for place in wanted:
            logins[place] = _token(settings, place, cache)
    return logins


def _token(settings: str, place: str, cache: str) -> BasicAuth:
    question = Question.of_node(place, settings)
    deadline = Deadline(SECONDS)
    with acquire_response(question, CacheFolder(cache), Deadlines(deadline, deadline), Progress()) as memo:
        for auth in json.loads(memo.answer).values():
            return BasicAuth(auth["username"], auth["password"])
    raise ConfigurationError(f"{settings} does not cover {place}", remedy=f"See: explain {question.request.image}")
