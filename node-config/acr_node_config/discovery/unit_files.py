"""Parses unit files, for where systemd cannot be asked: while an image is made, without D-Bus. Pure.

Only the settings that decide where the kubelet's flags come from. Rules: systemd.unit(5), .service(5), .exec(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
    """``ExecStart=``, ``Environment=`` (NAME=VALUE each), ``EnvironmentFile=`` (path, and whether it may be absent).

    *passed* are the names of ``PassEnvironment=``, *unset* those of ``UnsetEnvironment=``, or NAME=VALUE there.
    """

    command: tuple[str, ...] = field(default=(), repr=False)
    environment: tuple[str, ...] = field(default=(), repr=False)
    files: tuple[tuple[str, bool], ...] = ()
    passed: tuple[str, ...] = ()
    unset: tuple[str, ...] = field(default=(), repr=False)


_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=", re.ASCII)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "} | {
    letter: letter for letter in "\\\"'"
}
_ESCAPE = re.compile(
    r"[abfnrtvs\\\"']|x(?!00)[0-9a-fA-F]{2}|u(?!0000)[0-9a-fA-F]{4}|U000(?!00000)[0-9a-fA-F]{5}"
    r"|[0-3](?!00)[0-7]{2}|[1-3]00"
)
_SPECIFIERS = {
    "%": "%",
    "t": "/run",
    "S": "/var/lib",
    "C": "/var/cache",
    "L": "/var/log",
    "E": "/etc",
    "h": "/root",
    "u": "root",
    "U": "0",
}
"""Those of the system's own manager that are the same everywhere."""


