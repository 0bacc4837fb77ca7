"""Strict YAML, and the line of a field."""

from __future__ import annotations

from typing import Any

import yaml

from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.yaml_depth import TooDeepError, refuse_depth


def parse(text: str) -> dict[Any, Any] | ConfigProblem:
    """Return the mapping in *text*, or the problem with it."""
    try:
        refuse_depth(text)
        document = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        if isinstance(error, _RepeatedKeyError):
            return ConfigProblem(line, "", "repeats a key of the same mapping", "Keep one of the two.")
        return ConfigProblem(line, "", "is not YAML", "Check indentation, quotes, and the space after each colon.")
    except TooDeepError as error:
        return ConfigProblem(error.line + 1, "", "is nested too deep", "Check indentation, and close what is opened.")
    except (yaml.YAMLError, RecursionError, ValueError):
        return ConfigProblem(1, "", "is not YAML", "Save the file as plain UTF-8 text.")
    if isinstance(document, dict):
        return document
    what = "the file is empty" if document is None else "the file is not a mapping"
    return ConfigProblem(1, "", what, "Start with apiVersion: aliyun-acr-credential-provider/v1.")


def line_of(node: yaml.Node | None, steps: list[Any]) -> int:
    """Return the line of the field that *steps* lead to, or of the nearest one that exists."""
    line = node.start_mark.line + 1 if node else 1
    for step in steps:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode):
            here = next(((key, value) for key, value in node.value if key.value == step), None)
            if here is None:
                break
            line, node = here[0].start_mark.line + 1, here[1]
    return line


class _RepeatedKeyError(yaml.constructor.ConstructorError):
    pass


class _StrictLoader(yaml.CSafeLoader):
    """A SafeLoader that refuses a repeated key, where YAML takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise _RepeatedKeyError(None, None, "repeated key", key.start_mark)
            keys.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep=deep)
