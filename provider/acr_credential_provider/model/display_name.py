"""The name of a registry entry in messages and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from acr_credential_provider.fastpath.plain_text import plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence


class RegistryEntry(Protocol):
    """The part of a settings' registry by which it is named."""

    @property
    def instance_id(self) -> str:
        """The ID of the instance, "" for the Personal Edition."""

    @property
    def region(self) -> str | None:
        """The region, None for the node's own."""

    @property
    def namespaces(self) -> Sequence[str]:
        """The namespaces on shared hosts, empty for all."""


def display_name(registry: RegistryEntry) -> str:
    """Return the name of *registry*, such as ``cri-1 in cn-hangzhou`` or ``the Personal Edition (team)``."""
    region = f" in {registry.region}" if registry.region else ""
    namespaces = f" ({', '.join(registry.namespaces)})" if registry.namespaces else ""
    return plain_text(f"{registry.instance_id or 'the Personal Edition'}{region}{namespaces}")