def ordered(names: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the drop-ins (folder, name) in the order they are read: by name, of two of one name the first folder's.

    >>> ordered([("/etc/x.d", "20.conf"), ("/usr/x.d", "10.conf"), ("/usr/x.d", "20.conf"), ("/etc/x.d", "note")])
    [('/usr/x.d', '10.conf'), ('/etc/x.d', '20.conf')]
    """
    drop_ins: dict[str, tuple[str, str]] = {}
    for folder, name in names:
        if name.endswith(".conf"):
            drop_ins.setdefault(name, (folder, name))
    return [drop_ins[name] for name in sorted(drop_ins)]


def parse(texts: Sequence[bytes], name: str = "") -> UnitText:
    r"""Return what the file of the unit *name* and its drop-ins, in this order, come to.

    >>> first = b"[Service]\nExecStart=/a\nEnvironmentFile=-/e/%N\n"
    >>> unit = parse([first, b"[Service]\nExecStart=\nExecStart=-/b $Y\n"], "k.service")
    >>> unit.command, unit.files
    (('/b', '$Y'), (('/e/k', True),))
    """
    lists: dict[str, list[str]] = {key: [] for key in ("Environment", "PassEnvironment", "UnsetEnvironment")}
    command: list[str] = []
    files: list[tuple[str, bool]] = []
    for text in texts:
        for key, value in _settings(text.decode("utf-8", "surrogateescape")):
            if key == "ExecStart":
                command = _command(value, name)
            elif key in lists:
                words = [expanded(word, name) for word in extract(value)[0]]
                lists[key] = [*lists[key], *words] if value else []
            elif key == "EnvironmentFile":
                path = _simple(expanded(value.removeprefix("-"), name))
                known = files if value else []
                files = [*known, (path, value.startswith("-"))] if path.startswith(("/", "%")) else known
    return UnitText(
        tuple(command),
        tuple(word for word in lists["Environment"] if _ASSIGNMENT.match(word)),
        tuple(files),
        tuple(lists["PassEnvironment"]),
        tuple(lists["UnsetEnvironment"]),
    )


def parted(text: str) -> list[bytes]:
    """Return the files that ``systemctl cat`` wrote one after the other."""
    return [part.encode("utf-8", "surrogateescape") for part in re.split(r"^# /\S.*$", text, flags=re.MULTILINE)]


def extract(text: str, escaped: str = "") -> tuple[list[str], bool]:
    r"""Return the words of *text* as systemd takes a setting apart, and whether it takes all of it.

    *escaped* are letters that may stand after a backslash besides those of C.

    >>> extract(r"a 'b c'd e\tf\x20g")
    (['a', 'b cd', 'e\tf g'], True)
    >>> extract("a 'b")
    (['a'], False)
    """
    words, is_whole = _extract(text, escaped)
    return [word for _, word in words], is_whole


def _extract(text: str, escaped: str = "") -> tuple[list[tuple[int, str]], bool]:
    """Return the same, each word with where it begins."""
    words: list[tuple[int, str]] = []
    word: str | None = None
    quote, at, start = "", 0, 0
    while at < len(text):
        letter, at = text[at], at + 1
        start = at - 1 if word is None else start
        if letter == "\\":
            piece, at = _escape(text, at, escaped)
            if not piece:
                return words, False
            word = (word or "") + piece
        elif letter == quote:
            quote = ""
        elif quote or letter not in "'\" \t\n\r":
            word = (word or "") + letter
        elif letter in "'\"":
            word, quote = word or "", letter
        elif word is not None:
            words.append((start, _as_utf8(word)))
            word = None
    if quote:
        return words, False
    return words if word is None else [*words, (start, _as_utf8(word))], True


def expanded(text: str, name: str) -> str:
    """Return *text* with the specifiers of the unit *name* replaced, those aside that only systemd knows.

    >>> expanded("/etc/default/%p-%i%%%H", "kubelet@a.service")
    '/etc/default/kubelet-a%%H'
    """
    whole = name.rpartition(".")[0]
    prefix, _, instance = whole.partition("@")
    values = _SPECIFIERS | ({"n": name, "N": whole, "p": prefix, "i": instance} if name else {})
    if not set(prefix) & set("-\\"):
        values |= {"P": prefix, "j": prefix} if name else {}
    if not set(instance) & set("-\\"):
        values |= {"I": instance} if name else {}
    return re.sub("%(.)", lambda match: values.get(match[1], match[0]), text)


def _command(value: str, name: str) -> list[str]:
    """Return the words of the first command in an ``ExecStart=``, as a process has them: the path is its first word."""
    words = []
    for start, word in _extract(value)[0]:
        if word == ";" and value[start] == ";":  # another command follows
            break
        words.append(";" if word == value[start : start + 2] == "\\;" else expanded(word, name))
    if not words:
        return []
    prefix = words[0][: len(words[0]) - len(words[0].lstrip("@-:+!|"))]
    words[0] = words[0][len(prefix) :]
    return words[1:] if "@" in prefix else words


def _simple(path: str) -> str:
    return re.sub(r"/(?:\.?/)+", "/", path)


def _as_utf8(word: str) -> str:
    """Return *word* with the bytes that were escaped one by one put together."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def _escape(text: str, at: int, escaped: str) -> tuple[str, int]:
    """Return what a backslash before *at* means, and where that ends; nothing at the end of *text*."""
    match = _ESCAPE.match(text, at)
    if match:
        return _unescaped(match), match.end()
    if text[at : at + 1] and text[at] in escaped:
        return text[at], at + 1
    return ("\\" if at < len(text) else ""), at  # systemd says so in its log, and leaves it as it is


def _unescaped(match: re.Match[str]) -> str:
    text = match[0]
    if text[0] in _LETTERS:
        return _LETTERS[text[0]]
    code = int(text, 8) if text[0].isdigit() else int(text[1:], 16)
    if text[0] in "uU":
        return chr(code)
    return bytes([code]).decode("utf-8", "surrogateescape")


def _settings(text: str) -> Iterable[tuple[str, str]]:
    section, pending = "", ""
    for line in text.split("\n"):
        stripped = line.lstrip()
        if stripped.startswith(("#", ";")):  # also between the lines of one setting
            continue
        if (len(stripped) - len(stripped.rstrip("\\"))) % 2:  # two of them are one that is meant
            pending += stripped[:-1] + " "
            continue
        whole, pending = (pending + stripped).strip(), ""
        if whole.startswith("["):
            section = whole
        elif section == "[Service]" and "=" in whole:
            key, _, value = whole.partition("=")
            yield key.strip(), value.strip()
