"""The flags and credential providers that a kubelet runs with, to compare before and after a change.

A flag's value may be a secret, so only digests of values are kept, and errors give names alone.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Flag = tuple[str, tuple[str, ...]]
"""A flag's name, and a digest of each part of its value: some values are lists, and those may grow."""
PROVIDER_FLAGS = (CONFIG_FLAG, BIN_DIR_FLAG)
"""Compared by the providers that they bring, because a change may be about just these flags."""
_PROGRAMS = ("kubelet", "hyperkube")
_NAME = re.compile(r"--?([A-Za-z0-9][A-Za-z0-9._-]*)(?:=(.*))?", re.DOTALL)
_SHORT = re.compile(r"-[vh](?:=.*)?", re.DOTALL)
"""The only flags of a kubelet with one dash; other words with one are values."""


@dataclass(frozen=True, slots=True)
class RunningConfig:
    """What one process was started with. *providers* is None if their configuration could not be read."""

    flags: tuple[Flag, ...] = ()
    providers: tuple[str, ...] | None = None

    @classmethod
    def of(cls, words: Sequence[str], providers: Sequence[str] | None) -> RunningConfig:
        """Return what a process with the command line *words* runs with."""
        digests = ((name, tuple(_digest(part) for part in value.split(","))) for name, value in flags(words))
        return cls(
            tuple(flag for flag in digests if flag[0] not in PROVIDER_FLAGS),
            None if providers is None else tuple(providers),
        )

    def lost(self, now: RunningConfig) -> tuple[str, ...]:
        """Return what *now* lacks, by name: flags with their dashes, then providers.

        The order of different flags means nothing to a kubelet; of a repeated flag, the last value is compared too.

        >>> old = RunningConfig.of(["kubelet", "--a=1", "--b", "x,y"], ["ecr"])
        >>> old.lost(RunningConfig.of(["kubelet", "--b=x,y,z", "--a=2"], []))
        ('--a', 'the provider ecr')
        """
        names = dict.fromkeys(name for name, _ in self.flags)
        gone = [f"--{name}" for name in names if not _holds(_values(self, name), _values(now, name))]
        if self.providers is not None and now.providers is not None:
            gone += [f"the provider {name}" for name in self.providers if name not in now.providers]
        return tuple(gone)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "flags": [[name, list(parts)] for name, parts in self.flags],
            "providers": None if self.providers is None else list(self.providers),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> RunningConfig:
        """Return what `to_dict` wrote."""
        providers = document["providers"]
        return cls(
            tuple((name, tuple(parts)) for name, parts in document["flags"]),
            None if providers is None else tuple(providers),
        )


def flags(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the flags of a command line, the program's name first, with their values; one without has "true".

    >>> list(flags(["kubelet", "--a=1", "--b_c", "-2", "--d"]))
    [('a', '1'), ('b-c', '-2'), ('d', 'true')]
    """
    pending = ""
    for word in words[1:]:
        is_flag = (word.startswith("--") or _SHORT.fullmatch(word)) and _NAME.fullmatch(word)
        if not is_flag:
            if pending:
                yield pending, word
            pending = ""
            continue
        if pending:
            yield pending, "true"
        name, value = is_flag[1].replace("_", "-"), is_flag[2]
        pending = name if value is None else ""
        if value is not None:
            yield name, value
    if pending:
        yield pending, "true"


def is_kubelet(words: Sequence[str]) -> bool:
    """True if *words* are the command line of a kubelet.

    >>> is_kubelet(["/usr/bin/kubelet", "--v=2"]), is_kubelet(["/bin/sh", "/usr/bin/kubelet"])
    (True, False)
    """
    return bool(words) and os.path.basename(words[0].split(" ")[0]) in _PROGRAMS


def _values(config: RunningConfig, name: str) -> list[tuple[str, ...]]:
    return [parts for known, parts in config.flags if known == name]


def _holds(before: list[tuple[str, ...]], now: list[tuple[str, ...]]) -> bool:
    """True if *now* has all values of *before*, and the last one last."""
    if not now or not set(before[-1]) <= set(now[-1]):
        return False
    return all(any(set(value) <= set(other) for other in now) for value in before)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
