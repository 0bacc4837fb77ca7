"""The deadline that nothing can hold up, and the one write to stdout.

A name look-up, a hung disk or a lock can't be interrupted from inside. So a thread waits
beside the work, and when the time is over it says what must be said and ends the process.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, start_new_thread

from .hit import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .errors import CredentialProviderError


class Reply:
    """Stdout, for exactly one answer: the first one wins, whichever thread it comes from.

    `code` is the exit code once it is out.
    """

    code = 0

    def __init__(self, file: int = 1) -> None:
        self._file = file
        self._once = allocate_lock()

    def __call__(self, answer: bytes) -> None:
        """Write *answer*, unless one is out already; raise ``OSError`` when nobody reads it."""
        if self._once.acquire(blocking=False):
            write_all(answer, self._file)

    @property
    def is_out(self) -> bool:
        """Say whether an answer was given."""
        return self._once.locked()


class Stage:
    """What the work is at, for the words of the error if time runs out."""

    def __init__(self) -> None:
        self.now = "starting"

    def say(self, words: str) -> None:
        """Note what comes next, as the end of "it was ..."."""
        self.now = words


class EndAfter:
    """Ends the process with the exit code that *act* returns if this context lasts *seconds*."""

    def __init__(self, seconds: float, act: Callable[[], int]) -> None:
        self._seconds = max(seconds, 0.0)
        self._act = act
        self._over = allocate_lock()

    def __enter__(self) -> None:
        self._over.acquire()
        start_new_thread(self._wait, ())

    def __exit__(self, *_: object) -> None:
        self._over.release()

    def _wait(self) -> None:
        if self._over.acquire(timeout=self._seconds):
            return
        code = 1
        try:
            code = self._act()
        finally:
            os._exit(code)


def report(error: CredentialProviderError) -> None:
    """Say *error* and its remedy on stderr, a line each."""
    lines = f"error: {_one_line(error.problem)}\nremedy: {_one_line(error.remedy)}\n"
    try:
        os.write(2, lines.encode("utf-8", "backslashreplace"))
    except OSError:
        return


def _one_line(text: str) -> str:
    return " ".join(text.split())
