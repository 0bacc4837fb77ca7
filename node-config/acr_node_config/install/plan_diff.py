"""What a plan changes in files, as a unified diff for people. Pure.

It is shown on terminals and in logs, so nothing in it may be a secret: the settings are left out, and of a line with
flags only the names of flags and our own values are shown.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from acr_credential_provider.fastpath.lookup import SETTINGS
from acr_credential_provider.fastpath.plain_text import plain_text
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG, flag_name

from acr_node_config.model import steps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from acr_node_config.model.steps import FileStep, PathState

_HIDDEN = "***"
_OWN = (CONFIG_FLAG, BIN_DIR_FLAG)
_VALUE = re.compile(r"""(\bvalue["']?\s*:\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,}#][^,}#]*)""")
"""A value of ``env`` in a CredentialProviderConfig."""
_ASSIGNMENT = re.compile(r"""\s*(?:export\s+)?[A-Za-z_][A-Za-z0-9_]*=["']?""")
_REFERENCE = re.compile(r"\$\{?\w+\}?")


def diff(step: FileStep, before: PathState, *, has_flags: bool) -> str:
    """Return the change that *step* makes to a file of the state *before*, "" if it is about no file.

    *has_flags* is a file whose lines hold a kubelet's flags: an environment file, a unit's drop-in.
    """
    if not isinstance(step, (steps.PutFile, steps.RemoveFile)):
        return ""
    after = step.content if isinstance(step, steps.PutFile) else b""
    old = before.content if before.kind == steps.FILE else b""
    was, becomes = (
        path if is_there else "/dev/null"
        for path, is_there in ((step.path, before.kind == steps.FILE), (step.path, isinstance(step, steps.PutFile)))
    )
    if step.path == SETTINGS:
        return "" if old == after else f"--- {was}\n+++ {becomes}\n(settings are not shown)"
    hide = _without_values if has_flags else _without_environment
    lines = difflib.unified_diff(hide(_lines(old)), hide(_lines(after)), was, becomes, n=0, lineterm="")
    return "\n".join(lines)


def _lines(content: bytes) -> list[str]:
    return [plain_text(line) for line in content.decode("utf-8", "replace").splitlines()]


def _without_environment(lines: Iterable[str]) -> list[str]:
    r"""Return *lines* of a CredentialProviderConfig without the values of ``env``.

    >>> _without_environment(['{"name": "A", "value": "s,\\"}"}', "      value: s x # y"])
    ['{"name": "A", "value": ***}', '      value: ***# y']
    """
    return [_VALUE.sub(rf"\1{_HIDDEN}", line) for line in lines]


def _without_values(lines: Iterable[str]) -> list[str]:
    """Return *lines* with flags without the values of others.

    >>> _without_values(['A="--token=x y $B', "# c", "ExecStart=/k --v 2 --image-credential-provider-config=/c"])
    ['A="--token=*** *** $B', '# c', 'ExecStart=*** --v *** --image-credential-provider-config=/c']
    """
    return [line if line.lstrip().startswith(("#", "[")) else _line(line) for line in lines]


def _line(line: str) -> str:
    head = match[0] if (match := _ASSIGNMENT.match(line)) else ""
    return head + re.sub(r"\S+", lambda word: _word(word[0]), line[len(head) :])


def _word(word: str) -> str:
    quote = word[: len(word) - len(word.lstrip("\"'"))]
    name, equals, _ = word.partition("=")
    if flag_name(name[len(quote) :]) in _OWN or _REFERENCE.fullmatch(word.strip("\"'")) or word in ("\\", '"', "'"):
        return word
    if name[len(quote) :].startswith("-"):
        return name + (f"={_HIDDEN}" if equals else "")
    return _HIDDEN
