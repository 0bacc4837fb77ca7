"""A CredentialProviderConfig as a kubelet reads it, and the same with our providers in it.

What others wrote stays as it is, to the byte where possible: their providers, their order, comments, fields that we do
not know, JSON or YAML.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from acr_credential_provider.kubelet.config_validation import CONFIG_VERSIONS, FIRST_WITH_V1
from acr_credential_provider.kubelet.go_yaml import ParseError, Text, read, write
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy

from .yaml_edit import appended, removed, replaced

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from acr_node_config.model.facts import Version


@dataclass(frozen=True, slots=True)
class Document:
    """One file; *name* is its path, for errors."""

    name: str
    data: bytes
    text: Text

    @classmethod
    def parse(cls, data: bytes, name: str) -> Document:
        """Read *data*; raise `ConfigurationError` if it is no CredentialProviderConfig."""
        try:
            text = read(data)
        except ParseError as error:
            raise ConfigurationError(
                f"{name}, line {error.line}: {error.problem}",
                remedy=Remedy("KubeletConfigInvalid", f"Correct {name}: kubelets from 1.32 on do not start with it."),
            ) from None
        document = text.value
        is_config = isinstance(document, dict) and document.get("kind") == "CredentialProviderConfig"
        if not is_config or document.get("apiVersion") not in CONFIG_VERSIONS:
            raise ConfigurationError(
                f"{name} is no CredentialProviderConfig that we know",
                remedy=Remedy("KubeletConfigInvalid", f"Correct its kind and apiVersion: {name}."),
            )
        providers = document.get("providers")
        if providers is not None and not (
            isinstance(providers, list) and all(isinstance(provider, dict) for provider in providers)
        ):
            raise ConfigurationError(
                f"{name} does not list providers",
                remedy=Remedy("KubeletConfigInvalid", f"Correct {name}: a kubelet does not start with it."),
            )
        return cls(name, data, text)

    @property
    def providers(self) -> list[dict[str, Any]]:
        """The providers, ours and others', in their order."""
        return list(self.text.value.get("providers") or [])

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(str(provider.get("name")) for provider in self.providers)

    def with_providers(self, entries: Sequence[Mapping[str, Any]]) -> bytes:
        """Return the file with *entries*, each in the place of the provider of its name, else at the end.

        An operator's ``env`` stays where an entry brings none. Without a change, the very same bytes.
        """
        document = self
        for entry in entries:
            document = document._with(dict(entry))
        return document.data

    def without_providers(self, names: Collection[str]) -> bytes:
        """Return the file without the providers of these *names*; no kubelet starts with an empty list."""
        document = self
        for name in names:
            while name in document.names:
                document = document._without(document.names.index(name))
        return document.data

    def _with(self, entry: dict[str, Any]) -> Document:
        providers = self.providers
        if entry["name"] not in self.names:
            return self._changed([*providers, entry], appended(self.text, entry))
        at = self.names.index(entry["name"])
        if "env" not in entry and "env" in providers[at]:
            entry = {**entry, "env": providers[at]["env"]}
        if providers[at] == entry:
            return self
        wanted = [*providers[:at], entry, *providers[at + 1 :]]
        return self._changed(wanted, replaced(self.text, at, entry))

    def _without(self, at: int) -> Document:
        providers = self.providers
        return self._changed([*providers[:at], *providers[at + 1 :]], removed(self.text, at))

    def _changed(self, providers: list[dict[str, Any]], edited: str | None) -> Document:
        """Return *edited* if it holds *providers* and the rest, else the whole document written anew."""
        wanted = {**self.text.value, "providers": providers}
        for text in (edited, _written(wanted, self.text)):
            if text is None:
                continue
            try:
                data = text.encode()
                document = Document(self.name, data, read(data))
            except (ParseError, UnicodeEncodeError):  # JSON may escape halves of characters
                continue
            if document.text.value == wanted:
                return document
        raise ConfigurationError(
            f"{self.name} cannot be changed without changing what it says",
            remedy=Remedy(
                "KubeletConfigInvalid",
                "Write it without anchors, tags and numbers where strings belong; or use mode files-only.",
            ),
        )


def fresh(entries: Sequence[Mapping[str, Any]], version: Version | None) -> bytes:
    """Return a new file with *entries*, for a kubelet of *version*."""
    is_old = version is not None and version < FIRST_WITH_V1
    document = {
        "apiVersion": CONFIG_VERSIONS[1 if is_old else 0],
        "kind": "CredentialProviderConfig",
        "providers": [dict(entry) for entry in entries],
    }
    return write(document).encode()


def _written(document: dict[str, Any], before: Text) -> str | None:
    end = "\n" if before.text.endswith("\n") else ""
    if before.is_json:
        indent = None if "\n" not in before.text.strip() else 2
        return json.dumps(document, indent=indent, ensure_ascii=False) + end
    try:
        return write(document)
    except yaml.YAMLError:  # it has a `Number`, which only its own text can hold
        return None
