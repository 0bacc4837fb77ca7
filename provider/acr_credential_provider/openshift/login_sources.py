"""The sources of the logins for a pull secret: files, Secrets, ACR itself."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from acr_credential_provider.cache.cache_dirs import ensure
from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.changes.folder import TemporaryFolder
from acr_credential_provider.files import regular_file
from acr_credential_provider.model.deadline import Deadline, Deadlines
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.progress import Progress
from acr_credential_provider.model.question import Question
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import explained
from acr_credential_provider.settings.loader import load
from acr_credential_provider.sources.basic_auth import BasicAuth
from acr_credential_provider.tokens.acquire import acquire_response

from . import docker_config
from .pull_secrets import FILE_KEYS, PULL_SECRET_TYPES, file_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .docker_config import DockerConfig

TOKEN_DEADLINE = 15.0
"""Seconds for the token of one host."""


def from_file(path: str) -> DockerConfig:
    """Return the logins in the docker or podman file at *path*; raise `ConfigurationError`."""
    try:
        content = regular_file.read(path, docker_config.LARGEST + 1)
    except OSError as error:
        reason, remedy = explained(
            error, remedy=Remedy("FileUnusable", "Name ~/.docker/config.json, or podman's auth.json.")
        )
        raise ConfigurationError(f"cannot read {path}: {reason}", remedy=remedy) from None
    return docker_config.parse(content, source=path)


def from_secret(secret: Mapping[str, Any], *, source: str) -> DockerConfig:
    """Return the logins in a *secret* of any type for container clients' files; messages name its *source*."""
    data = secret.get("data") or {}
    kind = str(secret.get("type") or "")
    key = file_key(secret)
    if not key:
        raise ConfigurationError(
            f"{source} holds no container client's file (type {kind or 'unknown'})",
            remedy=Remedy(
                "SecretTypeWrong",
                f"Name a Secret with one of the keys {', '.join(FILE_KEYS)}, or give the login in parts: "
                "--docker-server, --docker-username and --docker-password-file.",
            ),
        )
    is_dockercfg = key == docker_config.DOCKERCFG if key in PULL_SECRET_TYPES.values() else None
    return docker_config.parse(b64decode(data[key]), source=source, is_dockercfg=is_dockercfg)


def from_acr(settings: str, scopes: Sequence[str]) -> dict[str, BasicAuth]:
    """Return a token of ACR, got by the *settings* (a path), for each of *scopes*: HOST, or HOST/NAMESPACE.

    Without *scopes*, for all hosts that the settings name. Raises `CredentialProviderError` if one cannot be had.
    """
    scopes = scopes or [host for registry in load(settings).registries for host in registry.domains]
    if not scopes:
        raise ConfigurationError(
            f"{settings} names no domains", remedy=Remedy("HostsUnknown", "Say which hosts with --host HOST.")
        )
    with TemporaryFolder() as folder:  # the tokens in it must not outlive this command
        cache = f"{folder}/cache"
        ensure(cache)
        return {scope: _token(settings, scope, cache) for scope in scopes}


def _token(settings: str, scope: str, cache: str) -> BasicAuth:
    question = Question.of_node(scope, settings)
    deadline = Deadline(TOKEN_DEADLINE)
    with acquire_response(question, CacheFolder(cache), Deadlines(deadline, deadline), Progress()) as response:
        for auth in json.loads(response.answer).values():
            return BasicAuth(auth["username"], auth["password"])
    raise ConfigurationError(
        f"{settings} does not cover {scope}", remedy=Remedy("ImageNotCovered", f"See: explain {question.request.image}")
    )
