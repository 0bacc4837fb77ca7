"""Makes text that others chose one short, printable line.

Names of files, keys, hosts and objects, and the output of other programs, may hold line ends, escape sequences of a
terminal, marks that turn the direction of writing, or bytes that are no text. In a log or status those could forge a
line or hide one. Without ``re`` and ``unicodedata``, because every error goes through here.
"""

from itertools import pairwise

LONGEST = 2000
"""Characters; a remedy with a command of ours has at most a few hundred."""
LONGEST_KEY = 40
UNNAMED_KEY = "a key"
"""What a key that may be something else is called."""

_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {chr(code) for code in range(0xFE00, 0xFE10)}
"""Letters and marks that show nothing, although Unicode counts them as printable."""
_IN_KEYS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-")
_MOST_DIGITS, _MOST_HUMPS = 3, 4
"""Of a field's name, such as optionalServiceAccountAnnotationKeys; random letters have more."""


def plain_text(text: str, longest: int = LONGEST) -> str:
    r"""Return *text* as one line of printable characters, cut to *longest* of them.

    White space becomes a space; what cannot be seen is written out.

    >>> plain_text("two\nlines\x1b[31m \u202etxt.exe \udcff")
    'two lines\\x1b[31m \\u202etxt.exe \\xff'
    """
    if len(text) <= longest and text.isascii() and text.isprintable():
        return text
    # Bounded first: what is cut off later need not be looked at.
    words = " ".join("".join(map(_visible, text[: 4 * longest])).split())
    is_whole = len(words) <= longest and len(text) <= 4 * longest
    return words if is_whole else words[: longest - 3].rstrip() + "..."


def cut(text: str, most: int) -> bytes:
    """Return *text* in UTF-8, in no more than *most* bytes and without half a character at its end.

    >>> cut("\u4e2d\u6587", 5).decode()
    '\u4e2d'
    """
    data = text.encode("utf-8", "backslashreplace")
    return data if len(data) <= most else data[:most].decode("utf-8", "ignore").encode()


def key_name(key: object) -> str:
    """Return *key*, of a file or request of others, if it looks like the name of a field; else `UNNAMED_KEY`.

    A file that was named by mistake, or a value in the wrong place, must not be repeated: it may be a secret.

    >>> key_name("matchImages"), key_name("admin s3cr3t"), key_name("wJalr4XUtnFEMI7K7MDEN6bPx")
    ('matchImages', 'a key', 'a key')
    """
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY or not _IN_KEYS.issuperset(key):
        return UNNAMED_KEY
    digits = sum(letter.isdigit() for letter in key)
    humps = sum(before.islower() and after.isupper() for before, after in pairwise(key))
    return key if key[0].isalpha() and digits <= _MOST_DIGITS and humps <= _MOST_HUMPS else UNNAMED_KEY


def _visible(letter: str) -> str:
    if letter.isspace():  # line ends of all kinds too
        return " "
    if letter.isprintable() and letter not in _UNSEEN:
        return letter
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
