"""The settings, the cache folder, and the entry that an image belongs to."""

from __future__ import annotations

import os
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from acr_credential_provider.errors import ConfigurationError
from acr_credential_provider.explain import candidates, why_not
from acr_credential_provider.folders import prepare
from acr_credential_provider.reach import called
from acr_credential_provider.settings import load

if TYPE_CHECKING:
    from .case import Case


def load_settings(case: Case) -> str:
    """Judge the settings file as a pull does."""
    case.settings = load(case.settings_path)
    return f"{case.settings_path}, {len(case.settings.registries)} registries"


def check_cache(case: Case) -> str:
    """See that something can be written and kept."""
    remedy = f"Make {case.cache} a folder on a disk that is writable and has space, or name another with --cache."
    try:
        prepare(case.cache)
        with TemporaryFile(dir=f"{case.cache}/memo") as file:  # without a name: a kill leaves nothing
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        problem = f"nothing can be kept in {case.cache}: {os.strerror(error.errno or 0)}"
    else:
        return case.cache
    raise ConfigurationError(f"{problem}; each pull asks the cloud anew", remedy=remedy)


def choose_entry(case: Case) -> str:
    """Choose the entries that may have the host, as far as the settings tell."""
    registries = case.settings.registries
    case.cloud = case.new_cloud()
    if not case.host:
        case.registry = registries[0]
        case.host = registries[0].domains[0] if registries[0].domains else ""
        case.where = case.host
        return f"registries[0] ({called(case.registry)}), because no IMAGE was given"
    found = candidates(case.where, registries)
    if not found:
        reason = why_not(case.where, registries)
        nearest = f"; nearest: {reason.nearest}" if reason.nearest else ""
        raise ConfigurationError(reason.why + nearest, remedy=reason.remedy)
    case.registry = registries[found[0]]
    if case.host in case.registry.domains:
        return f"registries[{found[0]}] ({called(case.registry)}) has {case.host}"
    return "it may be of " + ", ".join(f"registries[{index}]" for index in found) + ", which name no domains"
