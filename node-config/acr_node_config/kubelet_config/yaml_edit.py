"""Adds, replaces or removes a provider in the text of a configuration, and leaves every other byte alone.

Each function returns the new text, or None if it cannot; the caller parses the result and checks it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml
from acr_credential_provider.kubelet.go_yaml import write

if TYPE_CHECKING:
    from acr_credential_provider.kubelet.go_yaml import Text


def appended(text: Text, entry: dict[str, Any]) -> str | None:
    """Return *text* with *entry* after the last provider."""
    providers = _providers(text)
    if providers is None or not providers.value:
        return None
    if providers.flow_style:
        return _appended_in_flow(text.text, providers, entry)
    end = _line_end(text.text, _content_end(providers.value[-1]))
    block = _block(entry, providers.start_mark.column)
    if end == len(text.text) and not text.text.endswith("\n"):
        return text.text + "\n" + block.removesuffix("\n")
    return text.text[:end] + block + text.text[end:]


def replaced(text: Text, at: int, entry: dict[str, Any]) -> str | None:
    """Return *text* with *entry* in the place of provider number *at*."""
    providers = _providers(text)
    if providers is None:
        return None
    item = providers.value[at]
    if providers.flow_style:
        start, end = item.start_mark.index, item.end_mark.index
        margin, unit = _margin(text.text, start)
        body = _flow(entry, margin, unit if "\n" in text.text[start:end] else "")
        return text.text[:start] + body + text.text[end:]
    span = _block_span(text.text, item)
    if span is None:
        return None
    block = _block(entry, providers.start_mark.column)
    if not text.text[span[0] : span[1]].endswith("\n"):
        block = block.removesuffix("\n")
    return text.text[: span[0]] + block + text.text[span[1] :]


def removed(text: Text, at: int) -> str | None:
    """Return *text* without provider number *at*."""
    providers = _providers(text)
    if providers is None or len(providers.value) < 2:
        return None
    item = providers.value[at]
    if providers.flow_style:
        if at:
            start, end = providers.value[at - 1].end_mark.index, item.end_mark.index
        else:
            start, end = item.start_mark.index, providers.value[1].start_mark.index
        return text.text[:start] + text.text[end:]
    span = _block_span(text.text, item)
    if span is None:
        return None
    before = text.text[: span[0]]
    if span[1] == len(text.text) and not text.text.endswith("\n"):
        before = before.removesuffix("\n")
    return before + text.text[span[1] :]


def _providers(text: Text) -> yaml.SequenceNode | None:
    if not isinstance(text.root, yaml.MappingNode):
        return None
    node = next((value for key, value in text.root.value if key.value == "providers"), None)
    return node if isinstance(node, yaml.SequenceNode) else None


def _content_end(node: yaml.Node) -> int:
    """Return where the last item of *node* ends; its own mark may be far below, after comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _content_end(last[1] if isinstance(last, tuple) else last)
    return node.end_mark.index


def _line_end(text: str, at: int) -> int:
    """Return where the line of *at* ends, its newline included; a block scalar's end is after it already."""
    if at and text[at - 1] == "\n":
        return at
    newline = text.find("\n", at)
    return len(text) if newline < 0 else newline + 1


def _block_span(text: str, item: yaml.Node) -> tuple[int, int] | None:
    """Return the lines that *item* takes, its dash included."""
    dash = text.rfind("-", 0, item.start_mark.index)
    start = text.rfind("\n", 0, max(dash, 0)) + 1
    if dash < 0 or text[start:dash].strip() or text[dash + 1 : item.start_mark.index].strip():
        return None
    return start, _line_end(text, _content_end(item))


def _block(entry: dict[str, Any], indent: int) -> str:
    return "".join(f"{' ' * indent}{line}" for line in write([entry]).splitlines(keepends=True))


def _appended_in_flow(text: str, providers: yaml.SequenceNode, entry: dict[str, Any]) -> str:
    last = providers.value[-1]
    if len(providers.value) > 1:
        gap = text[providers.value[-2].end_mark.index : last.start_mark.index]
    else:
        gap = "," + text[providers.start_mark.index + 1 : last.start_mark.index]
    margin, unit = _margin(text, last.start_mark.index)
    end = last.end_mark.index
    return text[:end] + gap + _flow(entry, margin, unit if "\n" in gap else "") + text[end:]


def _margin(text: str, at: int) -> tuple[str, str]:
    """Return the white space at the start of the line of *at*, and about how much of it one level is."""
    line = text[text.rfind("\n", 0, at) + 1 :]
    margin = line[: len(line) - len(line.lstrip(" \t"))]
    return margin, margin[: max(len(margin) // 2, 1)] or "  "


def _flow(entry: dict[str, Any], margin: str, unit: str) -> str:
    if not unit:
        return json.dumps(entry, ensure_ascii=False)
    return json.dumps(entry, ensure_ascii=False, indent=unit).replace("\n", f"\n{margin}")
