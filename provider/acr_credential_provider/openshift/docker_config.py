"""The files in which container clients keep their logins (container auth files). Values alone, no I/O.

One form with many names: docker's ``config.json``, podman's ``auth.json``, the content of Secrets of the types
``kubernetes.io/dockerconfigjson`` and ``podmanconfigjson`` (which no kubelet reads), and, without the ``auths`` around
it, of ``kubernetes.io/dockercfg``. Keys are registries or paths below them (``quay.io``, ``quay.io/team``).

Everything is read as a kubelet reads it (Kubernetes, pkg/credentialprovider), because kubelets read what is written of
it: `tests/cluster/assets/authfiles` compares.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.fastpath.plain_text import key_name, plain_text
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.pull_secrets.model.dockerconfigjson import decode_login, docker_config, encode_login
from acr_credential_provider.sources.basic_auth import BasicAuth

from .auth_paths import path_of, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

LARGEST = 1 << 20
"""Bytes: the limit of a Secret."""
DOCKERCFG = ".dockercfg"
"""The name of the older file, and the key in a Secret, without ``auths`` around the entries."""
_NO_PASSWORD = "has no password there (a credential store or an identity token has it)"  # noqa: S105 - a message


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """The logins of one file by path, as `auth_paths.path_of` writes it, and a note about each entry without one.

    *refused* has the problem of each entry that costs a kubelet the whole file, or that has two logins.
    """

    logins: dict[str, BasicAuth] = field(repr=False)
    notes: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)

    def only(self, is_wanted: Callable[[str], bool]) -> tuple[DockerConfig, list[str]]:
        """Return it with the paths that are wanted, and the other paths that have a login."""
        logins = {path: login for path, login in self.logins.items() if is_wanted(path)}
        refused = {path: problem for path, problem in self.refused.items() if is_wanted(path)}
        return DockerConfig(logins, self.notes, refused), [path for path in self.logins if path not in logins]


def named_path(text: str) -> str:
    """Return the path that *text*, of a command line, names; raise `ConfigurationError` if it names none."""
    path = path_of(text.strip())
    if path is None:
        raise ConfigurationError(
            f"{_short(text)} is not HOST or HOST/PATH",
            remedy=Remedy("ArgumentInvalid", "Write it as quay.io or quay.io/team."),
        )
    host, slash, rest = path.partition("/")
    return host.lower() + slash + rest


def parse(content: bytes | str, *, source: str, is_dockercfg: bool | None = None) -> DockerConfig:
    """Return the logins in *content*; errors and notes name its *source*.

    *is_dockercfg* says which form it has; None: whichever it looks like. Raises `ConfigurationError` if it is no such
    file.
    """
    document = load(content, source=source)
    try:
        auths = document if is_dockercfg else _auths(document, source, is_form_known=is_dockercfg is not None)
        store, helpers = _field(document, "credsStore"), _field(document, "credHelpers")
    except ValueError as error:
        raise ConfigurationError(
            f"{source} {error}", remedy=Remedy("AuthFileInvalid", "Keep one of the two.")
        ) from None
    logins: dict[str, BasicAuth] = {}
    refused: dict[str, str] = {}
    notes = []
    for key, value in auths.items():
        path = path_of(key)
        if path is None:
            notes.append(f"{source}: {_short(key)} is not HOST or HOST/PATH, so no kubelet reads it; left out")
            continue
        try:
            login = login_of(value)
        except ValueError as error:
            refused[path] = f"{source}: the login of {_short(key)} {error}"
            continue
        if isinstance(login, str):
            if store and login == _NO_PASSWORD:
                login = f"has no password there; the credential store {key_name(store)} has it"
            notes.append(f"{source}: {_short(key)} {login}")
        elif any(place_of(path) == place_of(known) and login != other for known, other in logins.items()):
            refused[path] = f"{source} has two different logins for {_short(place_of(path))}"
        else:
            logins[path] = login
    known = {place_of(path) for path in (*logins, *refused)}
    notes += [
        f"{source}: {_short(key)} is left to a credential helper, which no cluster has"
        for key in (helpers if isinstance(helpers, dict) else ())
        if place_of(path_of(key) or key) not in known
    ]
    if not (logins or refused):
        _refuse_if_elsewhere(document, source)
    return DockerConfig(logins, tuple(dict.fromkeys(notes)), refused)


def load(content: bytes | str, *, source: str) -> dict[str, Any]:
    """Return the JSON object in *content*; raise `ConfigurationError` if it is too large, none, or has a key twice."""
    remedy = Remedy(
        "AuthFileInvalid",
        "Give a docker config.json or podman auth.json, as `docker login` or `podman login` writes it.",
    )
    if len(content) > LARGEST:
        raise ConfigurationError(f"{source} is larger than 1 MiB", remedy=remedy)
    try:
        text = content if isinstance(content, str) else content.decode()
        document = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
        json.dumps(document, ensure_ascii=False).encode()  # JSON may escape halves of characters, which are no text
    except _RepeatedKeyError as error:
        problem, remedy = f"{source} has {key_name(error.key)} twice", Remedy("AuthFileInvalid", "Keep one of the two.")
    except (ValueError, RecursionError):
        problem = f"{source} is not JSON"
    else:
        if isinstance(document, dict):
            return document
        problem = f"{source} is not a JSON object"
    raise ConfigurationError(problem, remedy=remedy)


def auths_key(document: Mapping[str, Any]) -> str:
    """Return the name that ``auths`` has in *document*; raise `ValueError` if it has two.

    Readers in Go ignore the case of a field's name.
    """
    return _key(document, "auths") or "auths"


def merged(configs: Iterable[DockerConfig]) -> dict[str, BasicAuth]:
    """Return the logins of all *configs*; raise `ConfigurationError` for what one refuses, or if two differ."""
    logins: dict[str, BasicAuth] = {}
    for config in configs:
        for problem in config.refused.values():
            raise ConfigurationError(
                problem,
                remedy=Remedy(
                    "AuthFileInvalid",
                    "Log in again so that the client writes it anew, or name other hosts with --host.",
                ),
            )
        for path, login in config.logins.items():
            if any(place_of(path) == place_of(known) and login != other for known, other in logins.items()):
                raise ConfigurationError(
                    f"{_short(path)} has two different logins",
                    remedy=Remedy(
                        "LoginsConflict",
                        "Keep one; for two logins of one registry, give each a path below it (HOST/NAMESPACE).",
                    ),
                )
            logins[path] = login
    return logins


def with_auth_servers(logins: Mapping[str, BasicAuth], servers: Mapping[str, str]) -> dict[str, BasicAuth]:
    """Return *logins*, and each host's login again for its authentication server (host to server) in *servers*.

    A registry that delegates its logins needs both. ACR does not: clients show the registry's login to its token
    service by themselves.
    """
    result = dict(logins)
    for host, server in servers.items():
        own = next((login for path, login in logins.items() if place_of(path) == place_of(host)), None)
        if own is None:
            raise ConfigurationError(
                f"there is no login for {_short(host)}, whose authentication server was named",
                remedy=Remedy("ArgumentInvalid", "Name the host as the login's entry does."),
            )
        if any(place_of(path) == place_of(server) and login != own for path, login in result.items()):
            raise ConfigurationError(
                f"{_short(server)} has two different logins",
                remedy=Remedy(
                    "LoginsConflict",
                    "Put the two registries into two Secrets: one authentication server can have one login in each.",
                ),
            )
        result[server] = own
    return result


def entry(login: BasicAuth) -> dict[str, str]:
    """Return *login* as the entry of a path; raise `ConfigurationError` if no reader would find it there."""
    return {"auth": encode_login(login.username, login.password)}


def encode(logins: Mapping[str, BasicAuth]) -> bytes:
    """Return *logins* as the content of a ``kubernetes.io/dockerconfigjson`` Secret, always the same bytes.

    Raises `ConfigurationError` if that is more than a Secret holds.
    """
    return docker_config((path, login.username, login.password) for path, login in logins.items())


def login_of(value: Any) -> BasicAuth | str:
    """Return the login in the entry *value*, or what it has in place of one.

    Raises `ValueError`, with words for what is wrong, where a kubelet refuses the whole file.
    """
    if not isinstance(value, dict | None):
        raise ValueError("is not an object with a login")  # noqa: TRY004 - a value of a file, as all others here
    texts = {name: _text(value or {}, name) for name in ("username", "password", "auth", "email")}
    username, password = texts["username"], texts["password"]
    if texts["auth"]:
        username, password = decode_login(texts["auth"])
    if ":" in username:
        return "has a colon in its user name, which no registry can take"
    if username and password:
        return BasicAuth(username, password)
    return "has a password without a user name" if password else _NO_PASSWORD


def _text(value: dict[str, Any], name: str) -> str:
    found = _field(value, name)
    if not isinstance(found, str | None):
        raise ValueError(f"has a {name} that is not text")  # noqa: TRY004 - a value of a file, as all others here
    return found or ""


def _field(document: Mapping[str, Any], name: str) -> Any:
    key = _key(document, name)
    return None if key is None else document[key]


def _key(document: Mapping[str, Any], name: str) -> str | None:
    keys = [key for key in document if key.casefold() == name.casefold()]
    if len(keys) > 1:
        raise ValueError(f"has {name} twice, in capitals and not")
    return keys[0] if keys else None


def _auths(document: dict[str, Any], source: str, *, is_form_known: bool) -> dict[str, Any]:
    """Return the entries by key, with or without ``auths`` around them."""
    auths = _field(document, "auths")
    if auths is None and not is_form_known and document and all(map(_is_entry, document.values())):
        return document
    if isinstance(auths, dict):
        return auths
    _refuse_if_elsewhere(document, source)
    remedy = Remedy("AuthFileInvalid", "Log in first: `podman login HOST`, `docker login HOST`.")
    raise ConfigurationError(f"{source} has no auths", remedy=remedy)


def _is_entry(value: object) -> bool:
    return isinstance(value, dict) and not {"auth", "username", "password"}.isdisjoint(map(str.casefold, value))


def _refuse_if_elsewhere(document: dict[str, Any], source: str) -> None:
    """Raise `ConfigurationError` if *document*, which has no logins, says which program has them."""
    helpers = _field(document, "credHelpers")
    store, kind = _field(document, "credsStore"), "store"
    if not store and isinstance(helpers, dict) and helpers:
        store, kind = next(iter(helpers.values())), "helper"
    if not store:
        return
    name = key_name(store)
    raise ConfigurationError(
        f"{source} has no logins: the credential {kind} {name} has them",
        remedy=Remedy(
            "AuthFileInvalid",
            "Write them into a file: podman login --authfile FILE HOST. Or read one with: echo HOST | "
            f"docker-credential-{name if name == store else 'NAME'} get, and give it with --docker-server, "
            "--docker-username and --docker-password-file.",
        ),
    )


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


def _refuse_constant(_constant: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")
