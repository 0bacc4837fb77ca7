"""Whose credentials a source would find: told before any call, as a key for what is kept and a name for sessions."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from acr_credential_provider.fastpath.cpython import hexdigest

LONGEST_NAME = 64
"""Characters of a RoleSessionName; STS wants at least 2, of ``[A-Za-z0-9.@_-]``."""


@dataclass(frozen=True, slots=True)
class Principal:
    """One identity: *key* is another text for each that may get something else, and holds no secret.

    *session* is the RoleSessionName of sessions that it asks for, which RAM's audit logs show.
    """

    key: str
    session: str

    @classmethod
    def node(cls, *key: object) -> Principal:
        """Return the identity *key* of this node as a whole."""
        return cls(repr(key), session_name("acr-node", os.uname().nodename))

    @classmethod
    def service_account(cls, namespace: str, name: str, *key: object) -> Principal:
        """Return the identity *key* of the ServiceAccount *namespace*/*name*."""
        return cls(repr((namespace, name, *key)), session_name("acr-sa", f"{namespace}.{name}"))


def session_name(prefix: str, words: str) -> str:
    """Return a RoleSessionName that says *words*, as far as its alphabet and length let it.

    >>> session_name("acr-node", "cn-hangzhou.10.0.0.1")
    'acr-node-cn-hangzhou.10.0.0.1'
    >>> len(session_name("acr-sa", "team." + "a" * 100))
    64
    """
    name = re.sub(r"[^A-Za-z0-9.@_-]", "-", f"{prefix}-{words}")
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hexdigest(words)[:8]}"
