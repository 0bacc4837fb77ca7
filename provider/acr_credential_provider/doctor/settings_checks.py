"""The cache folder, and the registry entry that an image belongs to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from acr_credential_provider.cache.cache_dirs import ensure, part
from acr_credential_provider.explain.candidates import candidates
from acr_credential_provider.explain.no_match import no_match
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import explained

if TYPE_CHECKING:
    from .context import DoctorContext


def check_cache_folder(context: DoctorContext) -> str:
    """Write to the cache folder's disk."""
    try:
        ensure(context.cache)
        with (
            part(context.cache, "memo") as entries,
            open(entries.nameless_file(), "wb") as file,
        ):  # a kill leaves nothing
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason, remedy = explained(
            error, remedy=Remedy("CacheUnusable", "Name a folder with --cache that this user may write.")
        )
        problem = f"nothing can be kept in {context.cache}: {reason}; each pull asks the cloud anew"
        raise ConfigurationError(problem, remedy=remedy) from None
    return context.cache


def check_registry_entry(context: DoctorContext) -> str:
    """Choose the entries that may serve the host, as far as the settings tell."""
    registries = context.settings.registries
    if not context.host:
        context.known_registry = registries[0]
        context.host = context.scope = registries[0].domains[0] if registries[0].domains else ""
        return f"{registries[0].source} ({display_name(context.registry)}), because no IMAGE was given"
    indexes = candidates(context.scope, registries)
    if not indexes:
        raise no_match(context.scope, registries)
    context.known_registry = registries[indexes[0]]
    if context.host in context.registry.domains:
        return f"{context.registry.source} ({display_name(context.registry)}) has {context.host}"
    return f"it may be {' or '.join(registries[index].source for index in indexes)}: no domains are set"
