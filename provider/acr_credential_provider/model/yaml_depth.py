"""Keeps YAML that is nested too deep from the C parser, which would overflow its stack."""

from __future__ import annotations

import yaml

SAFE_DEPTH = 20
"""Levels of nesting that the C parser is given; settings have five."""


class TooDeepError(yaml.YAMLError):
    """Nested deeper than the C parser may be given; *line* counts from 0."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


def refuse_depth(text: str) -> None:
    """Raise `TooDeepError` if *text* is nested deeper than `SAFE_DEPTH`."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > SAFE_DEPTH:
            raise TooDeepError(event.start_mark.line if event.start_mark else 0)
