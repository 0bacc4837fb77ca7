"""The places on a node that are this program's own, so that a remedy may name a command for them.

A remedy is followed to the letter, by root. A command that changes the mode or owner of /tmp, of a home or of a
system's folder breaks the node, and a name of others in a command can be a command itself.
"""

from __future__ import annotations

from acr_credential_provider.fastpath.lookup import CACHE, SETTINGS

CONFIGURATION = SETTINGS.rpartition("/")[0]
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-")


def is_ours(path: str) -> bool:
    """True if *path* is below a folder of ours, and a shell takes it as one plain word.

    >>> is_ours(SETTINGS), is_ours("/etc/passwd"), is_ours(CONFIGURATION + "/../passwd"), is_ours(SETTINGS + ";reboot")
    (True, False, False, False)
    """
    names = path.split("/")
    is_below = path.startswith((f"{CONFIGURATION}/", f"{CACHE}/"))
    return is_below and not {"", ".", ".."} & set(names[1:]) and _PLAIN.issuperset(path)
