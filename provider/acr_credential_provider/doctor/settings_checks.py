"""The settings, the cache folder, and the entry that an image belongs to."""

from __future__ import annotations

import os
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from acr_credential_provider.cache.cache_dirs import ensure
from acr_credential_provider.explain import candidates, explain_no_match
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.settings.loader import load

if TYPE_CHECKING:
    from .context import DoctorContext


def load_settings(case: DoctorContext) -> str:
    """Judge the settings file as a pull does."""
    case.settings = load(case.settings_path)
    return f"{case.settings_path}, {len(case.settings.registries)} registries"


def check_cache(case: DoctorContext) -> str:
    """See that something can be written and kept."""
    remedy = f"Make {case.cache} a folder on a disk that is writable and has space, or name another with --cache."
    try:
        ensure(case.cache)
        with TemporaryFile(dir=f"{case.cache}/memo") as file:  # without a name: a kill leaves nothing
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        problem = f"nothing can be kept in {case.cache}: {os.strerror(error.errno or 0)}"
    else:
        return case.cache
    raise ConfigurationError(f"{problem}; each pull asks the cloud anew", remedy=remedy)


def choose_entry(case: DoctorContext) -> str:
    """Choose the entries that may have the host, as far as the settings tell."""
    registries = case.settings.registries
    case.cloud = case.new_cloud()
    if not case.host:
        case.registry = registries[0]
        case.host = registries[0].domains[0] if registries[0].domains else ""
        case.where = case.host
        return f"registries[0] ({display_name(case.registry)}), because no IMAGE was given"
    found = candidates(case.where, registries)
    if not found:
        reason = explain_no_match(case.where, registries)
        nearest = f"; nearest: {reason.nearest}" if reason.nearest else ""
        raise ConfigurationError(reason.why + nearest, remedy=reason.remedy)
    case.registry = registries[found[0]]
    if case.host in case.registry.domains:
        return f"registries[{found[0]}] ({display_name(case.registry)}) has {case.host}"
    return "it may be of " + ", ".join(f"registries[{index}]" for index in found) + ", which name no domains"
