"""One entry of acr-registry-info: its keys and their texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .keys import REGISTRIES
from .located_yaml import UnreadableError
from .node_access import PLACEHOLDER, NamedNode

if TYPE_CHECKING:
    from .located_yaml import LocatedNode


@dataclass(frozen=True, slots=True)
class RegistryInfoEntry:
    """The entry called *name*. *keys* are by documented key; *texts* are those of all keys but domains."""

    name: str
    node: LocatedNode
    keys: dict[str, NamedNode]
    texts: dict[str, str]

    @classmethod
    def parse(cls, entry: NamedNode, keys: dict[str, NamedNode]) -> RegistryInfoEntry:
        """Return the entry; raise `UnreadableError` for values that are no text, or a placeholder."""
        texts = {key: named.text() for key, named in keys.items() if key != "domains"}
        placeholders = [keys[key].placeholder_error() for key, text in texts.items() if PLACEHOLDER.search(text)]
        if placeholders:
            raise UnreadableError(*(problem for error in placeholders for problem in error.problems))
        return cls(entry.name, entry.node, keys, texts)

    def text(self, key: str) -> str:
        """Return the text of *key*, "" without one."""
        return self.texts.get(key, "")

    def first_of(self, *keys: str) -> NamedNode | None:
        """Return the first of *keys* that has a text."""
        return next((self.keys[key] for key in keys if self.texts.get(key)), None)

    @property
    def first(self) -> NamedNode:
        """The first key: problems with the entry as a whole are reported there."""
        return next(iter(self.keys.values()), NamedNode(REGISTRIES, self.node))
