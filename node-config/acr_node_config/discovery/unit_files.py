"""Parses unit files, for where systemd cannot be asked: while an image is made, without D-Bus. Pure.

Only the settings that decide where the kubelet's flags come from. Rules: systemd.unit(5), .service(5), .exec(5), and
what systemd's load-fragment.c does with what those leave open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_node_config.model.command_line import UNKNOWN
from acr_node_config.model.paths import tidy

from .unit_syntax import BLANKS, BrokenFileError, after_blanks, expanded, extract, is_text, next_word, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

SEVERAL = "starts several commands (ExecStart=)"
NO_UNIT = "has a line that systemd does not load it with"
NEWER_PREFIX = "has a command with a prefix (|) that only new releases of systemd know"


@dataclass(frozen=True, slots=True)
class UnitText:
    """``ExecStart=``, ``Environment=`` (NAME=VALUE each), ``EnvironmentFile=`` (path, and whether it may be absent).

    *passed* are the names of ``PassEnvironment=``, *unset* those of ``UnsetEnvironment=``, or NAME=VALUE there.
    *is_literal* is a command with the prefix ``:``, whose variables are not replaced. *inherited* are the variables
    (NAME=VALUE) of systemd itself, None where it was not asked. *problem* says why it can't be told what is started.
    """

    command: tuple[str, ...] = field(default=(), repr=False)
    environment: tuple[str, ...] = field(default=(), repr=False)
    files: tuple[tuple[str, bool], ...] = ()
    passed: tuple[str, ...] = ()
    unset: tuple[str, ...] = field(default=(), repr=False)
    is_literal: bool = False
    inherited: tuple[str, ...] | None = field(default=None, repr=False)
    problem: str = ""
    prefixes: str = ""
    """What stands before the command in its file; "" where systemd was asked."""


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PREFIX = re.compile(r"[@:+!-]*")
_MOST_PATH = 4095


@dataclass(slots=True)
class _Unit:
    """What a unit's files came to so far."""

    name: str
    commands: list[tuple[list[str], str]] = field(default_factory=list)
    """The words of each, and its prefixes."""
    environment: list[str] = field(default_factory=list)
    files: list[tuple[str, bool]] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    unset: list[str] = field(default_factory=list)

    def read(self, data: bytes) -> None:
        """Take in one file; raise `BrokenFileError` where systemd reads it no further."""
        for key, value in settings(data):
            kept = self._list_of(key)
            if not value:
                kept.clear()
            elif key == "ExecStart":
                self.commands += _commands(value, self.name)
            elif key == "Environment":
                self.environment += filter(_is_assignment, self._expanded(extract(value, keeps_unknown=False)[0]))
            elif key == "EnvironmentFile":
                self.files += self._file(value)
            elif key == "PassEnvironment":
                self.passed += filter(_NAME.fullmatch, self._expanded(_unquoted(value)))
            elif key == "UnsetEnvironment":
                words = self._expanded(extract(value, keeps_unknown=False)[0])
                self.unset += [word for word in words if _NAME.fullmatch(word) or _is_assignment(word)]

    def _list_of(self, key: str) -> list[Any]:
        """Return what *key* adds to, and what an empty one empties."""
        lists: dict[str, list[Any]] = {
            "ExecStart": self.commands,
            "Environment": self.environment,
            "EnvironmentFile": self.files,
            "PassEnvironment": self.passed,
            "UnsetEnvironment": self.unset,
        }
        return lists.get(key, [])

    def _expanded(self, words: list[str]) -> list[str]:
        return [expanded(word, self.name) for word in words]

    def _file(self, value: str) -> list[tuple[str, bool]]:
        path = expanded(value, self.name)
        is_optional, path = path.startswith("-"), path.removeprefix("-")
        if not path.startswith(("/", UNKNOWN)) or not is_text(path) or len(path.encode()) > _MOST_PATH:
            return []
        return [(tidy(path).replace(UNKNOWN, "%"), is_optional)]


