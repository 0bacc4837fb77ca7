"""The files in which container clients keep their logins, read and written. Values alone.

One form with many names: docker's ``config.json``, podman's ``auth.json``, the content of
Secrets of the types ``kubernetes.io/dockerconfigjson`` and ``podmanconfigjson`` (which no
kubelet reads), and without the ``auths`` around it ``kubernetes.io/dockercfg``. Keys are
registries or paths below them (``quay.io``, ``quay.io/team``). Paths are compared as the
kubelet does, without scheme, ``/v1``, ``/v2`` and the last slash.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.pull_secrets.model.dockerconfigjson import docker_config
from acr_credential_provider.sources.basic_auth import BasicAuth

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LARGEST = 1 << 20
"""Bytes: what a Secret may hold."""


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """The logins of one file by path as it is written there, and a line for each entry that has none."""

    logins: dict[str, BasicAuth] = field(repr=False)
    notes: tuple[str, ...] = ()


def path_of(key: str) -> str:
    """Return the path that *key* of an auth file stands for, as the kubelet compares it.

    >>> [path_of(each) for each in ("https://index.docker.io/v1/", "Quay.io/team/", "acr.example.com:5000")]
    ['index.docker.io', 'quay.io/team', 'acr.example.com:5000']
    """
    path = key.strip().removeprefix("https://").removeprefix("http://").rstrip("/")
    host, slash, rest = path.partition("/")
    if rest in ("v1", "v2"):
        slash = rest = ""
    return host.lower() + slash + rest


def host_of(key: str) -> str:
    """Return the registry, ``host[:port]``, of *key*.

    >>> host_of("https://quay.io/team")
    'quay.io'
    """
    return path_of(key).partition("/")[0]


def parse(content: bytes | str, *, what: str) -> DockerConfig:
    """Return the logins in *content*; messages call it *what*.

    Raises `ConfigurationError` where it is not such a file, or has the very same path twice.
    """
    document = load(content, what=what)
    auths = _auths(document, what)
    logins: dict[str, BasicAuth] = {}
    notes = []
    for key, entry in _once(auths, what).items():
        found = _login(entry)
        if found is None:
            notes.append(f"{what}: {shown(key)} has no password there (a credential store or an identity token has it)")
        else:
            logins[key] = found
    helped = document.get("credHelpers")
    known = {path_of(each) for each in logins}
    notes += [
        f"{what}: {shown(key)} is left to a credential helper, which no cluster has"
        for key in (helped if isinstance(helped, dict) else ())
        if path_of(key) not in known
    ]
    return DockerConfig(logins, tuple(dict.fromkeys(notes)))


def load(content: bytes | str, *, what: str) -> dict[str, Any]:
    """Return the JSON object in *content*; raise `ConfigurationError`: too large, not one, or with a key twice."""
    remedy = "Give a docker config.json or podman auth.json, as `docker login` or `podman login` writes it."
    if len(content) > LARGEST:
        raise ConfigurationError(f"{what} is larger than 1 MiB", remedy=remedy)
    try:
        document = json.loads(content, object_pairs_hook=_pairs)
    except _TwiceError as twice:
        problem, remedy = f"{what} has {shown(twice.key)} twice", "Keep one of the two."
    except (ValueError, RecursionError):
        problem = f"{what} is not JSON"
    else:
        if isinstance(document, dict):
            return document
        problem = f"{what} is not a JSON object"
    raise ConfigurationError(problem, remedy=remedy)


def merged(files: Iterable[DockerConfig]) -> dict[str, BasicAuth]:
    """Return the logins of all *files*; raise `ConfigurationError` where two differ about the very same path."""
    logins: dict[str, BasicAuth] = {}
    keys: dict[str, str] = {}
    for each in files:
        for key, login in each.logins.items():
            known = keys.setdefault(path_of(key), key)
            if logins.setdefault(known, login) != login:
                raise ConfigurationError(
                    f"{shown(key)} has two different logins",
                    remedy="Keep one; for two logins of one registry, give each a path below it (HOST/NAMESPACE).",
                )
    return logins


def with_auth_servers(logins: Mapping[str, BasicAuth], servers: Mapping[str, str]) -> dict[str, BasicAuth]:
    """Return *logins*, with the same again for each host's authentication server (host to server) in *servers*.

    A registry that delegates its logins needs both. ACR is none of these: its clients show
    the registry's login to its token service by themselves.
    """
    result = dict(logins)
    for host, server in servers.items():
        mine = [login for key, login in logins.items() if path_of(key) == path_of(host)]
        if not mine:
            raise ConfigurationError(
                f"there is no login for {shown(host)}, whose authentication server was named",
                remedy="Name the host as the login's entry does.",
            )
        if any(path_of(key) == path_of(server) and login != mine[0] for key, login in result.items()):
            raise ConfigurationError(
                f"{shown(server)} has two different logins",
                remedy="Put the two registries into two Secrets: one authentication server can have one login in each.",
            )
        result[server] = mine[0]
    return result


def entry(login: BasicAuth) -> dict[str, str]:
    """Return *login* as the entry of a path."""
    return {"auth": b64encode(f"{login.username}:{login.password}".encode()).decode("ascii")}


def encode(logins: Mapping[str, BasicAuth]) -> bytes:
    """Return *logins* as the content of a ``kubernetes.io/dockerconfigjson`` Secret, always the same bytes.

    Raises `ConfigurationError` when it is more than a Secret holds.
    """
    return docker_config((key, each.username, each.password) for key, each in logins.items())


def shown(key: str) -> str:
    """Return *key* fit for one line of a message."""
    return key if key.isprintable() and len(key) <= 200 else repr(key[:200])


class _TwiceError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise _TwiceError(key)
        document[key] = value
    return document


def _auths(document: dict[str, Any], what: str) -> dict[str, Any]:
    """Return path to entry, with or without ``auths`` around it."""
    auths = document.get("auths")
    if auths is None and document and all(isinstance(each, dict) and "auth" in each for each in document.values()):
        return document  # kubernetes.io/dockercfg
    if isinstance(auths, dict):
        return auths
    raise ConfigurationError(f"{what} has no auths", remedy="Log in first: `podman login HOST`, `docker login HOST`.")


def _once(auths: dict[str, Any], what: str) -> dict[str, Any]:
    seen: dict[str, str] = {}
    for key in auths:
        path = path_of(key)
        if path in seen:
            raise ConfigurationError(
                f"{what} has {shown(path)} twice, as {shown(seen[path])} and as {shown(key)}",
                remedy="Keep one of the two: clients take either, and nobody knows which.",
            )
        seen[path] = key
    return auths


def _login(found: Any) -> BasicAuth | None:
    if not isinstance(found, dict):
        return None
    username, password = found.get("username"), found.get("password")
    auth = found.get("auth")
    if isinstance(auth, str) and auth:
        try:
            username, _, password = b64decode(auth.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
    if isinstance(username, str) and isinstance(password, str) and username and password:
        return BasicAuth(username, password)
    return None
