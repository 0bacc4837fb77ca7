"""Changes an input as those do who write such files: a member of a JSON document, a line of a text, or just some bytes.

Bytes alone hardly ever leave a JSON document one, and so hardly ever reach what comes after the parser.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ODD = (
    *(None, True, False, 0, -1, 1.5, 1e308, float("inf"), float("nan"), 10**400),
    *("", " ", "0", "true", "2026-01-02T03:04:05Z", "a" * 300, "\x00", "\x1b[31m", "\n", "\ud800", "\u202e", "ü"),
    *("*", "..", "/", "%", "=", ":"),
    *([], {}, [None], [[]], {"": None}, [1, "a"]),
)
PIECES = (
    *(b"\\", b'"', b"'", b"$", b"${A}", b"%", b"#", b";", b":", b"=", b"- ", b"&a ", b"*a", b"|", b">-", b"~", b"//"),
    *(b"{", b"}", b"[", b"]", b"!!int ", b"---\n", b"\r\n", b"\n", b"\t", b" ", b"\\x41", b"\\101", b"\\u00e9"),
    *(b"\xef\xbb\xbf", b"\xff", b"\x00", b"\xc2\x85", b"\xe2\x80\xa8"),
)


class Mutator:
    """*mutate* is libFuzzer's own, for bytes."""

    def __init__(self, mutate: Callable[[bytes, int], bytes]) -> None:
        self._mutate = mutate

    def __call__(self, data: bytes, largest: int, seed: int) -> bytes:
        """Return *data* changed, with *largest* bytes at most."""
        chance = random.Random(seed)
        kind = chance.random()
        changed = None
        if kind < 0.5:
            changed = changed_json(data, chance)
        if changed is None and kind < 0.8:
            changed = changed_text(data, chance)
        if changed is None or len(changed) > largest:
            return self._mutate(data, largest)
        return changed


def changed_json(data: bytes, chance: random.Random) -> bytes | None:
    """Return *data* with one member of its JSON document changed, None if it holds none; what comes before it stays."""
    start = min((at for at in (data.find(b"{"), data.find(b"[")) if at >= 0), default=-1)
    if not 0 <= start <= 3:
        return None
    try:
        document = json.loads(data[start:])
    except (ValueError, RecursionError):
        return None
    places = list(_places(document))
    if not places:
        return None
    holder, key = chance.choice(places)
    act = chance.random()
    if act < 0.2:
        del holder[key]
    elif act < 0.4 and isinstance(holder, dict):
        holder[chance.choice([place for _, place in places if isinstance(place, str)])] = holder.pop(key)
    elif act < 0.5:
        holder[key] = [holder[key]] * chance.randint(1, 3)
    elif act < 0.65:
        other, place = chance.choice(places)
        holder[key] = json.loads(json.dumps(other[place]))
    elif act < 0.8 and isinstance(holder[key], str) and holder[key]:
        at = chance.randrange(len(holder[key]))
        odd = chance.choice(PIECES).decode("utf-8", "surrogateescape")
        holder[key] = holder[key][:at] + odd + holder[key][at + chance.randint(0, 1) :]
    else:
        holder[key] = chance.choice(ODD)
    try:
        return data[:start] + json.dumps(document).encode()
    except (ValueError, RecursionError):
        return None


def _places(value: Any, depth: int = 0):
    """Yield each member of *value* as its holder and its key there."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in list(members):
        yield value, key
        if depth < 12:
            yield from _places(member, depth + 1)


def changed_text(data: bytes, chance: random.Random) -> bytes:
    """Return *data* with a line taken out, doubled, moved or indented, or with a piece of syntax put in."""
    if chance.random() < 0.5:
        at = chance.randint(0, len(data))
        return data[:at] + chance.choice(PIECES) + data[at + chance.choice((0, 0, 1, 3)) :]
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    act = chance.randrange(5)
    if act == 0:
        del lines[at]
    elif act == 1:
        lines.insert(at, lines[at])
    elif act == 2:
        lines.insert(chance.randint(0, len(lines)), lines.pop(at))
    elif act == 3:
        lines[at] = b" " * chance.randint(1, 4) + lines[at]
    else:
        lines[at] = lines[at].lstrip()
    return b"\n".join(lines)
