r"""A file of ``EnvironmentFile=``, read as systemd reads it, and our flags in one of its variables.

A flag goes in where the value ends, quoted as the value is there: after ``\ `` where it is bare, so that a shell that
sources the file sees the same. So it can be told apart later and removed to the byte. The result is parsed again and
taken only if nothing else changed. Rules: systemd's src/basic/env-file.c and extract-word.c, 239 to 257.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.kubelet.process import flag_name
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MARK = b"# Added by aliyun-acr-credential-provider (taken out again by its command: node uninstall)"
LARGEST = 1 << 20

_BLANK, _NEWLINE = b" \t\n\r", (b"", b"\n", b"\r")
_NEEDS_ESCAPE = b'"\\`$'
_SPACES = re.compile(rb"[ \t]+")
_COMMENT = re.compile(rb"[#;](?:[^\n\r\\]|\\[\s\S]?)*")
_KEY = re.compile(rb"[\s\S][^\n\r=]*")
_BARE = re.compile(rb"(?:[^\n\r\\]|\\[\s\S]?)+")
_SINGLE = re.compile(rb"'([^']*)'")
_DOUBLE = re.compile(rb'"((?:[^"\\]|\\[\s\S])*)"')
_QUOTED_ESCAPE = re.compile(rb"\\([\s\S])")
_SAFE = re.compile(r"[A-Za-z0-9._/:=,@+-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One ``KEY=VALUE``: *start* is where its value begins in the file, *end* where it ends.

    *quote* is the quote around the value's last part, and *end* then its position; "" for a bare part.
    """

    key: bytes
    value: bytes
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class EnvironmentFile:
    """A file as systemd reads it; *name* is its path, for errors."""

    name: str
    data: bytes
    assignments: tuple[Assignment, ...]

    @classmethod
    def parse(cls, data: bytes, name: str = "the environment file") -> EnvironmentFile:
        """Read *data*; raise `ConfigurationError` if systemd refuses it, or its releases read it differently."""
        if len(data) > LARGEST or b"\0" in data:
            raise _refused(
                name,
                "has a NUL byte or is too large",
                Remedy("EnvironmentFileInvalid", "Remove it: systemd does not read the file."),
            )
        reader = _Reader(data)
        if reader.open_quote:
            raise _refused(name, "has a quote that is not closed", Remedy("EnvironmentFileInvalid", "Close it."))
        if reader.has_continued_comment:
            raise _refused(
                name,
                "has a comment that ends with a backslash, which systemd reads in two ways",
                Remedy(
                    "EnvironmentFileInvalid",
                    "Remove the backslash: since systemd 254 it no longer continues the comment.",
                ),
            )
        for assignment in reader.assignments:
            try:
                assignment.key.decode()
                assignment.value.decode()
            except UnicodeDecodeError:
                raise _refused(
                    name,
                    "is not UTF-8",
                    Remedy("EnvironmentFileInvalid", "Correct it: systemd does not read the file."),
                ) from None
        return cls(name, data, tuple(reader.assignments))

    def value(self, variable: str) -> str | None:
        """Return the value that systemd gives *variable*, None for none; the last assignment holds."""
        values = [item.value.decode() for item in self.assignments if item.key == variable.encode()]
        return values[-1] if values else None

    def with_flags(self, variable: str, flags: Mapping[str, str]) -> bytes:
        """Return the file with *flags* (``--NAME=VALUE``) at the end of *variable*, which may be new.

        Without a change, the very same bytes. Raises `ConfigurationError` where that cannot be done faithfully.
        """
        wanted = [f"--{name}={value}" for name, value in flags.items()]
        if not all(map(_SAFE.fullmatch, wanted)):
            raise _refused(
                self.name,
                "cannot hold a flag with such a value",
                Remedy("ArgumentInvalid", "Choose paths of plain letters."),
            )
        before = _words(self, variable)
        if [word for word in before if flag_name(word) in flags] == wanted:
            return self.data
        clean = EnvironmentFile.parse(self.without_flags(variable, flags), self.name)
        after = _added(clean, variable, wanted)
        _check(clean, after, variable, [*_words(clean, variable), *wanted])
        return after

    def without_flags(self, variable: str, names: Collection[str]) -> bytes:
        """Return the file without the flags of these *names* in *variable*; without a change, the very same bytes."""
        words = _words(self, variable)
        if two := next((word for word in words if flag_name(word) in names and "=" not in word), ""):
            raise _refused(
                self.name,
                f"gives a flag in {variable} as two words",
                Remedy("EnvironmentFileInvalid", f"Write it as --{flag_name(two)}=VALUE, or take it out."),
            )
        kept = [word for word in words if flag_name(word) not in names]
        if kept == words:
            return self.data
        pattern = "|".join(name.replace("-", "[-_]") for name in names)
        flag = re.compile(rf"(\\?[ \t])?--?(?:{pattern})=[^\s\"'\\]*".encode())
        data = self.data
        for item in reversed(self.assignments):
            if item.key == variable.encode():
                data = data[: item.start] + _without(flag, data[item.start : item.end]) + data[item.end :]
        data = _without_mark(data, variable.encode())
        _check(self, data, variable, kept)
        return data


