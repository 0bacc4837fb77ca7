"""How the controller names a registry entry: for its tokens, and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acr_credential_provider.settings import Registry


def entry_of(registry: Registry) -> str:
    """Return the key of the token of *registry*: the instance and its region, never the instance alone."""
    named = registry.instance_id or "personal"
    return "/".join((named, registry.region or "own", *sorted(registry.namespaces)))


def display_name(registry: Registry) -> str:
    """Return the name of *registry* in messages and metrics."""
    region = f" in {registry.region}" if registry.region else ""
    only = f" ({', '.join(registry.namespaces)})" if registry.namespaces else ""
    return f"{registry.instance_id or 'the Personal Edition'}{region}{only}"
