"""The exit codes of every command: one table, for the code, ``--help`` and the documents."""

from __future__ import annotations

DONE = 0
FAILED = 1
NOT_UNDERSTOOD = 2
REFUSED = 3
REJECTED = 4
BUSY = 5

MEANINGS = {
    DONE: "done; no check failed; nothing was to be done",
    FAILED: "failed, or a check failed; error and remedy are on stderr, or in the list of checks",
    NOT_UNDERSTOOD: "the command line was not understood; nothing was done",
    REFUSED: "does not apply here: no registry entry serves the image, or this node cannot be changed safely",
    REJECTED: "node: the kubelet was not healthy with the change, now or the last time; it has what it had before",
    BUSY: "node: another installer is at work on this node",
}


def table() -> str:
    """Return the exit codes with their meanings as lines for a terminal."""
    return "\n".join(["exit codes:", *(f"  {code}  {meaning}" for code, meaning in MEANINGS.items())])
