"""What systemd would start for a unit's files, for layouts that stay within its plain rules.

Written for these tests and independent of the installer's own reading of units, which tests/systemd compares with a
real systemd.
"""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatch
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Read = Callable[[str], str | None]
    """Returns the text of a file of the node, None without one."""

FOLDERS = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")


def settings(text: str) -> Iterator[tuple[str, str]]:
    """Yield the settings of a unit's file; comments between continued lines are not part of them."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(("#", ";"))]
    for line in re.sub(r"\\\n", " ", "\n".join([*lines, ""])).splitlines():
        name, equals, value = line.partition("=")
        if equals:
            yield name.strip(), value.strip()


class Unit:
    """A unit *name*: *listed* returns all paths of the node's files, *read* their texts."""

    def __init__(self, name: str, read: Read, listed: list[str]) -> None:
        main = next((text for folder in FOLDERS if (text := read(f"{folder}/{name}")) is not None), "")
        drop_ins = {
            path.rpartition("/")[2]: path
            for folder in reversed(FOLDERS)
            for path in listed
            if fnmatch(path, f"{folder}/{name}.d/*.conf")
        }
        self.exists = bool(main)
        self._name = name
        self.commands: list[str] = []
        self.before: list[str] = []
        self.variables: dict[str, str] = {}
        files: list[str] = []
        for text in [main, *(read(drop_ins[each]) or "" for each in sorted(drop_ins))]:
            for key, value in settings(text):
                if key == "ExecStart":
                    self.commands = [*self.commands, value] if value else []
                elif key == "ExecStartPre":
                    self.before.append(value)
                elif key == "Environment":
                    self.variables |= dict(pair.split("=", 1) for pair in shlex.split(value))
                elif key == "EnvironmentFile":
                    files = [*files, value] if value else []
        for path in files:
            self._read_file(path, read)

    def _read_file(self, path: str, read: Read) -> None:
        stem = self._name.removesuffix(".service")
        text = read(path.removeprefix("-").replace("%N", stem).replace("%n", self._name).replace("%p", stem))
        for line in re.sub(r"\\\n", "", text or "").splitlines():
            name, equals, value = line.partition("=")
            if equals and not name.lstrip().startswith(("#", ";")):
                self.variables[name.strip()] = _unquoted(value.strip())

    def words(self) -> list[str]:
        """Return the command line of its main process."""
        return self.expanded(self.commands[-1])

    def expanded(self, command: str) -> list[str]:
        """Return the words of *command*, with the unit's variables in them."""
        words: list[str] = []
        for word in shlex.split(command):
            alone = re.fullmatch(r"\$(\w+)", word)
            words += self.variables.get(alone[1], "").split() if alone else [_filled(word, self.variables)]
        return words


def _unquoted(text: str) -> str:
    """Return the value of *text* in an environment file: quoted, or with backslashes before odd letters."""
    if text[:1] == "'":
        return text[1:].partition("'")[0]
    quoted = re.match(r'"((?:[^"\\]|\\.)*)"', text, re.DOTALL)
    letters = r'\\(["\\`$])' if quoted else r"\\(.)"
    return re.sub(letters, r"\1", quoted[1] if quoted else text)


def _filled(word: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: variables.get(found[1], ""), word).replace("$$", "$")
