"""Reads a configuration as a kubelet does: JSON when it starts with a brace, else YAML as Go's parser types it.

Python's YAML takes ``y`` for a word and ``1e3`` for another one; to a kubelet they are a boolean
and a number, and where it wants a string it does not start. Rules: sigs.k8s.io/yaml (goyaml.v2)
and k8s.io/apimachinery's strict JSON, the same from Kubernetes 1.24 to 1.36.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from acr_credential_provider.fastpath.plain_text import plain_text
from acr_credential_provider.model.yaml_syntax import TooDeepError, refuse_depth

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST = 1 << 20
"""Bytes. No node has a tenth of it."""

_TRUE = frozenset(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"))
_FALSE = frozenset(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"))
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*)\Z", re.ASCII)
_FLOAT = re.compile(
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_ONLY_JSON = re.compile(r"\t|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|[\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
"""Valid in JSON but not in YAML: tabs as margins, halves of characters as escapes, some letters."""
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "bool", "int", "float", "null", "timestamp", "map", "seq")}


class ParseError(Exception):
    """The file cannot be read: *problem* at *line* (counted from 1)."""

    def __init__(self, line: int, problem: str) -> None:
        self.line = line
        self.problem = plain_text(problem)  # it may quote a key of the file
        super().__init__(self.problem)


@dataclass(frozen=True, slots=True)
class Number:
    """A number in YAML, as it is written: Python and Go may write it differently again."""

    written: str


@dataclass(frozen=True, slots=True)
class Text:
    """A file's text, its value, and the YAML nodes with their positions (*root*; None if unknown)."""

    text: str
    value: Any
    is_json: bool
    root: yaml.Node | None

    def line(self, steps: Iterable[str | int]) -> int:
        """Return the line, counted from 1, of the member that *steps* lead to, or of the last one on the way."""
        node, line = self.root, 1
        for step in steps:
            if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
            elif isinstance(node, yaml.MappingNode):
                pair = next((pair for pair in node.value if pair[0].value == step), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line + 1, pair[1]
            else:
                break
        return line


def write(value: object) -> str:
    """Return *value* as YAML that Go and Python read alike."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


class _Dumper(yaml.SafeDumper):
    """Quotes strings that Go would take for something else."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]\Z"), list("yYnN"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def read(data: bytes) -> Text:
    """Parse *data*; raise `ParseError`."""
    if len(data) > LARGEST:
        raise ParseError(1, f"is larger than {LARGEST} bytes")
    try:
        text = data.decode()
        refuse_depth(text)
    except UnicodeDecodeError as error:
        raise ParseError(data.count(b"\n", 0, error.start) + 1, "is not UTF-8") from None
    except TooDeepError as error:
        raise ParseError(error.line + 1, "is nested too deep") from None
    except (yaml.YAMLError, ValueError):
        pass  # parsed below, with a better message
    return _json(text) if text.lstrip().startswith("{") else _yaml(text)


def _json(text: str) -> Text:
    try:
        value = json.loads(text, object_pairs_hook=_no_repetition, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ParseError(error.lineno, "is not JSON, which it must be when it starts with {") from None
    except (ValueError, RecursionError) as error:
        what = error.args[0] if isinstance(error, _RepeatedError) else "is not JSON"
        raise ParseError(1, what) from None
    try:
        root = yaml.compose(_ONLY_JSON.sub(_as_yaml, text), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError):
        root = None
    return Text(text, value, is_json=True, root=root)


def _as_yaml(match: re.Match[str]) -> str:
    """Return as many letters that YAML takes: only positions are needed."""
    return " " if match[0] == "\t" else "?" * len(match[0])


class _RepeatedError(ValueError):
    pass


def _no_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedError(f"has {next(name for name in names if names.count(name) > 1)} twice")
    return mapping


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _yaml(text: str) -> Text:
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        what = "has more than one document" if "single document" in (error.context or "") else "is not YAML"
        raise ParseError(line, what) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise ParseError(1, "is not YAML") from None
    return Text(text, None if root is None else _value(root, []), is_json=False, root=root)


def _value(node: yaml.Node, above: list[int]) -> Any:
    line = node.start_mark.line + 1
    if node.tag not in _TAGS:
        raise ParseError(line, f"has the tag {node.tag}, which we do not know")
    if id(node) in above:
        raise ParseError(line, "has an alias that holds itself")
    above = [*above, id(node)]
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, above) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            here = key.start_mark.line + 1
            if not isinstance(name, str) or (not key.style and name == "<<"):
                raise ParseError(here, "has a key that is not a plain word")
            if name in mapping:
                raise ParseError(here, f"has {name} twice")
            mapping[name] = _value(value, above)
        return mapping
    return _scalar(node)


def _scalar(node: yaml.Node) -> object:
    """Return the value of a scalar as Go types it."""
    text: str = node.value
    if getattr(node, "style", None):  # quoted or a block
        return text
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _INTEGER.match(text):
        return int(text) if text.isdigit() and text[0] != "0" else Number(text)
    return Number(text) if _FLOAT.match(text) else text
