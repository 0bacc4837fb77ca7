"""YAML as people paste it: repaired where only one reading is left, refused with a hint elsewhere.

Web pages turn spaces into non-breaking ones and quotes into typographic ones; their samples have ``//`` comments and
colons without a space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.remedy import Remedy

from .located_yaml import UnreadableError

_ODD_SPACES = "\u00a0\u2002\u2003\u2007\u2009\u202f\u3000"
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
QUOTES = "\u201c\u201d\u201e\uff02\u2018\u2019\uff07"
_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'"
_OPENS_JSON = re.compile(r"\s*[\[{]\s*(?:[\"\[{].*)?$")
"""A line that starts JSON; in YAML, a line may start so only as a value of its own."""
_SLASHES = "a // comment was left out: YAML's sign is #"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was read in another way than it is written; *line* is the first line concerned."""

    line: int
    what: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"line {self.line}: {self.what}"


class Repairer:
    """Repairs lines of the form ``key: value`` with a key of *keys*; the number of lines stays.

    The values of *opaque* keys are secrets, which may look like anything: no comment is guessed in them.
    """

    def __init__(self, keys: frozenset[str], *, opaque: frozenset[str] = frozenset()) -> None:
        name = "|".join(sorted(map(re.escape, keys), key=len, reverse=True))
        self._line = re.compile(
            rf"(?P<indent>\s*)(?P<dash>-\s*)?(?P<quote>[\"']?)(?P<key>{name})(?P=quote)\s*(?P<colon>[:\uff1a])(?P<rest>.*)",
            re.IGNORECASE,
        )
        self._opaque = {key.lower() for key in opaque}

    def repair(self, text: str, *, first_line: int = 1) -> tuple[str, list[Change]]:
        """Return *text* repaired, and the repairs; raise `UnreadableError` for a line with two possible readings.

        >>> repairer = Repairer(frozenset({"instanceId"}))
        >>> repairer.repair('- instanceId:"cri-1" // mine')[0]
        '- instanceId: "cri-1"'
        """
        line_numbers: dict[str, list[int]] = {}  # by repair
        lines = []
        depth = 0  # of brackets of JSON over several lines, whose quotes and commas are right as they are
        for number, line in enumerate(text.split("\n"), first_line):
            repaired, repairs = line.removesuffix("\r"), list[str]()
            if depth or _OPENS_JSON.match(line):
                depth = max(0, depth + _brackets(line))
            else:
                repaired, repairs = self._repaired(repaired, number)
            lines.append(repaired)
            for repair in repairs:
                line_numbers.setdefault(repair, []).append(number)
        changes = [
            Change(numbers[0], repair + (f" ({len(numbers)} lines)" if len(numbers) > 1 else ""))
            for repair, numbers in line_numbers.items()
        ]
        return "\n".join(lines), sorted(changes, key=lambda change: change.line)

    def parts(self, line: str) -> tuple[bool, str, str] | None:
        """Return whether *line* has a dash, its key and the text after the colon; None for any other line."""
        match = self._line.fullmatch(line)
        return (match["dash"] is not None, match["key"], match["rest"]) if match else None

    def _repaired(self, line: str, number: int) -> tuple[str, list[str]]:
        repairs = []
        if any(space in line for space in _ODD_SPACES):
            line = line.translate(dict.fromkeys(map(ord, _ODD_SPACES), " "))
            repairs.append("non-breaking spaces were read as spaces")
        if any(sign in line for sign in _INVISIBLE):
            line = line.translate(dict.fromkeys(map(ord, _INVISIBLE)))
            repairs.append("invisible characters were left out")
        if line.lstrip().startswith("//"):
            return "", [*repairs, _SLASHES]
        match = self._line.fullmatch(line)
        if not match:
            return line, repairs
        head = match["indent"] + ("- " if match["dash"] else "") + match["key"] + ":"
        if match["dash"] == "-":
            repairs.append("a space was added after the dash")
        if match["colon"] != ":":
            repairs.append("a full-width colon was read as a colon")
        elif match["rest"][:1].strip():
            repairs.append("a space was added after the colon")
        value, more = self._repaired_value(match["rest"].strip(), match["key"], number)
        if not repairs and not more:
            return line, []
        return f"{head} {value}".rstrip(), repairs + more

    def _repaired_value(self, value: str, key: str, number: int) -> tuple[str, list[str]]:
        repairs = []
        if typographic := re.fullmatch(rf"[{QUOTES}]([^{QUOTES}\"\\]*)[{QUOTES}]((?:\s*(?:#|//).*)?)", value):
            value = f'"{typographic[1]}"{typographic[2]}'
            repairs.append("typographic quotes were read as quotes")
        if several := re.fullmatch(rf"((?:{_QUOTED})(?:\s*[,\uff0c]\s*(?:{_QUOTED}))+)(\s.*)?", value):
            words = [word[1:-1] for word in re.findall(_QUOTED, several[1])]
            value = '"' + ",".join(words) + '"' + (several[2] or "")
            repairs.append("several quoted words were read as one, with commas between them")
        if commented := re.fullmatch(rf"({_QUOTED})\s*,?\s*//.*", value):
            return commented[1], [*repairs, _SLASHES]
        if ended := re.fullmatch(rf"({_QUOTED})\s*,\s*", value):
            return ended[1], [*repairs, "a comma at the end was left out"]
        if value == "*" or re.fullmatch(r"\*\s+#.*", value):
            return '"*"', [*repairs, "the asterisk was read as if it were in quotes"]
        if value[:1] not in ("", '"', "'", "#") and (bare := re.match(r"(.*?)\s+//", value)):
            if key.lower() in self._opaque:
                remedy = "Put the value in quotes, and # before comments."
                raise UnreadableError(
                    ConfigProblem(number, key, "may or may not end before //", Remedy("SettingsSyntax", remedy))
                )
            return bare[1], [*repairs, _SLASHES]
        return value, repairs


def _brackets(line: str) -> int:
    """Return how many more brackets *line* opens than it closes, those in quotes aside."""
    bare = re.sub(r"\"(?:[^\"\\]|\\.)*\"", "", line)
    return sum(map(bare.count, "[{")) - sum(map(bare.count, "]}"))


def flattened(text: str, repairer: Repairer) -> str | None:
    """Return *text*, one flat mapping, without its indentation; None if it has more than such lines."""
    lines = [line.strip() for line in text.split("\n")]
    parts = [repairer.parts(line) for line in lines if line and not line.startswith("#")]
    is_flat = all(part is not None and not part[0] and part[2].strip() for part in parts)
    return "\n".join(lines) if is_flat else None


def reindented(text: str, repairer: Repairer) -> str | None:
    r"""Return *text* indented as a list of flat mappings, or None if that is not the only reading.

    A dash starts an entry, and each key belongs to the entry above it, whatever its indentation. The number of lines
    stays.

    >>> repairer = Repairer(frozenset({"instanceId", "regionId"}))
    >>> reindented("- instanceId: a\n    regionId: b\n- instanceId: c", repairer)
    '- instanceId: a\n  regionId: b\n- instanceId: c'
    """
    lines: list[str] = []
    keys: set[str] | None = None  # of the entry so far
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            lines.append("")
            continue
        parts = repairer.parts(line)
        if parts is None:
            return None
        dash, key, rest = parts
        if dash or keys is None:
            keys = set()
        elif key.lower() in keys:
            return None
        lines.append(("- " if not keys else "  ") + f"{key}:{rest}")
        keys.add(key.lower())
    return "\n".join(lines)
