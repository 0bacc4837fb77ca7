"""A kubelet's CredentialProviderConfig, by the rules of k8s.io/kubernetes pkg/credentialprovider/plugin at 1.36."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from acr_credential_provider.fastpath.lookup import API_VERSIONS
from acr_credential_provider.files import trusted_files
from acr_credential_provider.model.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONFIG_VERSIONS = tuple(f"kubelet.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
LARGEST = 1 << 20

_FIELDS = {"name", "matchImages", "defaultCacheDuration", "apiVersion", "args", "env", "tokenAttributes"}
_TOKEN_FIELDS = {
    "serviceAccountTokenAudience",
    "cacheType",
    "requireServiceAccount",
    "requiredServiceAccountAnnotationKeys",
    "optionalServiceAccountAnnotationKeys",
}
_GO_DURATION = re.compile(r"[+-]?(?:0|(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))+")
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

    Raises `ConfigurationError` for what the kubelet refuses (it then does not start) and for
    files that others than root can change.
    """
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        raise ConfigurationError(
            f"the kubelet's CredentialProviderConfig {path} is not there", remedy=f"Write it, {_RESTART}"
        ) from None
    files = [path]
    if is_folder:
        names = sorted(name for name in _listed(path) if name.endswith((".json", ".yaml", ".yml")))
        files = [f"{path.rstrip('/')}/{name}" for name in names]
        if not files:
            raise ConfigurationError(
                f"the folder {path} has no *.json, *.yaml or *.yml", remedy=f"Write one there, {_RESTART}"
            )
    providers = [provider for file in files for provider in _providers(file)]
    names = [each.name for each in providers]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise ConfigurationError(
            f"{path} has more than one provider {repeated}", remedy=f"Leave one of them, {_RESTART}"
        )
    return providers


def _providers(file: str) -> Iterator[Provider]:
    _check_owner(file)
    try:
        document = yaml.load(_read(file), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError):
        document = None
    if not isinstance(document, dict):
        raise _refused(file, "is not a YAML or JSON mapping")
    if document.get("kind") != "CredentialProviderConfig" or document.get("apiVersion") not in CONFIG_VERSIONS:
        raise _refused(file, f"is not kind CredentialProviderConfig of {CONFIG_VERSIONS[0]}")
    if set(document) - {"kind", "apiVersion", "providers"}:
        raise _refused(file, "has a field that the kubelet does not know")
    listed = document.get("providers")
    if not isinstance(listed, list) or not listed:
        raise _refused(file, "lists no providers")
    for index, each in enumerate(listed):
        yield _provider(each, file, f"providers[{index}]")


def _provider(each: Any, file: str, where: str) -> Provider:
    if not isinstance(each, dict) or set(each) - _FIELDS:
        raise _refused(file, f"{where} has a field that the kubelet does not know")
    name, patterns, duration = each.get("name"), each.get("matchImages"), each.get("defaultCacheDuration")
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or " " in name:
        raise _refused(file, f"{where}.name is not the name of a file")
    if each.get("apiVersion") not in API_VERSIONS:
        raise _refused(file, f"{where}.apiVersion is not {API_VERSIONS[0]}")
    if not _is_texts(patterns) or not patterns:
        raise _refused(file, f"{where}.matchImages lists no patterns")
    if not isinstance(duration, str) or not _GO_DURATION.fullmatch(duration):
        raise _refused(file, f"{where}.defaultCacheDuration is not a duration such as 0s")
    args, env = each.get("args") or [], each.get("env") or []
    if not _is_texts(args):
        raise _refused(file, f"{where}.args is not a list of strings")
    try:
        variables = {str(item["name"]): str(item["value"]) for item in env}
    except (TypeError, KeyError):
        raise _refused(file, f"{where}.env is not a list of name and value") from None
    token = _token_attributes(each, file, where)
    return Provider(name, each["apiVersion"], tuple(patterns), tuple(args), variables, token, file)


def _token_attributes(provider: dict[str, Any], file: str, where: str) -> TokenAttributes | None:
    found = provider.get("tokenAttributes")
    if found is None:
        return None
    where = f"{where}.tokenAttributes"
    if not isinstance(found, dict) or set(found) - _TOKEN_FIELDS:
        raise _refused(file, f"{where} has a field that the kubelet does not know")
    if provider["apiVersion"] != API_VERSIONS[0]:
        raise _refused(file, f"{where} goes with apiVersion {API_VERSIONS[0]} only")
    audience, is_required = found.get("serviceAccountTokenAudience"), found.get("requireServiceAccount")
    if not isinstance(audience, str) or not audience:
        raise _refused(file, f"{where}.serviceAccountTokenAudience is missing")
    if not isinstance(is_required, bool):
        raise _refused(file, f"{where}.requireServiceAccount is neither true nor false")
    # The field came with 1.34, and a kubelet 1.33 knows none: which of the two this is cannot be seen here.
    if found.get("cacheType", "ServiceAccount") not in ("ServiceAccount", "Token"):
        raise _refused(file, f"{where}.cacheType is neither ServiceAccount nor Token")
    required = found.get("requiredServiceAccountAnnotationKeys") or []
    optional = found.get("optionalServiceAccountAnnotationKeys") or []
    if not (_is_texts(required) and _is_texts(optional)):
        raise _refused(file, f"{where} has annotation keys that are not a list of strings")
    if len({*required, *optional}) < len(required) + len(optional):
        raise _refused(file, f"{where} has an annotation key twice")
    if required and not is_required:
        raise _refused(file, f"{where} requires annotations, but no ServiceAccount")
    return TokenAttributes(audience, is_required, tuple(required), tuple(optional))


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _refused(file: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{file} {what}, so the kubelet would not start with it", remedy=f"Correct {file}, {_RESTART}"
    )


def _check_owner(file: str) -> None:
    try:
        trusted_files.judge(file)
    except OSError:
        raise ConfigurationError(f"{file} cannot be read", remedy=f"Write it, {_RESTART}") from None
    except trusted_files.UntrustedFileError as error:
        raise ConfigurationError(
            f"{error.path} can be changed by others than root, who could have the kubelet run anything",
            remedy=f"Run: chown root:root {error.path}; chmod go-w {error.path}",
        ) from None


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
