"""The content of a namespace's pull secret: the docker configuration with its entries' logins.

A controller that lost its memory must not take out a login that still works. Until it knows better, a Secret keeps
what it holds beside what is known.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .dockerconfigjson import LARGEST, decode_login, docker_config, in_bytes
from .names import SECRET_KEY, TEMPORARY_USER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of a docker configuration, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class EntryLogins:
    """The logins of one registry entry: (host, user, password) each. No logins: it has no valid token.

    *region* is "" while it is unknown. *unknown_at* are the hosts where Secrets may hold a valid login of this entry
    that this controller does not remember; None: a token of ACR's at any host.
    """

    instance_id: str
    region: str
    logins: tuple[tuple[str, str, str], ...] = field(repr=False)
    unknown_at: tuple[str, ...] | None = ()


@dataclass(frozen=True, slots=True)
class Content:
    """A docker configuration and its *digest*.

    A Secret that exists may hold other valid logins: any at the hosts *unknown_at*, and tokens of ACR's at every
    host if *is_any_unknown*.
    """

    content: bytes = field(repr=False)
    digest: str
    unknown_at: frozenset[str] = frozenset()
    is_any_unknown: bool = False

    @property
    def is_complete(self) -> bool:
        """True if a Secret is to hold this and nothing else."""
        return not (self.unknown_at or self.is_any_unknown)

    @classmethod
    def of(cls, content: bytes) -> Content:
        """Return *content* with its digest."""
        return cls(content, digest_of(content))

    @classmethod
    def of_entries(cls, entries: Iterable[EntryLogins]) -> Content:
        """Return the logins of *entries*; the first one for a host wins. Raises `ConfigurationError` if too large."""
        entries = list(entries)
        config = docker_config(login for entry in entries for login in entry.logins)
        return replace(
            cls.of(config),
            unknown_at=frozenset(host for entry in entries for host in entry.unknown_at or ()),
            is_any_unknown=any(entry.unknown_at is None for entry in entries),
        )

    def keeping(self, secrets: Iterable[Mapping[str, str]], *, others: frozenset[str] = frozenset()) -> Content:
        """Return it with the unknown logins in the data of *secrets*; the first Secret that has a host wins.

        At the hosts *others* entries that are known have a login, so a token there is not an unknown one. Data that
        is not a docker configuration, or would not fit, is not kept.
        """
        auths: dict[str, Any] = json.loads(self.content)["auths"]
        for data in secrets:
            for host, username, auth in _auths(data):
                is_token = username == TEMPORARY_USER  # of ACR's, which expires; all else is a user's password
                is_unknown_token = is_token and self.is_any_unknown and host not in others
                if host not in auths and (host in self.unknown_at or is_unknown_token):
                    auths[host] = {"auth": auth}
        content = in_bytes(auths)
        return self if len(content) > LARGEST else replace(self, content=content, digest=digest_of(content))


def _auths(data: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield host, user name and ``auth`` in a Secret's *data*, which anybody with the right to write may have written.

    A login that kubelets cannot read is left out, because it would cost them every login of the Secret.
    """
    try:
        auths = json.loads(b64decode(data.get(SECRET_KEY, ""), validate=True))["auths"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    for host, entry in auths.items() if isinstance(auths, dict) else ():
        auth = entry.get("auth") if isinstance(entry, dict) else None
        if isinstance(auth, str):
            with suppress(ValueError):
                yield host, decode_login(auth)[0], auth
