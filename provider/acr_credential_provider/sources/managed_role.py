"""The add-on token of a managed ACK cluster: a session of AliyunCSManagedAcrRole, in a mounted Secret.

The control plane renews it. Its values are AES-CBC ciphertext, and the key lies beside them. Form:
csi-driver's pkg/utils/crypto.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from acr_credential_provider.model.cloud_credential import CloudCredential
from acr_credential_provider.model.errors import IdentityUnavailableError
from acr_credential_provider.model.remedy import Remedy

from .principal import Principal
from .secret_file import NOT_WRITTEN_BY_OTHERS, read_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.model.protocol import CredentialProviderRequest

_LARGEST = 65536
_BLOCK = 16
_WAIT = Remedy(
    "AddonTokenUnusable",
    "Wait for the control plane to renew it; if it stays, check in the ACK console that the cluster may use "
    "AliyunCSManagedAcrRole, or use another identity (rrsa, nodeRole).",
)


@dataclass(frozen=True, slots=True)
class ManagedRoleSource:
    """The session in the add-on token at *path*, read at each `find` because it rotates."""

    path: str
    clock: Callable[[], float] = time.time

    def principal(self, request: CredentialProviderRequest | None) -> Principal:  # noqa: ARG002  # the same for all
        """Return the cluster's managed role."""
        return Principal.node("managedRole", self.path)

    def find(self, principal: Principal) -> CloudCredential:  # noqa: ARG002  # the same for all
        """Return the session, or raise `IdentityUnavailableError`."""
        content = read_secret(
            self.path, what="the add-on token", largest=_LARGEST, forbidden_mode_bits=NOT_WRITTEN_BY_OTHERS
        )
        outcome = self._decoded(content)
        if isinstance(outcome, str):
            raise IdentityUnavailableError(f"the add-on token at {self.path} {outcome}", remedy=_WAIT)
        return outcome

    def files(self) -> tuple[str, ...]:
        """Return the token's path."""
        return (self.path,)

    def _decoded(self, content: bytes) -> CloudCredential | str:
        """Return the session in *content*, or the end of the sentence "the add-on token ..."."""
        try:
            token = json.loads(content)
            if token.get("error"):
                return "says that the role is not granted to this cluster"
            key = token["keyring"].encode()
            values = [_decrypted(token[name], key) for name in ("access.key.id", "access.key.secret", "security.token")]
            expiry = datetime.fromisoformat(token["expiration"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return "does not have the form that it should"
        if not all(values) or expiry.tzinfo is None:
            return "does not have the form that it should"
        left = expiry.timestamp() - self.clock()
        return CloudCredential(*values, left) if left > 0 else f"expired {-left:.0f} s ago by this node's clock"


def _decrypted(value: Any, key: bytes) -> str:
    """Return the text behind *value* (base64 of IV and ciphertext), or raise ``ValueError``."""
    data = b64decode(value, validate=True)
    if len(data) < 2 * _BLOCK or len(data) % _BLOCK:
        raise ValueError
    decryptor = Cipher(algorithms.AES(key), modes.CBC(data[:_BLOCK])).decryptor()
    padded = decryptor.update(data[_BLOCK:]) + decryptor.finalize()
    length = padded[-1]
    if not 1 <= length <= _BLOCK or padded[-length:] != bytes([length]) * length:
        raise ValueError
    text = padded[:-length].decode("ascii")
    if not text.isprintable() or " " in text:
        raise ValueError
    return text
