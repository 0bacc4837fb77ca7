r"""A file of ``EnvironmentFile=``, read as systemd reads it, and flags of ours in one of its variables.

A flag goes in where the value ends, in the way that the value is quoted there: ``\ `` before it where
nothing is, so that a shell that sources the file sees the same. So it can be told apart later
and taken out again to the byte. What comes out is read again and believed only if nothing
else changed. Rules: systemd's src/basic/env-file.c and extract-word.c, 239 to 257.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.model.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MARK = b"# Added by aliyun-acr-credential-provider (taken out again by its command: node uninstall)"
LARGEST = 1 << 20

_BLANK, _NEWLINE, _COMMENT = b" \t\n\r", b"\n\r", b"#;"
_NEEDS_ESCAPE = b'"\\`$'
_SAFE = re.compile(r"[A-Za-z0-9._/:=,@+-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One ``KEY=VALUE``: *start* is where its value begins in the file, *end* where it ends.

    *quote* is what the value's last part stands in: a quote, which *end* then is the place of, or "".
    """

    key: bytes
    value: bytes
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class EnvironmentFile:
    """A file as systemd reads it; *name* is its path, for the words of an error."""

    name: str
    data: bytes
    assignments: tuple[Assignment, ...]

    @classmethod
    def parse(cls, data: bytes, name: str = "the environment file") -> EnvironmentFile:
        """Read *data*; raise `ConfigurationError` for what systemd refuses or its releases read differently."""
        if len(data) > LARGEST or b"\0" in data:
            raise _refused(name, "has a NUL byte or is too large", "Remove it: systemd does not read the file.")
        found = _Reader(data)
        if found.open_quote:
            raise _refused(name, "has a quote that is not closed", "Close it.")
        if found.has_continued_comment:
            raise _refused(
                name,
                "has a comment that ends with a backslash, which systemd reads in two ways",
                "Remove the backslash: since systemd 254 it no longer continues the comment.",
            )
        for each in found.assignments:
            try:
                each.key.decode()
                each.value.decode()
            except UnicodeDecodeError:
                raise _refused(name, "is not UTF-8", "Correct it: systemd does not read the file.") from None
        return cls(name, data, tuple(found.assignments))

    def value(self, variable: str) -> str | None:
        """Return what systemd sets *variable* to, None when it does not; the last assignment holds."""
        values = [each.value.decode() for each in self.assignments if each.key == variable.encode()]
        return values[-1] if values else None

    def with_flags(self, variable: str, flags: Mapping[str, str]) -> bytes:
        """Return the file with ``--NAME=VALUE`` of each of *flags* at the end of *variable*, which may be new.

        Nothing to change: the very same bytes. Raises `ConfigurationError` where that cannot be done faithfully.
        """
        wanted = [f"--{name}={value}" for name, value in flags.items()]
        if not all(map(_SAFE.fullmatch, wanted)):
            raise _refused(self.name, "cannot hold a flag with such a value", "Choose paths of plain letters.")
        before = _words(self, variable)
        own = tuple(f"--{name}" for name in flags)
        if [word for word in before if word.split("=")[0] in own] == wanted:
            return self.data
        clean = EnvironmentFile.parse(self.without_flags(variable, flags), self.name)
        after = _added(clean, variable, wanted)
        _check(clean, after, variable, [*_words(clean, variable), *wanted])
        return after

    def without_flags(self, variable: str, names: Collection[str]) -> bytes:
        """Return the file without the flags of these *names* in *variable*; without them there the very same bytes."""
        words = _words(self, variable)
        own = tuple(f"--{name}" for name in names)
        if any(word in own for word in words):
            raise _refused(
                self.name,
                f"gives a flag in {variable} as two words",
                f"Write it as {own[0]}=VALUE, or take it out.",
            )
        kept = [word for word in words if word.split("=")[0] not in own]
        if kept == words:
            return self.data
        pattern = "|".join(map(re.escape, own))
        flag = re.compile(rf"(\\?[ \t])?(?:{pattern})=[^\s\"'\\]*".encode())
        data = self.data
        for each in reversed(self.assignments):
            if each.key == variable.encode():
                data = data[: each.start] + _without(flag, data[each.start : each.end]) + data[each.end :]
        data = _without_mark(data, variable.encode())
        _check(self, data, variable, kept)
        return data


