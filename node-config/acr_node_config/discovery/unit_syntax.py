"""The syntax of unit files, as systemd's conf-parser.c and extract-word.c read it (239 to 257). Pure.

Lines end with LF, CR or both; white space is these, blank and tab, and nothing else. A file is read up to a
line that is not UTF-8.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from acr_node_config.model.command_line import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

BLANKS = " \t\n\r"
_BLANK = frozenset(BLANKS)

_LINE_END = re.compile(rb"\n\r?\0?|\r\n?\0?|\0")
_LAST_TWO = "".join(chr((plane << 16) + 0xFFFE + at) for plane in range(17) for at in (0, 1))
_NOT_TEXT = re.compile(f"[\\ud800-\\udfff\\ufdd0-\\ufdef{_LAST_TWO}]")
"""Bytes that are not UTF-8, and noncharacters of Unicode, which systemd refuses like those."""
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "} | {
    letter: letter for letter in "\\\"'"
}
_ESCAPE = re.compile(
    r"[abfnrtvs\\\"']|x(?!00)[0-9a-fA-F]{2}|u(?!0000|[dD][89a-fA-F])[0-9a-fA-F]{4}"
    r"|U00(?!000000|00[dD][89a-fA-F])(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4}|[0-3](?!00)[0-7]{2}|[1-3]00"
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


class BrokenFileError(Exception):
    """systemd reads this file no further; what it read of a drop-in until then counts."""


def is_text(text: str) -> bool:
    """True if *text* is UTF-8 to systemd; bytes that are not are surrogates in it."""
    return not _NOT_TEXT.search(text)


def settings(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the settings (key, value) of the section Service, in order; raise `BrokenFileError` where that ends."""
    section = ""
    for line in (line.strip(BLANKS) for line in _joined_lines(data)):
        if not is_text(line):
            raise BrokenFileError
        if line.startswith("["):
            if not line.endswith("]") or any(ord(letter) < 32 or letter in "\x7f\\\"'" for letter in line):
                raise BrokenFileError
            section = line
        elif section == "[Service]" and "=" in line:
            key, _, value = line.partition("=")
            yield key.strip(BLANKS), value.strip(BLANKS)


def _joined_lines(data: bytes) -> Iterator[str]:
    """Yield the lines, comments aside; one that ends with a backslash goes on in the next line that is no comment."""
    pending: list[str] = []
    has_mark = False
    lines = _LINE_END.split(data)
    for line in lines[:-1] if not lines[-1] else lines:
        text = line.decode("utf-8", "surrogateescape")
        if text.lstrip(BLANKS).startswith(("#", ";")):
            continue
        if not has_mark and text.startswith("\ufeff"):
            text, has_mark = text[1:], True
        if (len(text) - len(text.rstrip("\\"))) % 2:  # two of them are one that is meant
            pending.append(text[:-1] + " ")
            continue
        yield "".join([*pending, text])
        pending = []
    yield "".join(pending)


def extract(text: str, escaped: str = "", *, keeps_unknown: bool = True) -> tuple[list[str], bool]:
    r"""Return the words of *text* as systemd takes a setting apart, and whether it takes all of it.

    *escaped* are letters that may stand after a backslash besides those of C. Any other backslash is kept with what
    follows it, or ends the reading where not *keeps_unknown*.

    >>> extract(r"a 'b c'd e\tf\x20g h\ i")
    (['a', 'b cd', 'e\tf g', 'h\\ i'], True)
    >>> extract("a 'b"), extract(r"a b\c", keeps_unknown=False)
    ((['a'], False), (['a'], False))
    """
    words: list[str] = []
    at = 0
    while True:
        word, at = next_word(text, at, escaped, keeps_unknown=keeps_unknown)
        if word is None:
            return words, at == len(text)
        words.append(word)


def next_word(text: str, at: int, escaped: str = "", *, keeps_unknown: bool = True) -> tuple[str | None, int]:
    """Return the word of *text* from *at* on, and where the next one begins.

    None is returned at the end of *text*, and with a place before it if what is there is no word to systemd.
    """
    word: str | None = None
    quote, start = "", at
    while at < len(text):
        letter, at = text[at], at + 1
        if letter == "\\" and at == len(text) and not quote and keeps_unknown:
            word = (word or "") + letter  # the last one of all stands for itself
        elif letter == "\\":
            piece, at = _escape(text, at, escaped, keeps_unknown=keeps_unknown)
            if not piece:
                return None, min(start, len(text) - 1)
            word = (word or "") + piece
        elif letter == quote:
            quote = ""
        elif quote or letter not in "'\"" + BLANKS:
            word = (word or "") + letter
        elif letter in "'\"":
            word, quote = word or "", letter
        elif word is not None:
            return _as_utf8(word), after_blanks(text, at)
    if quote:
        return None, min(start, len(text) - 1)
    return (None if word is None else _as_utf8(word)), len(text)


def after_blanks(text: str, at: int) -> int:
    """Return where the white space of *text* at *at* ends."""
    while text[at : at + 1] in _BLANK:
        at += 1
    return at


def _as_utf8(word: str) -> str:
    """Return *word* with the bytes that were escaped one by one put together."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def _escape(text: str, at: int, escaped: str, *, keeps_unknown: bool) -> tuple[str, int]:
    """Return what a backslash before *at* means, and where that ends; "" if nothing, which ends the reading."""
    match = _ESCAPE.match(text, at)
    if match:
        return _unescaped(match[0]), match.end()
    if text[at : at + 1] and text[at] in escaped:
        return text[at], at + 1
    is_kept = keeps_unknown and at < len(text)
    return ("\\" + text[at] if is_kept else ""), at + 1


def _unescaped(text: str) -> str:
    if text[0] in _LETTERS:
        return _LETTERS[text[0]]
    code = int(text, 8) if text[0].isdigit() else int(text[1:], 16)
    if text[0] in "uU":
        return chr(code)
    return bytes([code]).decode("utf-8", "surrogateescape")


def expanded(text: str, name: str) -> str:
    r"""Return *text* with the specifiers of the unit *name* replaced; those that only systemd knows are marked.

    >>> expanded("/etc/default/%p-%i%%%H", "kubelet@a.service")
    '/etc/default/kubelet-a%\x00H'
    """
    values = _SPECIFIERS | (_of_name(name) if name else {})

    def replaced(match: re.Match[str]) -> str:
        letter = match[1]
        if letter in values:
            return values[letter]
        return UNKNOWN + letter if letter.isascii() and letter.isalnum() else match[0]

    return re.sub("%(.)", replaced, text, flags=re.DOTALL)


def _of_name(name: str) -> dict[str, str]:
    whole = name.rpartition(".")[0]
    prefix, _, instance = whole.partition("@")
    last = prefix.rpartition("-")[2]
    values = {"n": name, "N": whole, "p": prefix, "i": instance, "j": last}
    return values | {"P": _unescaped_name(prefix), "I": _unescaped_name(instance), "J": _unescaped_name(last)}


def _unescaped_name(name: str) -> str:
    r"""Return *name* as systemd-escape --unescape does.

    >>> _unescaped_name("a-b\\x2dc")
    'a/b-c'
    """
    text = name.replace("-", "/")
    return _as_utf8(re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: _unescaped(f"x{match[1]}"), text))
