"""Units at random, as people, packages and clouds write them, and as nobody should: each a set of files and a name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

PROGRAM = "/usr/bin/tell"
FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
NAMES = ("A", "B", "C", "D_1", "_e")
"""The variables that are compared."""
PLAIN = ("a", "--v=2", "b c", "ü", "=", "x", "/y", "{", "}", ",", "1", "|", "中", "--f=g")
QUOTES = ("'", '"', "' '", '""')
VARIABLES = (
    "$A",
    "${A}",
    "$B",
    "${B}",
    "$C-y",
    "$$",
    "$$A",
    "${A",
    "$",
    "${}",
    "${D_1}x",
    "$_e",
    "$NONE",
    "${NONE}",
    "$A/z",
)
SPECIFIERS = ("%%", "%n", "%N", "%p", "%P", "%i", "%I", "%j", "%J", "%t", "%E", "%u", "%U", "%h", "%S", "%%n", "%")
UNKNOWN = ("%H", "%m", "%q", "$PATH", "${HOME}")
ESCAPES = ("\\x41", "\\101", "\\u00e9", "\\s", "\\t", "\\\\", '\\"', "\\'", "\\n", "\\U0001f600", "\\xc3\\xbc")
ODD = (
    "\\q",
    "\\ ",
    "\\;",
    "\\$",
    "\\x0",
    "\\xff",
    "\\400",
    ";",
    " ; ",
    "#",
    "\t",
    "\x0b",
    "\u00a0",
    "\ufdd0",
    "\udcff",
    "`",
    "\x01",
)
IN_FILES = ("a", "b c", " ", '"', "'", "\\", "\\\n", "$A", "#", ";", "=", "ü", "--f=g", "`")


@dataclass
class Made:
    """A unit: *start* is the name that it is started by; *files* are contents by path, *links* targets by path."""

    start: str
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def shown(self) -> str:
        """Return all of it, for the message of a failure."""
        return "\n".join(
            [self.start, *(f"{path}: {content!r}" for path, content in {**self.files, **self.links}.items())]
        )


class Maker:
    """Makes units of *chance*."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def unit(self, number: int) -> Made:
        """Return the unit of that number; no other one has a file or a name of it."""
        chance, base = self._chance, f"u{number}x"
        shape = chance.choice(("plain", "plain", "plain", "dashed", "template", "instance", "alias", "alias"))
        instance = chance.choice(("a", "a-b", "a\\x2db", "1:2", "c.d"))
        file, start, others = f"{base}.service", f"{base}.service", []
        if shape == "dashed":
            file = start = f"{base}-b-c.service"
            others = [f"{base}-.service", f"{base}-b-.service"]
        elif shape == "template":
            file, start = f"{base}-t@.service", f"{base}-t@{instance}.service"
            others = [file, f"{base}-@.service", f"{base}-@{instance}.service"]
        elif shape == "instance":
            file = start = f"{base}@{instance}.service"
            others = [f"{base}@.service"]
        made = Made(start)
        folder = chance.choice(FOLDERS)
        made.files[f"{folder}/{file}"] = self._main(base)
        if shape == "alias":
            alias = f"{base}-alias.service"
            link = chance.choice(FOLDERS)
            made.links[f"{link}/{alias}"] = chance.choice((f"{folder}/{file}", f"{folder}/../system/{file}"))
            others.append(alias)
            made.start = chance.choice((alias, start))
        if chance.random() < 0.1 and folder != FOLDERS[-1]:
            made.files[f"{FOLDERS[-1]}/{file}"] = self._main(base)
        if chance.random() < 0.04 and folder != FOLDERS[0]:
            made.links[f"{FOLDERS[0]}/{file}"] = "/dev/null"
        self._drop_ins(made, base, [start, start, *others])
        for at in range(3):
            if chance.random() < 0.7:
                made.files[f"/etc/env/{base}{at}.env"] = self._environment_file()
        return made

    def _drop_ins(self, made: Made, base: str, names: list[str]) -> None:
        chance = self._chance
        for _ in range(chance.choice((0, 0, 1, 2, 3, 4))):
            name = chance.choice(
                ("10-a.conf", "20-b.conf", "5.conf", "Z.conf", "20-b.conf", "10-a.conf.bak", ".x.conf")
            )
            path = f"{chance.choice(FOLDERS)}/{chance.choice(names)}.d/{name}"
            if path in made.files or path in made.links:
                continue
            kind = chance.random()
            if kind < 0.1:
                made.links[path] = "/dev/null"
            elif kind < 0.2:
                made.files[f"/etc/other/{base}.conf"] = self._text(base, chance.randint(1, 3))
                made.links[path] = f"/etc/other/{base}.conf"
            elif kind < 0.25:
                made.files[path] = b""
            else:
                made.files[path] = self._text(base, chance.randint(1, 3))

    def _main(self, base: str) -> bytes:
        return b"[Service]\nType=oneshot\n" + self._text(
            base, self._chance.randint(0, 4), self._reset() + self._command()
        )

    def _text(self, base: str, count: int, last: str = "") -> bytes:
        chance = self._chance
        lines = [chance.choice(("[Service]", "[Service]", "[Service]", " [Service] ", "# a comment\n[Service]"))]
        lines += [self._setting(base) for _ in range(count)]
        if chance.random() < 0.1:
            lines.insert(
                chance.randint(1, len(lines)),
                chance.choice(("nonsense", "[Unit]\nDescription=x\n[Service]", "; =", "=")),
            )
        if chance.random() < 0.02:
            lines.append(chance.choice(("[Service] # x", "[Service", "[X-y]")))
        text = "\n".join([*lines, last] if last else lines)
        if chance.random() < 0.08:
            text = text.replace("\n", chance.choice(("\r\n", "\r", "\n\n")))
        if chance.random() < 0.04:
            text = "\ufeff" + text
        text += chance.choice(("\n", "\n", "\n", "", "\\", "\\\n"))
        return text.encode("utf-8", "surrogateescape")

    def _setting(self, base: str) -> str:
        chance = self._chance
        kind = chance.random()
        if kind < 0.4:
            return self._continued("Environment=" + chance.choice(("", " ")) + self._assignments())
        if kind < 0.65:
            optional, number = chance.choice("--- "), chance.randint(0, 3)
            path = chance.choice(
                (f"/etc/env/{base}{number}.env", f"/etc/env/{base}*.env", f"/etc/./env//{base}[01].env")
            )
            return f"EnvironmentFile={optional.strip()}{path}"
        if kind < 0.8:
            return self._reset() + self._command()
        names = " ".join(chance.choices(NAMES, k=2))
        return chance.choice(
            (
                *(f"UnsetEnvironment={names}", f'UnsetEnvironment="A=b c" {names}', "UnsetEnvironment="),
                *("Environment=", "EnvironmentFile=", f"EnvironmentFile = -/etc/env/{base}1.env"),
                *("PassEnvironment=C container", "Nice=0"),
            )
        )

    def _reset(self) -> str:
        return self._chance.choice(("ExecStart=\n",) * 6 + ("",))

    def _command(self) -> str:
        chance = self._chance
        prefix = chance.choice(("", "", "", "", "", "-", "@", ":", "+", "!", "-@", ":-"))
        path = chance.choice((PROGRAM,) * 12 + ("tell", "/usr//bin/./tell", f'"{PROGRAM}"'))
        path = chance.choice(("/usr/bin/", '""', "bin/tell")) if chance.random() < 0.02 else path
        words = [self._word() for _ in range(chance.randint(0, 5))]
        text = f"ExecStart={prefix}{path} {'zero ' if '@' in prefix else ''}" + chance.choice((" ", "  ", "\t")).join(
            words
        )
        return self._continued(text)

    def _continued(self, text: str) -> str:
        chance = self._chance
        if chance.random() > 0.2:
            return text
        at = chance.randint(text.index(" " if text.startswith("ExecStart=") and " " in text else "=") + 1, len(text))
        return text[:at] + chance.choice(("\\\n", "\\\n   ", "\\\n# why\n  ", "\\\n ; x\n", "\\\n\n")) + text[at:]

    def _word(self) -> str:
        chance = self._chance
        pools = chance.choices(
            (PLAIN, VARIABLES, SPECIFIERS, ESCAPES, QUOTES, ODD, UNKNOWN),
            (60, 30, 12, 10, 5, 4, 1),
            k=chance.randint(1, 4),
        )
        word = "".join(chance.choice(pool) for pool in pools)
        quote = chance.choice(("", "", "", "'", '"'))
        return quote + word + quote

    def _assignments(self) -> str:
        return " ".join(self._assignment() for _ in range(self._chance.randint(1, 3)))

    def _text_of(self, weights: tuple[float, ...], count: int) -> str:
        """Return *count* pieces of the pools by their *weights*."""
        pools = (PLAIN, VARIABLES, SPECIFIERS, ESCAPES, QUOTES, ODD, UNKNOWN)
        return "".join(self._chance.choice(pool) for pool in self._chance.choices(pools, weights, k=count))

    def _assignment(self) -> str:
        chance = self._chance
        value = self._text_of((60, 5, 8, 10, 4, 3, 0.5), chance.randint(0, 3))
        name = chance.choice((*NAMES, *NAMES, "1bad", "a-b"))
        return chance.choice((f"{name}={value}", f'"{name}={value}"', f"'{name}={value}'", f'{name}="{value}"'))

    def _environment_file(self) -> bytes:
        chance = self._chance
        lines = []
        for _ in range(chance.randint(0, 4)):
            name = chance.choice((*NAMES, *NAMES, "export A", "a-b"))
            value = "".join(
                chance.choices(
                    ("a", "b c", " ", '"', "'", "\\", "\\\n", "$A", "#", ";", "=", "ü", "--f=g", "`"),
                    k=chance.randint(0, 5),
                )
            )
            lines.append(
                chance.choice(
                    (f"{name}={value}", f'{name}="{value}"', f" {name} = {value} ", f"{name}='{value}'", f"# {value}")
                )
            )
        return (chance.choice(("\n", "\n", "\r\n")).join(lines) + chance.choice(("\n", "", "\n\n"))).encode()
