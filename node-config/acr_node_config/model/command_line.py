r"""The words of a process from a unit's command and variables, as systemd's replace_env_argv makes them. Pure.

``$NAME`` as a whole word becomes as many words as it holds, also none. ``${NAME}`` becomes its value within the word,
and ``$$`` a dollar sign. No other form has a meaning: ``$NAME-x`` is a variable of that odd name, ``x$NAME`` and
``${NAME:-x}`` are text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from acr_credential_provider.kubelet.process import flag_name

from .environment_file import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

UNKNOWN = "\0"
"""Marks in a word what only systemd knows: it stands for the % of a specifier, or the $ of a variable."""
OWN_NAMES = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TERM|LANG(?:UAGE)?|LC_\w+|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_\w+|MAINPID|MANAGERPID"
    r"|NOTIFY_SOCKET|FDSTORE|LISTEN_\w+|WATCHDOG_\w+|MEMORY_PRESSURE_\w+|CREDENTIALS_DIRECTORY|PIDFILE|SERVICE_RESULT"
    r"|(?:RUNTIME|STATE|CACHE|LOGS|CONFIGURATION)_DIRECTORY|EXIT_(?:CODE|STATUS)|MONITOR_\w+|TRIGGER_\w+|REMOTE_\w+",
    re.ASCII,
)
"""Variables that systemd sets by itself for some units or for all."""

_VARIABLE = re.compile(r"\$\$|\$\{([^}:]*)(\}|:|\Z)", re.DOTALL)


def words_of(command: Iterable[str], variables: Mapping[str, str | None], *, is_complete: bool = True) -> list[str]:
    r"""Return the words that systemd makes of *command* with *variables*.

    None is a value that only systemd knows, and unless *variables* are complete, so is that of any other name.

    >>> words_of(["k", "$A", "${A}", "$$A", "$A-y", "x$A", "$B", "${B}"], {"A": "a 'b c'"})
    ['k', 'a', 'b c', "a 'b c'", '$A', 'x$A', '']
    >>> words_of(["$A", "--b=${A}"], {"A": None}) == ["\0A", "--b=\0{A}"]
    True
    """
    words: list[str] = []

    def value(name: str) -> str | None:
        is_unknown = not is_complete or OWN_NAMES.fullmatch(name)
        return variables.get(name, None if is_unknown else "")

    for word in command:
        if word.startswith("$") and word[1:2] not in ("$", "{") and UNKNOWN not in word:
            words += _several(word[1:], value(word[1:]))
        else:
            words.append(_VARIABLE.sub(lambda match: _one(match, value), word))
    return words


def shown(word: str) -> str:
    """Return *word* as its unit has it, where only systemd knows a part of it."""
    return re.sub(f"{UNKNOWN}(.)", lambda match: ("%" if match[1].isalpha() else "$") + match[1], word)


def may_be(word: str, flags: Iterable[str]) -> bool:
    """True if *word* may turn out to be one of *flags*, because only systemd knows its beginning.

    >>> may_be(f"--node-ip={UNKNOWN}H", ["a"]), may_be(f"{UNKNOWN}H", ["a"]), may_be(f"--a={UNKNOWN}H", ["a"])
    (False, True, True)
    """
    return UNKNOWN in word.partition("=")[0] or (UNKNOWN in word and flag_name(word) in flags)


def _several(name: str, value: str | None) -> list[str]:
    words = split(value) if value is not None else None
    return [UNKNOWN + name] if words is None else words


def _one(match: re.Match[str], value_of: Callable[[str], str | None]) -> str:
    if match[0] == "$$":
        return "$"
    if match[2] != "}":  # no end, or a default as in a shell: systemd leaves it as it is, and goes on behind it
        return match[0]
    value = value_of(match[1])
    return f"{UNKNOWN}{{{match[1]}}}" if value is None else value