def parse(texts: Sequence[bytes], name: str = "") -> UnitText:
    r"""Return what the file of the unit *name* and its drop-ins, in this order, come to.

    >>> first = b"[Service]\nExecStart=/a\nEnvironmentFile=-/e/%N\n"
    >>> unit = parse([first, b"[Service]\nExecStart=\nExecStart=-/b $Y\n"], "k.service")
    >>> unit.command, unit.files
    (('/b', '$Y'), (('/e/k', True),))
    """
    unit, problem = _Unit(name), ""
    for at, text in enumerate(texts):
        try:
            unit.read(text)
        except BrokenFileError:
            problem = problem if at else NO_UNIT
    command, prefixes = unit.commands[0] if unit.commands else ([], "")
    if not problem and len(unit.commands) > 1:
        problem = SEVERAL
    if not problem and "|" in prefixes:
        problem = NEWER_PREFIX
    return UnitText(
        tuple(command),
        tuple(unit.environment),
        tuple(unit.files),
        tuple(unit.passed),
        tuple(unit.unset),
        is_literal=":" in prefixes,
        problem=problem,
        prefixes=prefixes,
    )


def parted(text: str) -> list[bytes]:
    """Return the files that ``systemctl cat`` wrote one after the other."""
    return [part.encode("utf-8", "surrogateescape") for part in re.split(r"^# /\S.*$", text, flags=re.MULTILINE)]


def _commands(value: str, name: str) -> list[tuple[list[str], str]]:
    """Return the commands of an ``ExecStart=``, with their prefixes; raise `BrokenFileError` if no unit may have it."""
    commands: list[tuple[list[str], str]] = []
    at = 0
    while at < len(value):
        first, at = next_word(value, at)
        if first is None:  # a quote without an end: systemd says so in its log, and goes on
            return commands
        if first == ";":
            continue
        prefixes = _PREFIX.match(first)[0]  # type: ignore[index]  # it matches always
        words, at, is_whole = _words(value, at, name)
        path = expanded(first[len(prefixes) :], name)
        path, prefixes = (path[1:], prefixes + "|") if path.startswith("|") else (path, prefixes)
        words = words if "@" in prefixes else [path, *words]
        if not (is_whole and words and _is_program(path)):
            if "-" in prefixes:
                return commands
            raise BrokenFileError
        commands.append((words, prefixes))
    return commands


def _words(value: str, at: int, name: str) -> tuple[list[str], int, bool]:
    """Return the words of *value* from *at* to the end of the command, where that is, and whether all are words."""
    words: list[str] = []
    while at < len(value):
        is_last = value[at + 1 : at + 2] in ("", *BLANKS)
        if value[at] == ";" and is_last:
            return words, after_blanks(value, at + 1), True
        if value[at : at + 2] == "\\;" and value[at + 2 : at + 3] in ("", *BLANKS):
            words.append(";")
            at = after_blanks(value, at + 2)
            continue
        word, at = next_word(value, at)
        if word is None:
            return words, at, at == len(value)
        words.append(expanded(word, name))
    return words, at, True


def _is_program(path: str) -> bool:
    """True if systemd takes *path* for that of a program: an absolute one, or a name alone."""
    if not path or path.endswith("/") or any(ord(letter) < 32 or letter in "\x7f\\\"'" for letter in _known(path)):
        return False
    return path.startswith(("/", UNKNOWN)) or ("/" not in path and path not in (".", ".."))


def _known(path: str) -> str:
    return path.replace(UNKNOWN, "%")


def _is_assignment(word: str) -> bool:
    name, equals, value = word.partition("=")
    return bool(equals) and _NAME.fullmatch(name) is not None and is_text(value)


def _unquoted(value: str) -> list[str]:
    """Return the words of a setting in which a backslash stands only for what follows it."""
    text = re.sub(r"\\(.)", lambda match: f"\\{match[1]}" if match[1] in "\\\"'" else match[1], value, flags=re.DOTALL)
    return extract(text, keeps_unknown=False)[0]
