"""Prints docs/reference/settings.md: a table of the fields of each part of the settings file, made from the schema."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from . import settings_schema

TOP = "ProviderSettings"
HEAD = """# Settings

One file serves the plugin, the node agent and the controller. How to write it:
[install](../install/README.md#write-the-settings). `make schema` writes this page and the
[JSON Schema](../settings.schema.json) from the code. For completion and checks in an editor, write the schema's path
into the first line of the file: `# yaml-language-server: $schema=settings.schema.json`.

A duration is a text such as `90s`, `15m` or `1h30m`. Only fields that are marked as required have to be written.
"""


def page() -> str:
    """Return the page."""
    schema = settings_schema.schema()
    parts = schema["$defs"]
    names = _in_order(schema, parts)
    return "\n".join([HEAD, *(_section(name, parts[name] if name != TOP else schema) for name in names)])


def _in_order(schema: dict[str, Any], parts: dict[str, Any]) -> list[str]:
    """Return the names of the top and of all parts, each after the part that names it first."""
    names = [TOP]
    for name in names:  # it grows meanwhile
        for found in re.findall(
            r'"#/\$defs/(\w+)"', json.dumps(_without_parts(schema) if name == TOP else parts[name])
        ):
            if found not in names:
                names.append(found)
    missing = set(parts) - set(names)
    if missing:
        raise ValueError(f"no field leads to {sorted(missing)}")
    return names


def _without_parts(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "$defs"}


def _section(name: str, part: dict[str, Any]) -> str:
    rows = [
        f"| `{field}` | {_type(value)} | {_default(field, value, part)} | {_cell(value['description'])} |"
        for field, value in part["properties"].items()
    ]
    title = "The file" if name == TOP else name
    text = _plain(part["description"])
    return "\n".join([f"## {title}", text, "", "| field | type | default | meaning |", "|---|---|---|---|", *rows, ""])


def _type(value: dict[str, Any]) -> str:
    """Return in words what *value* may be.

    >>> _type({"anyOf": [{"type": "string", "pattern": "a|b"}, {"type": "null"}]})
    'text'
    >>> _type({"type": "array", "items": {"$ref": "#/$defs/Registry"}})
    'list of [Registry](#registry)'
    """
    for several in ("anyOf", "oneOf"):
        if several in value:
            kinds = dict.fromkeys(_type(each) for each in value[several] if each.get("type") != "null")
            return " or ".join(kinds)
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if words := value.get("enum", [value["const"]] if "const" in value else []):
        return ", ".join(f"`{each}`" for each in words)
    if value["type"] == "array":
        return f"list of {_type(value['items'])}"
    kind = "duration" if settings_schema.DURATION in value.get("pattern", "") else value["type"]
    return {"duration": kind, "string": "text", "object": "mapping", "boolean": "`true`, `false`", "integer": "number"}[
        kind
    ]


def _default(field: str, value: dict[str, Any], part: dict[str, Any]) -> str:
    if field in part.get("required", ()):
        return "required"
    default = value.get("default")
    if isinstance(default, dict) or default in (None, "", []):  # a part of its own, which has its own defaults
        return ""
    return f"`{json.dumps(default) if not isinstance(default, str) else default}`"


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|").replace("\n", " ")


def _plain(text: str) -> str:
    return text.replace("``", "`")


if __name__ == "__main__":
    sys.stdout.write(page())
