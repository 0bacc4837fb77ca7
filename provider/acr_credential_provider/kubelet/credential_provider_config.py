"""The CredentialProviderConfig of a kubelet that runs, as values."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.files import trusted_files
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import explained

from .config_validation import ANY_KUBELET, SUFFIXES, check
from .go_yaml import LARGEST, read

if TYPE_CHECKING:
    from collections.abc import Mapping

_RESTART = "then restart the kubelet: it reads this once, at its start."


@dataclass(frozen=True, slots=True)
class TokenAttributes:
    """Which tokens of pods' ServiceAccounts a provider is given, and which of their annotations (KEP-4412).

    With *is_required*, pods without a ServiceAccount (static ones) are not asked for at all;
    nor are those whose ServiceAccount lacks one of the *required* annotations.
    """

    audience: str
    is_required: bool
    required: tuple[str, ...]
    optional: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Provider:
    """One entry of a CredentialProviderConfig; *file* is where it is written."""

    name: str
    api_version: str
    match_images: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    token: TokenAttributes | None
    file: str


def read_providers(path: str) -> list[Provider]:
    """Return the entries of the CredentialProviderConfig at *path*, a file or a folder of them.

    Raises `ConfigurationError` for what no kubelet starts with, and for files that others than root can change.
    """
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        raise ConfigurationError(
            f"the kubelet's CredentialProviderConfig {path} is not there",
            remedy=Remedy("KubeletConfigMissing", f"Write it, {_RESTART}"),
        ) from None
    paths = [path]
    if is_folder:
        paths = [f"{path.rstrip('/')}/{name}" for name in sorted(_listed(path)) if name.endswith(SUFFIXES)]
        if not paths:
            raise ConfigurationError(
                f"the folder {path} has no *.json, *.yaml or *.yml",
                remedy=Remedy("KubeletConfigMissing", f"Write one there, {_RESTART}"),
            )
    files = {file: _read(file) for file in paths}
    problems = check(files, ANY_KUBELET, is_directory=is_folder)
    if problems:
        raise ConfigurationError(
            f"{problems[0]}, so the kubelet would not start with it",
            remedy=Remedy("KubeletConfigInvalid", f"{problems[0].remedy.removesuffix('.')}, {_RESTART}"),
        )
    return [_provider(entry, file) for file, content in files.items() for entry in read(content).value["providers"]]


def _provider(entry: dict[str, Any], file: str) -> Provider:
    tokens = entry.get("tokenAttributes")
    return Provider(
        entry["name"],
        entry["apiVersion"],
        _strings(entry, "matchImages"),
        _strings(entry, "args"),
        {item.get("name") or "": item.get("value") or "" for item in entry.get("env") or [] if item},
        TokenAttributes(
            tokens["serviceAccountTokenAudience"],
            tokens["requireServiceAccount"],
            _strings(tokens, "requiredServiceAccountAnnotationKeys"),
            _strings(tokens, "optionalServiceAccountAnnotationKeys"),
        )
        if tokens is not None
        else None,
        file,
    )


def _strings(mapping: dict[str, Any], name: str) -> tuple[str, ...]:
    return tuple(item or "" for item in mapping.get(name) or [])


def _read(file: str) -> bytes:
    try:
        trusted_files.judge(file)
        with open(file, "rb") as opened:
            return opened.read(LARGEST + 1)
    except OSError as error:
        reason, remedy = explained(error, remedy=Remedy("KubeletConfigMissing", f"Write it, {_RESTART}"))
        raise ConfigurationError(f"{file} cannot be read: {reason}", remedy=remedy) from None
    except trusted_files.UntrustedFileError as error:
        raise ConfigurationError(
            f"{error.path} can be changed by others than root, who could have the kubelet run anything",
            remedy=Remedy(
                "KubeletConfigUnsafe",
                f"Put it into a folder that root alone can change, with every folder above it, {_RESTART} "
                f"Leave {error.path} as it is if others need it so.",
            ),
        ) from None


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
