"""Tells one boot of the machine from the next."""

from __future__ import annotations

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def boot_id() -> str:
    """Return what tells this boot of the machine from others; containers see the same."""
    with open(BOOT_ID, encoding="ascii") as file:
        return file.read().strip()
