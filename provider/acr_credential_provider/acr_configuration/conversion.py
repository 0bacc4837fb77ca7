"""The result of reading an acr-configuration: native settings, and all problems, changes and notes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .yaml_repair import Change

if TYPE_CHECKING:
    from acr_credential_provider.model.config_problem import ConfigProblem

    from .located_yaml import LocatedNode

Place = Literal["node", "controller"]
Role = Literal["nodeRole", "managedRole"]


@dataclass(frozen=True, slots=True)
class Target:
    """The program that gets the settings: the plugin of a node, or the controller (*place*).

    Access keys in the text become files below *keys_directory* (an absolute path without a slash at its end; "" for
    none). Entries that name no identity get the identity kind *role*.
    """

    place: Place
    keys_directory: str
    role: Role


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """The source of a native registry: the entry's name and line, and the key and line behind each native field."""

    name: str
    line: int
    keys: dict[str, tuple[str, int]]

    def locate(self, native: str) -> tuple[str, int]:
        """Return the name and line of the key that became the field *native*."""
        key, line = self.keys.get(native, ("", self.line))
        return (f"{self.name}.{key}" if key else self.name), line


@dataclass(slots=True)
class Conversion:
    """An acr-configuration as native settings, and all that there is to report about it.

    *document* has the form of ProviderSettings; None if nothing could be read. It leaves out entries with problems.
    *origins* are the sources of its registries, *secrets* the key files (path to content) that it expects.
    """

    document: dict[str, Any] | None = None
    origins: list[SourceLocation] = field(default_factory=list)
    problems: list[ConfigProblem] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    notes: list[Change] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    entry_problems: list[ConfigProblem] = field(default_factory=list)
    """Those of the problems that are of entries that are not in the document."""
    quarantined_hosts: set[str] = field(default_factory=set)
    """Hosts of the entries that are not in the document."""
    personal_quarantined: bool = False
    """True if one of those entries may be of the Personal Edition."""
    is_in_pieces: bool = False
    """True if the text is not YAML as a whole, and was read key by key."""

    def change(self, node: LocatedNode, text: str) -> None:
        """Report that *node* was read in another way than it is written."""
        self.changes.append(Change(node.line, text))

    def note(self, node: LocatedNode, text: str) -> None:
        """Report a fact about *node* that needs no change."""
        self.notes.append(Change(node.line, text))
