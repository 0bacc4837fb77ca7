"""Values for fields of the API, made from the API server's own schemas: what a newer Kubernetes adds is among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster.loopback_api import LoopbackApi

PREFIX = "#/components/schemas/"
FORMATS = {"date-time": "2026-01-02T03:04:05Z", "byte": "eA==", "int-or-string": 1}
SIMPLE = {"integer": 1, "number": 1, "boolean": True}
TEXT = {"type": "string", "default": ""}


class Schemas:
    """The schemas of one group and version of *api*, for instance ``api/v1``."""

    def __init__(self, api: LoopbackApi, group: str) -> None:
        self._schemas = api.get(f"/openapi/v3/{group}")["components"]["schemas"]

    def fields(self, kind: str) -> list[str]:
        """Return the names of the fields of *kind*, which ends the name of a schema."""
        return sorted(self._named(kind)["properties"])

    def value(self, kind: str, field: str) -> Any:
        """Return a value of *field* of *kind*, with as little in it as the schema allows, but not empty."""
        return self._made(self._named(kind)["properties"][field], field)

    def _named(self, kind: str) -> dict[str, Any]:
        (found,) = (schema for name, schema in self._schemas.items() if name.endswith(f".{kind}"))
        return found

    def _made(self, schema: dict[str, Any], name: str) -> Any:
        (inner,) = schema.get("allOf", [schema])
        kind = inner.get("type")
        if "$ref" in inner:
            made = self._made(self._schemas[inner["$ref"].removeprefix(PREFIX)], name)
        elif inner.get("enum"):
            made = inner["enum"][0]
        elif kind == "array":
            items = inner["items"]
            is_text = items.keys() <= TEXT.keys() and items.get("type") == "string"
            made = ["example.com/x" if is_text else self._made(items, name)]
        elif kind == "object" and "properties" in inner:
            made = {field: self._made(found, field) for field, found in inner["properties"].items()}
        elif kind == "object":
            made = {"example.com/x": self._made(inner.get("additionalProperties", TEXT), name)}
        else:
            made = FORMATS.get(inner.get("format", ""), SIMPLE.get(kind, "1"))
        return made