class _Reader:
    """Reads the bytes of a file as systemd's state machine does."""

    def __init__(self, data: bytes) -> None:
        self.assignments: list[Assignment] = []
        self.has_continued_comment = False
        self.open_quote = False
        self._data = data
        at = 0
        while at < len(data):
            if comment := _COMMENT.match(data, at):
                pairs = re.findall(rb"\\[\s\S]", comment[0])
                self.has_continued_comment |= b"\\\n" in pairs or b"\\\r" in pairs
                at = comment.end()
            elif data[at : at + 1] in _BLANK:
                at += 1
            else:
                at = self._assignment(at)

    def _assignment(self, start: int) -> int:
        at = _end(_KEY, self._data, start)
        if self._data[at : at + 1] != b"=":  # systemd ignores such a line
            return at
        return self._value(self._data[start:at].rstrip(_BLANK), at + 1)

    def _value(self, key: bytes, start: int) -> int:
        """Read a value: any number of quoted parts, then a bare one to the line's end."""
        data = self._data
        at, end, value, quote = _end(_SPACES, data, start), start, b"", ""
        while data[at : at + 1] in (b"'", b'"'):
            quote = data[at : at + 1].decode()
            part = (_DOUBLE if quote == '"' else _SINGLE).match(data, at)
            if part is None:
                self.open_quote = True
                return len(data)
            value += _QUOTED_ESCAPE.sub(_unquoted, part[1]) if quote == '"' else part[1]
            end = part.end() - 1
            at = _end(_SPACES, data, part.end())
        line_end = _end(_BARE, data, at)
        if line_end > at:
            bare = data[at:line_end].rstrip(b" \t")
            is_escaped = (len(bare) - len(bare.rstrip(b"\\"))) % 2  # then its first space is a part of the value
            bare = data[at : min(at + len(bare) + is_escaped, line_end)]
            value += re.sub(rb"\\([\s\S]?)", lambda pair: b"" if pair[1] in _NEWLINE else pair[1], bare)
            end, quote = at + len(bare), ""
        self.assignments.append(Assignment(key, value, start, end, quote))
        return line_end


def _end(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    match = pattern.match(data, at)
    return match.end() if match else at


def _unquoted(pair: re.Match[bytes]) -> bytes:
    if pair[1] == b"\n":
        return b""
    return pair[1] if pair[1] in _NEEDS_ESCAPE else pair[0]


def split(value: str) -> list[str] | None:
    """Return the words that systemd makes of ``$VARIABLE`` in a command line, None if a quote is not closed.

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
    setters = [item for item in file.assignments if item.key == variable.encode()]
    if len(setters) > 1:
        raise _refused(
            file.name,
            f"sets {variable} more than once",
            Remedy("EnvironmentFileInvalid", "Keep the last one: it is the one that holds."),
        )
    if any(item.key.split()[-1:] == [variable.encode()] and item not in setters for item in file.assignments):
        raise _refused(
            file.name,
            f"sets {variable} with a word before it",
            Remedy("EnvironmentFileInvalid", "Take it away: systemd ignores the line."),
        )
    words = split(setters[0].value.decode()) if setters else []
    if words is None:
        raise _refused(
            file.name,
            f"has a quote inside of {variable} that is not closed",
            Remedy("EnvironmentFileInvalid", "Close it."),
        )
    return words


def _added(file: EnvironmentFile, variable: str, flags: list[str]) -> bytes:
    setter = next((item for item in file.assignments if item.key == variable.encode()), None)
    if setter is None:
        line = MARK + b"\n" + f'{variable}="{" ".join(flags)}"'.encode()
        is_whole = not file.data or file.data.endswith(b"\n")
        return file.data + (line + b"\n" if is_whole else b"\n" + line)
    gap = b" " if setter.quote else b"\\ "
    text = gap.join(flag.encode() for flag in flags)
    if setter.value:
        text = gap + text
    return file.data[: setter.end] + text + file.data[setter.end :]


def _check(file: EnvironmentFile, data: bytes, variable: str, words: list[str]) -> None:
    """Raise unless *data* has the assignments of *file*, and *words* as the value of *variable*."""
    after = EnvironmentFile.parse(data, file.name)
    before, now = (
        [(item.key, item.value) for item in version.assignments if item.key != variable.encode()]
        for version in (file, after)
    )
    if before != now or _words(after, variable) != words:
        raise _refused(
            file.name,
            f"has {variable} in a form that we cannot change without changing its meaning",
            Remedy("EnvironmentFileInvalid", f'Write it as {variable}="..." in one line.'),
        )


def _without(flag: re.Pattern[bytes], text: bytes) -> bytes:
    """Return *text* without the matches of *flag*; of the first word, the gap behind it goes too."""
    while match := flag.search(text):
        end = match.end()
        if match[1] is None:
            gap = re.match(rb"\\?[ \t]", text[end:])
            end += gap.end() if gap else 0
        text = text[: match.start()] + text[end:]
    return text


def _without_mark(data: bytes, variable: bytes) -> bytes:
    """Return *data* without the line that we added, once nothing is left in it."""
    line = MARK + b"\n" + variable + b'=""'
    if data.endswith(b"\n" + line):
        return data.removesuffix(b"\n" + line)
    return data.replace(line + b"\n", b"", 1)


def _refused(name: str, what: str, remedy: Remedy) -> ConfigurationError:
    return ConfigurationError(f"{name} {what}", remedy=remedy)
