"""The cluster's objects as far as the controller has to do with them: a small part of each, for there are many."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTHING: Mapping[str, str] = MappingProxyType({})


class Namespace(msgspec.Struct, frozen=True, gc=False):
    """A namespace; *terminating* ones take nothing new."""

    name: str
    uid: str = ""
    resource_version: str = ""
    labels: Mapping[str, str] = NOTHING
    annotations: Mapping[str, str] = NOTHING
    terminating: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return self.name, self.name


class ServiceAccount(msgspec.Struct, frozen=True, gc=False):
    """A ServiceAccount; *pull_secrets* are the names in its imagePullSecrets in order, None where there is no list."""

    namespace: str
    name: str
    uid: str = ""
    resource_version: str = ""
    labels: Mapping[str, str] = NOTHING
    annotations: Mapping[str, str] = NOTHING
    pull_secrets: tuple[str, ...] | None = None
    terminating: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return self.namespace, self.name


class Secret(msgspec.Struct, frozen=True, gc=False):
    """A Secret; of what is in it only the *digest* is kept (see `content.digest_of`), of its *owner* the `mark_of`."""

    namespace: str
    name: str
    uid: str = ""
    resource_version: str = ""
    is_ours: bool = False
    type: str = ""
    digest: str = ""
    has_labels: bool = True
    terminating: bool = False
    owner: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return self.namespace, self.name
