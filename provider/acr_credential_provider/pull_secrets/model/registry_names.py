"""How the controller names a registry entry for its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acr_credential_provider.settings import Registry


def entry_of(registry: Registry) -> str:
    """Return the key of the token of *registry*: the instance and its region, never the instance alone."""
    named = registry.instance_id or "personal"
    return "/".join((named, registry.region or "own", *sorted(registry.namespaces)))
