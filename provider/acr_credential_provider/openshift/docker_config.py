"""The files in which container clients keep their logins. Values alone, no I/O.

One form with many names: docker's ``config.json``, podman's ``auth.json``, the content of Secrets of the types
``kubernetes.io/dockerconfigjson`` and ``podmanconfigjson`` (which no kubelet reads), and, without the ``auths`` around
it, of ``kubernetes.io/dockercfg``. Keys are registries or paths below them (``quay.io``, ``quay.io/team``). Paths are
compared as the kubelet does: without scheme, ``/v1``, ``/v2`` and the last slash.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.fastpath.plain_text import key_name, plain_text
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.pull_secrets.model.dockerconfigjson import docker_config
from acr_credential_provider.sources.basic_auth import BasicAuth

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LARGEST = 1 << 20
"""Bytes: the limit of a Secret."""


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """The logins of one file by path as written there, and a note about each entry without one."""

    logins: dict[str, BasicAuth] = field(repr=False)
    notes: tuple[str, ...] = ()


def path_of(key: str) -> str:
    """Return the path that *key* of such a file means, as the kubelet compares it.

    >>> [path_of(key) for key in ("https://index.example.com/v1/", "Quay.io/team/", "acr.example.com:5000")]
    ['index.example.com', 'quay.io/team', 'acr.example.com:5000']
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


def parse(content: bytes | str, *, source: str) -> DockerConfig:
    """Return the logins in *content*; errors and notes name its *source*.

    Raises `ConfigurationError` if it is no such file, or has the same path twice.
    """
    document = load(content, source=source)
    logins: dict[str, BasicAuth] = {}
    notes = []
    for key, entry in _auths(document, source).items():
        login = login_of(entry)
        if login is None:
            note = "has no password there (a credential store or an identity token has it)"
            notes.append(f"{source}: {_short(key)} {note}")
        else:
            logins[key] = login
    helpers = document.get("credHelpers")
    known = {path_of(key) for key in logins}
    notes += [
        f"{source}: {_short(key)} is left to a credential helper, which no cluster has"
        for key in (helpers if isinstance(helpers, dict) else ())
        if path_of(key) not in known
    ]
    return DockerConfig(logins, tuple(dict.fromkeys(notes)))


def load(content: bytes | str, *, source: str) -> dict[str, Any]:
    """Return the JSON object in *content*; raise `ConfigurationError` if it is too large, none, or has a key twice."""
    remedy = "Give a docker config.json or podman auth.json, as `docker login` or `podman login` writes it."
    if len(content) > LARGEST:
        raise ConfigurationError(f"{source} is larger than 1 MiB", remedy=remedy)
    try:
        document = json.loads(content, object_pairs_hook=_without_repeats)
        json.dumps(document, ensure_ascii=False).encode()  # JSON may escape halves of characters, which are no text
    except _RepeatedKeyError as error:
        problem, remedy = f"{source} has {key_name(error.key)} twice", "Keep one of the two."
    except (ValueError, RecursionError):
        problem = f"{source} is not JSON"
    else:
        if isinstance(document, dict):
            return document
        problem = f"{source} is not a JSON object"
    raise ConfigurationError(problem, remedy=remedy)


def merged(configs: Iterable[DockerConfig]) -> dict[str, BasicAuth]:
    """Return the logins of all *configs*; raise `ConfigurationError` if two differ about the same path."""
    logins: dict[str, BasicAuth] = {}
    keys: dict[str, str] = {}
    for config in configs:
        for key, login in config.logins.items():
            known = keys.setdefault(path_of(key), key)
            if logins.setdefault(known, login) != login:
                raise ConfigurationError(
                    f"{_short(key)} has two different logins",
                    remedy="Keep one; for two logins of one registry, give each a path below it (HOST/NAMESPACE).",
                )
    return logins


def with_auth_servers(logins: Mapping[str, BasicAuth], servers: Mapping[str, str]) -> dict[str, BasicAuth]:
    """Return *logins*, and each host's login again for its authentication server (host to server) in *servers*.

    A registry that delegates its logins needs both. ACR does not: clients show the registry's login to its token
    service by themselves.
    """
    result = dict(logins)
    for host, server in servers.items():
        own = next((login for key, login in logins.items() if path_of(key) == path_of(host)), None)
        if own is None:
            raise ConfigurationError(
                f"there is no login for {_short(host)}, whose authentication server was named",
                remedy="Name the host as the login's entry does.",
            )
        if any(path_of(key) == path_of(server) and login != own for key, login in result.items()):
            raise ConfigurationError(
                f"{_short(server)} has two different logins",
                remedy="Put the two registries into two Secrets: one authentication server can have one login in each.",
            )
        result[server] = own
    return result


def entry(login: BasicAuth) -> dict[str, str]:
    """Return *login* as the entry of a path."""
    return {"auth": b64encode(f"{login.username}:{login.password}".encode()).decode("ascii")}


def encode(logins: Mapping[str, BasicAuth]) -> bytes:
    """Return *logins* as the content of a ``kubernetes.io/dockerconfigjson`` Secret, always the same bytes.

    Raises `ConfigurationError` if that is more than a Secret holds.
    """
    return docker_config((key, login.username, login.password) for key, login in logins.items())


def _short(key: str) -> str:
    """Return *key* so short that the rest of a message stays readable."""
    return plain_text(key, 200)


class _RepeatedKeyError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise _RepeatedKeyError(key)
        document[key] = value
    return document


def _auths(document: dict[str, Any], source: str) -> dict[str, Any]:
    """Return the entries by path, with or without ``auths`` around them; no path may stand there twice."""
    auths = document.get("auths")
    if auths is None and document and all(map(_is_entry, document.values())):
        auths = document  # kubernetes.io/dockercfg
    if not isinstance(auths, dict):
        remedy = "Log in first: `podman login HOST`, `docker login HOST`."
        raise ConfigurationError(f"{source} has no auths", remedy=remedy)
    spellings: dict[str, str] = {}
    for key in auths:
        path = path_of(key)
        if path in spellings:
            raise ConfigurationError(
                f"{source} has {_short(path)} twice, as {_short(spellings[path])} and as {_short(key)}",
                remedy="Keep one of the two: clients differ in which one they take.",
            )
        spellings[path] = key
    return auths


def _is_entry(value: object) -> bool:
    return isinstance(value, dict) and ("auth" in value or {"username", "password"} <= value.keys())


def login_of(value: Any) -> BasicAuth | None:
    """Return the login in the entry *value*, None if it has none."""
    if not isinstance(value, dict):
        return None
    username, password, auth = (value.get(name) for name in ("username", "password", "auth"))
    if isinstance(auth, str) and auth:
        try:
            username, _, password = b64decode(auth.strip(), validate=True).decode().partition(":")
        except ValueError:  # not Base64, or not text in it
            return None
    if isinstance(username, str) and isinstance(password, str) and username and password:
        return BasicAuth(username, password)
    return None
