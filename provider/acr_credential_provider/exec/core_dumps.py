"""Keeps this process out of core dumps, which would hold the secrets in its memory.

The frozen program's launcher (packaging/freeze/launcher.c) does so before anything is read. This is for the program
from source. The limit for core files (RLIMIT_CORE) is not used: every program that is started from here, a kubelet's
for example, would inherit it, while this mark ends with the next exec.
"""

import sys

PR_SET_DUMPABLE = 4


def switch_off() -> None:
    """Mark this process as one that leaves no core dump; the program from source has no other way than ctypes."""
    if getattr(sys, "frozen", False):
        return
    import ctypes  # noqa: PLC0415 - not part of the frozen program

    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