class _Reader:
    """systemd's state machine over the bytes of a file."""

    def __init__(self, data: bytes) -> None:
        self.assignments: list[Assignment] = []
        self.has_continued_comment = False
        self.open_quote = False
        self._data = data
        at = 0
        while at < len(data):
            letter = data[at : at + 1]
            if letter in _COMMENT:
                at = self._comment(at)
            elif letter in _BLANK:
                at += 1
            else:
                at = self._assignment(at)

    def _comment(self, at: int) -> int:
        while at < len(self._data) and self._data[at : at + 1] not in _NEWLINE:
            if self._data[at : at + 1] == b"\\":
                at += 1
                self.has_continued_comment |= self._data[at : at + 1] in (b"\n", b"\r")
            at += 1
        return at

    def _assignment(self, at: int) -> int:
        start = at
        at += 1  # whatever it is, it belongs to the key
        while at < len(self._data) and self._data[at : at + 1] not in _NEWLINE + b"=":
            at += 1
        key = self._data[start:at].rstrip(_BLANK)
        if self._data[at : at + 1] != b"=":  # a line without one says nothing
            return at
        return self._value(key, at + 1)

    def _value(self, key: bytes, start: int) -> int:
        """Read a value: quoted parts first, as many as there are, then one that is not quoted, to the line's end."""
        data, at = self._data, start
        value, end, quote = bytearray(), start, ""
        while at < len(data) and data[at : at + 1] not in _NEWLINE:
            letter = data[at : at + 1]
            if letter in b" \t":
                at += 1
            elif letter in b"'\"":
                quote = letter.decode()
                at = self._quoted(at + 1, letter, value)
                end = at - 1
            else:
                at, end = self._bare(at, value)
                quote = ""
                break
        self.assignments.append(Assignment(key, bytes(value), start, end, quote))
        return at

    def _quoted(self, at: int, quote: bytes, value: bytearray) -> int:
        data = self._data
        while at < len(data):
            letter = data[at : at + 1]
            at += 1
            if letter == quote:
                return at
            if letter == b"\\" and quote == b'"':
                escaped = data[at : at + 1]
                at += 1
                if escaped == b"\n":
                    continue
                letter = escaped if escaped in _NEEDS_ESCAPE else letter + escaped
            value += letter
        self.open_quote = True
        return at

    def _bare(self, at: int, value: bytearray) -> tuple[int, int]:
        """Return where the line ends, and where the value does: white space behind it is none of it."""
        data, end, length = self._data, at, len(value)
        while at < len(data) and data[at : at + 1] not in _NEWLINE:
            letter = data[at : at + 1]
            at += 1
            if letter == b"\\":
                letter = data[at : at + 1]
                at += 1
                value += b"" if letter in _NEWLINE else letter
                end, length = min(at, len(data)), len(value)
            else:
                value += letter
                if letter not in _BLANK:
                    end, length = at, len(value)
        del value[length:]
        return at, end


def split(value: str) -> list[str] | None:
    """Return the words that systemd makes of ``$VARIABLE`` in a command line, None when a quote is not closed.

    >>> split("--a=b  --c='d e'"), split("'")
    (['--a=b', '--c=d e'], None)
    """
    words: list[str] = []
    word: str | None = None
    quote, is_escaped = "", False
    for letter in value:
        if is_escaped:
            word, is_escaped = (word or "") + letter, False
        elif letter == "\\":  # in single quotes too
            word, is_escaped = word or "", True
        elif quote:
            if letter == quote:
                quote = ""
            else:
                word = (word or "") + letter
        elif letter in "'\"":
            word, quote = word or "", letter
        elif letter in " \t\n\r":
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + letter
    if quote or is_escaped:
        return None
    return words if word is None else [*words, word]


def _words(file: EnvironmentFile, variable: str) -> list[str]:
    """Return the words that systemd makes of *variable* in a command line."""
    meant = [each for each in file.assignments if each.key == variable.encode()]
    if len(meant) > 1:
        raise _refused(file.name, f"sets {variable} more than once", "Keep the last one: it is the one that holds.")
    if any(each.key.split()[-1:] == [variable.encode()] and each not in meant for each in file.assignments):
        raise _refused(file.name, f"sets {variable} with a word before it", "Take it away: systemd ignores the line.")
    words = split(meant[0].value.decode()) if meant else []
    if words is None:
        raise _refused(file.name, f"has a quote inside of {variable} that is not closed", "Close it.")
    return words


def _added(file: EnvironmentFile, variable: str, flags: list[str]) -> bytes:
    meant = next((each for each in file.assignments if each.key == variable.encode()), None)
    if meant is None:
        line = MARK + b"\n" + f'{variable}="{" ".join(flags)}"'.encode()
        is_whole = not file.data or file.data.endswith(b"\n")
        return file.data + (line + b"\n" if is_whole else b"\n" + line)
    gap = b" " if meant.quote else b"\\ "
    text = gap.join(flag.encode() for flag in flags)
    if meant.value:
        text = gap + text
    return file.data[: meant.end] + text + file.data[meant.end :]


def _check(file: EnvironmentFile, data: bytes, variable: str, words: list[str]) -> None:
    """Raise unless *data* says what this file says, but for *variable*, which has these *words*."""
    after = EnvironmentFile.parse(data, file.name)
    others = [[(each.key, each.value) for each in each_file.assignments] for each_file in (file, after)]
    others = [[pair for pair in pairs if pair[0] != variable.encode()] for pairs in others]
    if others[0] != others[1] or _words(after, variable) != words:
        raise _refused(
            file.name,
            f"has {variable} in a form that we cannot change without changing its meaning",
            f'Write it as {variable}="..." in one line.',
        )


def _without(flag: re.Pattern[bytes], text: bytes) -> bytes:
    """Return *text* without what *flag* matches; the first word takes the gap behind it along."""
    while found := flag.search(text):
        end = found.end()
        if found[1] is None:
            gap = re.match(rb"\\?[ \t]", text[end:])
            end += gap.end() if gap else 0
        text = text[: found.start()] + text[end:]
    return text


def _without_mark(data: bytes, variable: bytes) -> bytes:
    """Return *data* without the line that we added, once nothing is left in it."""
    line = MARK + b"\n" + variable + b'=""'
    if data.endswith(b"\n" + line):
        return data.removesuffix(b"\n" + line)
    return data.replace(line + b"\n", b"", 1)


def _refused(name: str, what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"{name} {what}", remedy=remedy)
