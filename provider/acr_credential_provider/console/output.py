"""What commands write: lines for people, each printable and short; documents for programs, as they are.

No command writes to stdout or stderr by itself, so that no name of others can forge a line there. stdout has the
command's result and nothing else. With ``--output json`` each line on stderr is a JSON object: an error with its
remedy, or a note.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from acr_credential_provider.fastpath.plain_text import plain_text
from acr_credential_provider.model.remedy import NONE, Remedy, code_of, coded, uncoded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from acr_credential_provider.model.errors import CredentialProviderError


class _Stderr:
    is_json = False


def begin(arguments: Sequence[str]) -> None:
    """Write to stderr as *arguments* ask for from here on: the last ``--output`` before ``--`` counts."""
    _Stderr.is_json = False
    words = iter(arguments)
    for word in words:
        if word == "--":
            return
        name, equals, form = word.partition("=")
        if name == "--output":
            _Stderr.is_json = (form if equals else next(words, "")) == "json"


def say(line: str) -> None:
    """Write one line to stdout."""
    sys.stdout.write(plain_text(line) + "\n")
    sys.stdout.flush()


def report(error: CredentialProviderError) -> None:
    """Write *error* and its remedy to stderr."""
    warn("error", error.problem, remedy=error.remedy)


def warn(label: str, text: str, *, remedy: Remedy = NONE) -> None:
    """Write *text* to stderr behind *label* (``note``), and its *remedy* on a line of its own."""
    if _Stderr.is_json:
        texts = {label: plain_text(text)} | ({"remedy": plain_text(remedy)} if remedy else {})
        code = code_of(remedy)
        _write_to_stderr(json.dumps(texts | ({"code": code} if code else {})) + "\n")
        return
    lines = f"{label}: {coded(plain_text(text), remedy)}\n"
    _write_to_stderr(lines + (f"remedy: {plain_text(remedy)}\n" if remedy else ""))


def warn_of_all(label: str, texts: Iterable[str]) -> None:
    """Write each of *texts* to stderr behind *label*."""
    for text in texts:
        warn(label, text)


def ask(question: str) -> bool:
    """Write *question* to stderr; True if the next line on stdin is yes."""
    _write_to_stderr(f"{plain_text(question)} [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def pass_on(lines: bytes) -> None:
    """Write to stderr what a program of ours wrote there, in the form that was asked for here."""
    for line in lines.decode("utf-8", "surrogateescape").split("\n"):
        if errors := _error_in(line) if line.startswith("{") else []:
            for problem, remedy in errors:
                warn("error", problem, remedy=remedy)
        else:
            _write_to_stderr(plain_text(line) + "\n" if line else "")


def write_document(text: str) -> None:
    """Write JSON, YAML or a report of `checks` to stdout; its writer has made what is in it printable."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def write_json(document: Any) -> None:
    """Write *document* to stdout as JSON, in ASCII alone: no name of others can hide or move a letter."""
    write_document(json.dumps(document, indent=2))


def errors_in(stderr: bytes) -> list[tuple[str, Remedy]]:
    r"""Return the errors on the *stderr* of a program of ours with their remedies, in either form.

    >>> found = errors_in(b'error: no [DiskFull]\nremedy: yes\n{"error": "second", "remedy": "do", "code": "X"}\nx\n')
    >>> found, [remedy.code for _, remedy in found]
    ([('no', 'yes'), ('second', 'do')], ['DiskFull', 'X'])
    """
    found: list[tuple[str, Remedy]] = []
    shown = ""
    for line in stderr.decode("utf-8", "replace").splitlines():
        label, colon, text = line.partition(": ")
        if line.startswith("{"):
            found += _error_in(line)
        elif colon and label == "error":
            shown = text
            found.append(uncoded(shown, ""))
        elif colon and label == "remedy" and shown:
            found[-1] = uncoded(shown, text)
            shown = ""
    return found


def _error_in(line: str) -> list[tuple[str, Remedy]]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return []
    if "error" not in document:
        return []
    return [(str(document["error"]), Remedy(str(document.get("code") or ""), str(document.get("remedy") or "")))]


def _write_to_stderr(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:  # it is closed; the exit code says the rest
        return
