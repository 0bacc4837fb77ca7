"""A unit as its files say it, for where systemd cannot be asked: while an image is made, without D-Bus. Pure.

Only what decides where the kubelet's flags come from is read. Rules: systemd.unit(5), .service(5), .exec(5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .environment_file import split

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
"""Where units are, what overrides first."""


@dataclass(frozen=True, slots=True)
class UnitText:
    """``ExecStart=``, ``Environment=`` (NAME=VALUE each), ``EnvironmentFile=`` (path, and whether it may be absent)."""

    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    files: tuple[tuple[str, bool], ...] = ()


def ordered(names: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the drop-ins (folder, name) in the order they are read: by name, of two of one name the first folder's.

    >>> ordered([("/etc/x.d", "20.conf"), ("/usr/x.d", "10.conf"), ("/usr/x.d", "20.conf"), ("/etc/x.d", "note")])
    [('/usr/x.d', '10.conf'), ('/etc/x.d', '20.conf')]
    """
    found: dict[str, tuple[str, str]] = {}
    for folder, name in names:
        if name.endswith(".conf"):
            found.setdefault(name, (folder, name))
    return [found[name] for name in sorted(found)]


def parse(texts: Sequence[bytes]) -> UnitText:
    r"""Return what the unit's file and its drop-ins, in this order, come to.

    >>> parse([b"[Service]\nExecStart=/a\nEnvironmentFile=-/e\n", b"[Service]\nExecStart=\nExecStart=-/b \\\n  $Y\n"])
    UnitText(command=('/b', '$Y'), environment=(), files=(('/e', True),))
    """
    command: list[str] = []
    environment: list[str] = []
    files: list[tuple[str, bool]] = []
    for text in texts:
        for key, value in _settings(text.decode("utf-8", "replace")):
            if key == "ExecStart":
                words = split(value) or []
                if words:
                    words[0] = words[0].lstrip("@-:+!|")
                command = words
            elif key == "Environment":
                environment = [*environment, *(split(value) or [])] if value else []
            elif key == "EnvironmentFile":
                files = [*files, (value.removeprefix("-"), value.startswith("-"))] if value else []
    return UnitText(tuple(command), tuple(environment), tuple(files))


def _settings(text: str) -> Iterable[tuple[str, str]]:
    section, pending = "", ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith(("#", ";")):  # also between the lines of one setting
            continue
        if stripped.endswith("\\"):
            pending += stripped[:-1] + " "
            continue
        whole, pending = (pending + stripped).strip(), ""
        if whole.startswith("["):
            section = whole
        elif section == "[Service]" and "=" in whole:
            key, _, value = whole.partition("=")
            yield key.strip(), value.strip()
