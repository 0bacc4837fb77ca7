"""The identity that a source acts as for one request: a part of cache keys, and the name of sessions."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acr_credential_provider.fastpath.cpython import hexdigest

if TYPE_CHECKING:
    from .oidc_token import OidcToken

LONGEST_NAME = 64
"""Characters of a RoleSessionName; STS wants at least 2, of ``[A-Za-z0-9.@_-]``."""


@dataclass(frozen=True, slots=True)
class Principal:
    """One identity: *key* differs for any two that may get different answers, and holds no secret.

    *session* is the RoleSessionName of its sessions, which RAM's audit logs show. *token* is the ServiceAccount token
    that proves it, and *role* the ARN of the role that this token is for. *base* is the identity that assumes this one.
    """

    key: str
    session: str
    token: OidcToken | None = field(default=None, compare=False, repr=False)
    role: str = ""
    base: Principal | None = field(default=None, compare=False, repr=False)

    def proof(self) -> OidcToken:
        """Return `token`, for sources whose principals have one."""
        if self.token is None:
            raise AssertionError
        return self.token

    @classmethod
    def node(cls, *key: object) -> Principal:
        """Return the identity *key* of this node as a whole."""
        return cls(repr(key), session_name("acr-node", os.uname().nodename))

    @classmethod
    def service_account(cls, token: OidcToken, role: str, *key: object) -> Principal:
        """Return the identity *key* of the ServiceAccount of *token*, in the role with the ARN *role*."""
        name = session_name("acr-sa", f"{token.namespace}.{token.name}")
        return cls(repr((token.namespace, token.name, *key)), name, token, role)


def session_name(prefix: str, words: str) -> str:
    """Return *prefix* and *words* as a RoleSessionName, which has a short alphabet and an end.

    >>> session_name("acr-node", "cn-hangzhou.10.0.0.1")
    'acr-node-cn-hangzhou.10.0.0.1'
    >>> len(session_name("acr-sa", "team." + "a" * 100))
    64
    """
    name = re.sub(r"[^A-Za-z0-9.@_-]", "-", f"{prefix}-{words}")
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hexdigest(words)[:8]}"
