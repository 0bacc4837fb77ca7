"""Typed access to the nodes of the file: a text, a mapping, a list of words, or the problem with the node."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from acr_credential_provider.fastpath.plain_text import key_name
from acr_credential_provider.model.config_problem import ConfigProblem, did_you_mean
from acr_credential_provider.model.remedy import Remedy

from .keys import REGISTRIES, REPAIRER, documented_key
from .located_yaml import LocatedNode, UnreadableError, parse
from .yaml_repair import Change, flattened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .conversion import Conversion

PLACEHOLDER = re.compile(
    r"[<>*]|(?:^|[-_./:])(x{3,}|y{3,}|z{3,})(?:$|[-_./:])|^cri-instanceid$|^instance\.(?:default|custom)\."
    r"|user\w*rolearn$|^acs:ram::[a-z]|^acs:ram::\d*x{3,}|\$\{|\{\{|^\$\w|%\w+%",
    re.IGNORECASE,
)


HOST = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+(?::\d{1,5})?"
_HOST_IN_TEXT = re.compile(rf"(?<![a-z0-9_-]){HOST}", re.ASCII)


class NamedNode(NamedTuple):
    """A key's full name in the file, and its node. All methods that read raise `UnreadableError`."""

    name: str
    node: LocatedNode

    def invalid(self, problem: str, remedy: Remedy) -> UnreadableError:
        """Return the error that reports *problem* for this key."""
        return UnreadableError(ConfigProblem(self.node.line, self.name, problem, remedy))

    def placeholder_error(self) -> UnreadableError:
        """Return the error that reports a value copied from a sample."""
        remedy = "Write your own value there, or remove the key or the whole entry."
        return self.invalid("still holds the placeholder of a sample", Remedy("SettingsPlaceholder", remedy))

    def readable(self) -> LocatedNode:
        """Return the node, unless it is broken."""
        if self.node.broken is not None:
            raise UnreadableError(self.node.broken).within(self.name)
        return self.node

    def text(self) -> str:
        """Return the node's text, without white space around it."""
        value = self.readable().value
        if not isinstance(value, str):
            raise self.invalid("is not text", Remedy("SettingsInvalid", "Write one value on the line of the key."))
        return value.strip()

    def words(self) -> Iterator[tuple[NamedNode, str]]:
        """Yield each word of a text with commas, or of a list of such texts, with the item that it stands in."""
        value = self.readable().value
        for item in value if isinstance(value, list) else [self.node]:
            named = NamedNode(self.name, item)
            for word in re.split("[,\uff0c]", named.text()):
                yield named, word.strip()

    def mapping(self, result: Conversion) -> dict[str, LocatedNode]:
        """Return the members of a mapping, which may be YAML inside a text; *result* gets the repairs of that."""
        value = self.readable().value
        if isinstance(value, str):
            first_line = self.node.inner or self.node.line
            try:
                text, changes = REPAIRER.repair(value, first_line=first_line)
                value = self._parsed(text, first_line, changes)
            except UnreadableError as error:
                raise error.within(self.name) from None
            result.changes += changes
        if value == "":
            return {}
        if not isinstance(value, dict):
            raise self.invalid("is not a mapping", Remedy("SettingsInvalid", "Write key: value lines below it."))
        return value

    def _parsed(
        self, text: str, first_line: int, changes: list[Change]
    ) -> str | list[LocatedNode] | dict[str, LocatedNode]:
        """Return the value in *text*, a flat mapping at whatever indentation; raise `UnreadableError`."""
        try:
            return parse(text, first_line=first_line).value
        except UnreadableError:
            flat = flattened(text, REPAIRER)
            if flat is None:
                raise
        value = parse(flat, first_line=first_line).value
        changes.append(Change(first_line, f"{self.name}: its keys were read at one indentation"))
        return value


def known_keys(
    members: dict[str, LocatedNode], keys: Mapping[str, str], prefix: str, result: Conversion
) -> dict[str, NamedNode]:
    """Return the *members* by documented key, with *prefix* before their names. *result* gets those that are none."""
    known: dict[str, NamedNode] = {}
    for spelled, node in members.items():
        key = documented_key(spelled, keys)
        if key is None:
            shown = key_name(spelled)
            if node.broken is not None and spelled.startswith("?"):
                error = UnreadableError(node.broken)
                result.problems += (error.within(prefix.removesuffix(".")) if prefix else error).problems
                continue
            if documented_key(spelled) is not None:
                problem = f"is not a key of an instance: it belongs beside {REGISTRIES}, not into it"
                remedy = f"Indent the key as {REGISTRIES} itself is."
            elif spelled.isascii():
                problem = "is not a key of acr-configuration"
                remedy = f"{did_you_mean(spelled, keys.values())}Correct its spelling or remove it."
            else:
                problem = "is translated or holds characters that are not ASCII"
                remedy = "Write the key as documented."
            result.problems.append(
                ConfigProblem(node.line, prefix + shown, problem, Remedy("SettingsUnknownKey", remedy))
            )
        elif key in known:
            result.problems.append(
                ConfigProblem(
                    node.line,
                    prefix + spelled,
                    f"repeats {known[key].name}",
                    Remedy("SettingsContradiction", "Keep one."),
                )
            )
        else:
            if spelled != key and prefix:
                result.change(node, f"{prefix}{spelled} was read as {key}")
            known[key] = NamedNode(prefix + key, node)
    return known


def hosts_in(texts: Iterable[str]) -> tuple[set[str], bool]:
    """Return the hosts that *texts* of a broken entry name, and whether it may be of the Personal Edition."""
    text = " ".join(texts).lower()
    return set(_HOST_IN_TEXT.findall(text)), "cri-" not in text


def texts_in(node: LocatedNode) -> Iterator[str]:
    """Yield every text in *node*, keys included."""
    if isinstance(node.value, dict):
        for key, inner in node.value.items():
            yield key
            yield from texts_in(inner)
    elif isinstance(node.value, list):
        for inner in node.value:
            yield from texts_in(inner)
    else:
        yield node.value
