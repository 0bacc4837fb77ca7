"""The state Secret in the controller's own namespace: tokens, the active configuration, names of Secrets.

A new leader starts with it, so that a restart costs no call and no pull, even while the cloud is away or the
ConfigMap holds garbage.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.model.names import LABELS, TOKENS_NAME, is_name
from acr_credential_provider.pull_secrets.model.owner_reference import is_owned
from acr_credential_provider.pull_secrets.model.resources import SECRETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.kube.release_owner import ReleaseOwner

_MANAGED = "app.kubernetes.io/managed-by"
_TOKENS, _CONFIGURATION, _NAMES = "tokens.json", "configuration", "names.json"
LARGEST = 1 << 20
"""Bytes that the API server takes as a Secret's data."""
MOST_NAMES = 20
"""Each name costs a watch."""


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """The Secret's content.

    *tokens* are as `TokenCache.encode` has them, *configuration* is the text in force, and *names* are those of the
    Secrets that namespaces may have from us.
    """

    tokens: str = field(default="", repr=False)
    configuration: str = field(default="", repr=False)
    names: tuple[str, ...] = ()

    @classmethod
    def decode(cls, data: Mapping[str, str] | None) -> ReplicaState:
        """Read a Secret's *data*; what is not ours or damaged counts as absent."""
        try:
            texts = {key: base64.b64decode(value).decode() for key, value in (data or {}).items()}
            listed = json.loads(texts.get(_NAMES) or "[]")
            names = listed if isinstance(listed, list) else []
            names = [name for name in names if isinstance(name, str) and is_name(name)]
            return cls(texts.get(_TOKENS, ""), texts.get(_CONFIGURATION, ""), tuple(dict.fromkeys(names))[:MOST_NAMES])
        except (ValueError, TypeError, RecursionError):
            return cls()

    def encode(self) -> dict[str, str]:
        """Return the Secret's data; what does not fit is left out, the configuration first."""
        texts = {_TOKENS: self.tokens, _CONFIGURATION: self.configuration, _NAMES: json.dumps(self.names)}
        for optional in (_CONFIGURATION, _TOKENS):
            if sum(map(len, texts.values())) > LARGEST:
                texts.pop(optional)
        return {key: base64.b64encode(text.encode()).decode("ascii") for key, text in texts.items()}


class StateSecret:
    """The Secret, as one replica writes it."""

    def __init__(self, api: KubeClient, namespace: str, owner: ReleaseOwner) -> None:
        self._api = api
        self._owner = owner
        self._collection, self._path = SECRETS.path(namespace), SECRETS.path(namespace, TOKENS_NAME)
        self._kept: tuple[ReplicaState, dict[str, Any]] | None = None

    def names(self) -> tuple[str, ...]:
        """Return the names that are written down there, as far as this replica knows."""
        return self._kept[0].names if self._kept is not None else ()

    def read(self) -> ReplicaState:
        """Return what is there now; raise `ClusterError`."""
        secret = self._api.get(self._path)
        state = ReplicaState.decode(secret.get("data")) if secret else ReplicaState()
        self._kept = (state, secret["metadata"]) if secret else None
        return state

    def write(self, state: ReplicaState) -> None:
        """Make it *state*, unless it is already; raise `ClusterError`, after a conflict with `read` done anew."""
        owner = self._owner.cached_reference()
        if self._kept is not None and self._kept[0] == state and is_owned(self._kept[1], owner):
            return
        owners = {} if owner is None else {"ownerReferences": [owner.document()]}
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": TOKENS_NAME, "labels": {_MANAGED: LABELS[_MANAGED]}, **owners},
            "type": "Opaque",
            "data": state.encode(),
        }
        try:
            if self._kept is None:
                made = self._api.create(self._collection, body)
            else:
                present = {**body, "metadata": {**self._kept[1], **owners}}
                made = self._api.replace(self._path, present)
        except ClusterError as error:
            if not error.is_conflict:
                raise
            self.read()
            if self._kept is not None:
                raise
            made = self._api.create(self._collection, body)  # it was deleted meanwhile
        self._kept = state, made["metadata"]
