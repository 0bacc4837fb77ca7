"""What YAML's C parser may be given, and why a text is not YAML: in words that name the likeliest slip."""

from __future__ import annotations

import re

import yaml

from .config_problem import ConfigProblem
from .remedy import Remedy

SAFE_DEPTH = 20
"""Levels of nesting that the C parser is given; settings have five. Deeper ones would overflow its stack."""
_LIKELY_CAUSES = (  # of a line at which the parser stops: pattern, problem, remedy
    (re.compile(r" *\t"), "is indented with a tab", "Indent with spaces only."),
    (re.compile(r"\s*(- *)?[\w.-]+:[^\s/]"), "has no space after the colon", "Write key: value."),
    (
        re.compile(r"(?!.*:\s+[|>][+-]?\d?\s*$)\s*(- *)?[\w.-]+\s*:\s+[@`%&*!|>]"),
        "has a value that starts with a sign of YAML's own",
        "Put the value in quotes.",
    ),
    (
        re.compile(r".*[\uff1a\u201c\u201d\uff02]"),
        "has a full-width colon or typographic quotes",
        'Write key: "value" in plain ASCII.',
    ),
)


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


def is_well_formed(text: str) -> bool:
    """True if *text* is YAML of a safe depth, whatever its aliases refer to."""
    try:
        refuse_depth(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return False
    return True


def syntax_problem(text: str, first_line: int = 1) -> ConfigProblem | None:
    """Return why *text* is not one document of YAML, None if it is. Lines count from *first_line*."""
    try:
        refuse_depth(text)
        yaml.compose(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return problem_of(error, text, first_line)
    return None


def problem_of(error: Exception, text: str, first_line: int = 1) -> ConfigProblem:
    """Return the parser's *error* about *text* as a problem; the parser's own words quote the text."""
    if isinstance(error, TooDeepError):
        return ConfigProblem(
            error.line + first_line,
            "",
            "is nested too deep",
            Remedy("SettingsSyntax", "Check indentation and brackets."),
        )
    if isinstance(error, yaml.MarkedYAMLError):
        return likely_problem(text.split("\n"), error.problem_mark.line if error.problem_mark else 0, first_line)
    return ConfigProblem(first_line, "", "is not YAML", Remedy("SettingsSyntax", "Save the file as plain UTF-8 text."))


def likely_problem(lines: list[str], stop: int, first_line: int) -> ConfigProblem:
    """Return the likeliest reason why the parser stopped at the line *stop* (from 0): that line, or the one above."""
    above = [number for number in range(min(stop, len(lines) - 1), -1, -1) if lines[number].strip()][:2]
    for number in above:
        for pattern, problem, remedy in _LIKELY_CAUSES:
            if pattern.match(lines[number]):
                return ConfigProblem(number + first_line, "", problem, Remedy("SettingsSyntax", remedy))
    line = (above[0] if above else 0) + first_line
    return ConfigProblem(
        line, "", "is not YAML", Remedy("SettingsSyntax", "Check indentation, quotes, and the space after each colon.")
    )
