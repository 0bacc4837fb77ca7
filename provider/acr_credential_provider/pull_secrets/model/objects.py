"""The part of the cluster's objects that the controller needs: small, because there are many."""

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
        """Namespace and name."""
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
        """Namespace and name."""
        return self.namespace, self.name


class Secret(msgspec.Struct, frozen=True, gc=False):
    """A Secret: the *digest* of its content (`content.digest_of`), and the `mark_of` its *owner*.

    It *is_ours* if it has our label, or if we wrote it: a tenant may take the label off.
    """

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
    has_our_label: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name
