"""The pieces private to CPython that the fast lane lives on, each with its public fallback.

``import json`` and ``import hashlib`` cost more than everything else a cache hit does, so
their C halves are used directly. Nothing outside this file does so; a contract test runs
both ways on each supported version and compares.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from hashlib import sha256
    from typing import Any

    make_scanner: Callable[[Any], Callable[[str, int], tuple[object, int]]] | None
else:
    try:
        from _json import make_scanner
    except ImportError:  # another Python, or a CPython that moved it
        make_scanner = None
    try:
        from _sha256 import sha256  # CPython 3.11
    except ImportError:
        try:
            from _sha2 import sha256  # CPython 3.12 and newer
        except ImportError:
            from hashlib import sha256

BLANK = " \t\n\r"  # what JSON calls white space; str.strip() would take more


def _refuse(constant: str) -> float:
    raise ValueError(constant)


class _Scanning:
    """What the C scanner reads its behaviour from: strict JSON, no NaN, plain values."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_refuse)


def parse_json(text: str) -> object:
    """Return the value of the one JSON document in *text*, or raise ``ValueError``."""
    if make_scanner is None:
        from json import loads  # noqa: PLC0415 - only where the C scanner is absent

        value: object = loads(text, parse_constant=_refuse)
        return value
    begun = text.lstrip(BLANK)
    try:
        value, end = make_scanner(_Scanning)(begun, 0)
    except (StopIteration, RecursionError, SystemError):
        # SystemError: CPython 3.11 finds no exception to raise while json.decoder is not loaded.
        raise ValueError("not a JSON document") from None
    if begun[end:].strip(BLANK):
        raise ValueError("text after the JSON document")
    return value


def checksum(data: bytes) -> str:
    """Return the SHA-256 of *data* in hex."""
    return sha256(data).hexdigest()


def hexdigest(text: str) -> str:
    """Return the SHA-256 of *text* in hex: the name of a memo, never a password's hash."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
