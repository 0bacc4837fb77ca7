"""What became of an acr-configuration: native settings, and all that there is to say about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .yaml_repair import Change

if TYPE_CHECKING:
    from acr_credential_provider.model.config_problem import ConfigProblem

    from .yaml_repair import LocatedNode

Place = Literal["node", "controller"]
Role = Literal["nodeRole", "managedRole"]
API_VERSION = "aliyun-acr-credential-provider/v1"


@dataclass(frozen=True, slots=True)
class Target:
    """For whom an acr-configuration is read: for the node's plugin or for the controller (*place*).

    Access keys that stand in it are to be written into files below *keys_directory* (an absolute path without
    a slash at its end; "" for nowhere). Entries that say nothing of who asks have the identity *role*.
    """

    place: Place
    keys_directory: str
    role: Role


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """Where a registry of the document comes from: its name in the file, and its keys' names and lines."""

    name: str
    line: int
    keys: dict[str, tuple[str, int]]

    def of(self, native: str) -> tuple[str, int]:
        """Return the name and line of what became the field *native*."""
        key, line = self.keys.get(native, ("", self.line))
        return (f"{self.name}.{key}" if key else self.name), line


@dataclass(slots=True)
class Conversion:
    """An acr-configuration as native settings, and all that there is to say about it.

    *document* is in the form of ProviderSettings, None when nothing could be read. An entry
    with a problem is not in it; *origins* belong to the registries that are. *secrets* are
    the key files (path to content) that the document expects.
    """

    document: dict[str, Any] | None = None
    origins: list[SourceLocation] = field(default_factory=list)
    problems: list[ConfigProblem] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    notes: list[Change] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    quarantined_hosts: set[str] = field(default_factory=set)
    """Hosts of the entries that are not in the document."""
    personal_quarantined: bool = False
    """Whether one of those entries may be of the Personal Edition."""

    def drop(self, index: int) -> None:
        """Take the registry *index* out of the document, and the key files that none is left to need."""
        if self.document is not None:
            dropped = self.document["registries"].pop(index)
            self.origins.pop(index)
            self.quarantined_hosts |= set(dropped.get("domains", ()))
            self.personal_quarantined |= not dropped.get("instanceId")
            needed = {path for each in self.document["registries"] for path in each["identity"].values()}
            self.secrets = {path: secret for path, secret in self.secrets.items() if path in needed}

    def change(self, spot: LocatedNode, what: str) -> None:
        """Tell that *spot* was read otherwise than it stands there."""
        self.changes.append(Change(spot.line, what))

    def note(self, spot: LocatedNode, what: str) -> None:
        """Tell something of *spot* that needs no change."""
        self.notes.append(Change(spot.line, what))
