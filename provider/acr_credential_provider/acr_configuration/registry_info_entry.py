"""One entry of acr-registry-info as it is read: its keys, and what stands there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .keys import REGISTRIES
from .node_access import PLACEHOLDER, EntryError, placeholder, text_of

if TYPE_CHECKING:
    from .node_access import Found
    from .yaml_repair import LocatedNode


@dataclass(frozen=True, slots=True)
class RegistryInfoEntry:
    """The entry called *name* in the file; *texts* are those of its *keys* (by documented key) that hold one text."""

    name: str
    spot: LocatedNode
    keys: dict[str, Found]
    texts: dict[str, str]

    @classmethod
    def of(cls, name: str, spot: LocatedNode, keys: dict[str, Found]) -> RegistryInfoEntry:
        """Return the entry, or raise `EntryError` for what is no text, or still that of a sample."""
        texts = {key: text_of(*found) for key, found in keys.items() if key != "domains"}
        wrong = [placeholder(*keys[key]) for key, text in texts.items() if text and PLACEHOLDER.search(text)]
        if wrong:
            raise EntryError(*wrong)
        return cls(name, spot, keys, texts)

    def text(self, key: str) -> str:
        """Return what stands at *key*, "" where there is none."""
        return self.texts.get(key, "")

    def first_of(self, *keys: str) -> str | None:
        """Return the first of *keys* that says something."""
        return next((key for key in keys if self.texts.get(key)), None)

    @property
    def first(self) -> Found:
        """The first of the keys: what is said of the entry as a whole is said there."""
        return next(iter(self.keys.values()), (REGISTRIES, self.spot))
