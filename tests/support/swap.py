"""A thread that swaps two entries of a folder again and again, each time in one step of the kernel."""

import ctypes
import os
import threading
from contextlib import contextmanager

EXCHANGE = 2
HERE = -100
_LIBC = ctypes.CDLL(None, use_errno=True)


def exchange(one, other):
    """Swap the paths *one* and *other* (renameat2 with RENAME_EXCHANGE); raise ``OSError``."""
    if _LIBC.renameat2(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextmanager
def swapping(one, other):
    """Swap *one* and *other* until the end of the context; yields a list that grows by one with each swap.

    At the end both are where they were.
    """
    stop, swaps = threading.Event(), []

    def swap():
        while not stop.is_set() or len(swaps) % 2:
            exchange(one, other)
            swaps.append(1)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield swaps
    finally:
        stop.set()
        thread.join()
