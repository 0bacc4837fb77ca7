"""Our entries of a CredentialProviderConfig, from the output of ``settings match-images``.

There are two of one binary: one for the node's own identities, and one that is given the tokens of pods'
ServiceAccounts. A kubelet that may not ask for such tokens then fails for the second one's hosts only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acr_credential_provider import version
from acr_credential_provider.fastpath.lookup import API_VERSIONS
from acr_credential_provider.kubelet.config_validation import FIRST_WITH_TOKENS, FIRST_WITH_V1
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy

from .document import Document, fresh

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from acr_node_config.model.facts import Version

NAME = version.NAME
TOKEN_NAME = f"{NAME}-token"
NAMES = (NAME, TOKEN_NAME)
"""The programs in the bin dir, and the providers; the second is a link to the first."""


def entries(covered: Mapping[str, Any], version: Version | None, arguments: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return our entries for a kubelet of *version*.

    *covered* is the JSON of ``settings match-images``, *arguments* are for the plugin. The token's entry is left out
    before 1.34; `left_out` says so.
    """
    basis = {
        "defaultCacheDuration": "0s",  # every answer brings its own
        "apiVersion": API_VERSIONS[1 if version is not None and version < FIRST_WITH_V1 else 0],
    }
    if arguments:
        basis["args"] = list(arguments)  # type: ignore[assignment]
    providers: list[dict[str, Any]] = []
    if covered["matchImages"]:
        providers.append({"name": NAME, "matchImages": list(covered["matchImages"]), **basis})
    tokens = covered.get("tokenMode")
    if tokens and not left_out(covered, version):
        providers.append(
            {
                "name": TOKEN_NAME,
                "matchImages": list(tokens["matchImages"]),
                **basis,
                "tokenAttributes": dict(tokens["tokenAttributes"]),
            }
        )
    if not providers:
        raise ConfigurationError(
            "the settings cover no image that this node's kubelet could ask for",
            remedy=Remedy("ImageNotCovered", left_out(covered, version) or "Add registries to the settings."),
        )
    return providers


def left_out(covered: Mapping[str, Any], version: Version | None) -> str:
    """Return why the hosts of pods' ServiceAccounts get no logins on this node, "" if they do.

    >>> left_out({"tokenMode": {"matchImages": ["a.example.com"]}}, (1, 33))
    'Pods get no logins for a.example.com here: serviceAccount needs Kubernetes 1.34, and this kubelet is 1.33.'
    """
    tokens = covered.get("tokenMode")
    if not tokens or (version is not None and version >= FIRST_WITH_TOKENS):
        return ""
    shown = f"is {version[0]}.{version[1]}" if version else "does not tell its version"
    hosts = ", ".join(tokens["matchImages"])
    return f"Pods get no logins for {hosts} here: serviceAccount needs Kubernetes 1.34, and this kubelet {shown}."


def put_in(existing: bytes | None, path: str, wanted: Sequence[Mapping[str, Any]], version: Version | None) -> bytes:
    """Return the file at *path* with exactly the *wanted* of our entries; *existing* is None for a new file."""
    if existing is None:
        return fresh(wanted, version)
    names = {entry["name"] for entry in wanted}
    data = Document.parse(existing, path).with_providers(wanted)
    return Document.parse(data, path).without_providers([name for name in NAMES if name not in names])


def take_out(existing: bytes, path: str) -> bytes | None:
    """Return the file at *path* without our entries, None if it held no others."""
    document = Document.parse(existing, path)
    if set(document.names) <= set(NAMES):
        return None
    return document.without_providers(NAMES)
