"""The deadline that nothing can hold up, and the one write to stdout.

A name look-up, a hung disk or a lock can't be interrupted from inside. So a thread waits
beside the work, and when the time is over it reports that and ends the process.
"""

from __future__ import annotations

import os
import select
from _thread import allocate_lock, start_new_thread

from acr_credential_provider.fastpath.lookup import write_all
from acr_credential_provider.fastpath.plain_text import cut, plain_text
from acr_credential_provider.model.remedy import code_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.model.errors import CredentialProviderError

PATIENCE_WITH_STDERR = 100
"""Milliseconds."""
LONGEST_LINE = 2000
"""Bytes. A pipe that polls as writable takes 4096 without making us wait."""


class OutputClosedError(Exception):
    """The response could not be written. Not a failure of the question, so never cached as one."""


class ResponseWriter:
    """Stdout, for exactly one response: the first one wins, whichever thread it comes from.

    `code` is the exit code once it is out. `report` tells an error in its place.
    """

    code = 0

    def __init__(self, file: int = 1) -> None:
        self._file = file
        self._once = allocate_lock()
        self._in_writing = allocate_lock()
        self._in_writing.acquire()

    def __call__(self, answer: bytes) -> None:
        """Write *answer*, unless another was begun already; raise `OutputClosedError`."""
        if self._once.acquire(blocking=False):
            try:
                write_all(answer, self._file)
            except OSError:
                raise OutputClosedError from None
            self._in_writing.release()

    @property
    def is_begun(self) -> bool:
        """True if a response has been begun: whole, in writing, or failed."""
        return self._once.locked()

    def is_out(self, seconds: float = 0.0) -> bool:
        """True if a whole response is out; one that is in writing has *seconds* to end."""
        if not self.is_begun or not self._in_writing.acquire(timeout=seconds):
            return False
        self._in_writing.release()
        return True

    def report(self, error: CredentialProviderError) -> None:
        """Write *error* to the place where the caller looks for it: stderr."""
        report(error)


class Watchdog:
    """Ends the process with the exit code that *act* returns if this context lasts *seconds*."""

    def __init__(self, seconds: float, act: Callable[[], int]) -> None:
        self._seconds = max(seconds, 0.0)
        self._act = act
        self._over = allocate_lock()
        self._begun = allocate_lock()

    def __enter__(self) -> None:
        self._over.acquire()
        self._begun.acquire()
        start_new_thread(self._wait, ())
        # Python crashes at its end if a thread has not begun by then, which a busy machine can delay for long.
        self._begun.acquire(timeout=max(self._seconds, 1.0))

    def __exit__(self, *_: object) -> None:
        self._over.release()

    def _wait(self) -> None:
        self._begun.release()
        if self._over.acquire(timeout=self._seconds):
            return
        code = 1
        try:
            code = self._act()
        finally:
            os._exit(code)


def report(error: CredentialProviderError) -> None:
    """Write *error* and its remedy to stderr, a line each; a stderr that is not read is left alone."""
    _write(_line("error", error.problem, code_of(error.remedy)) + _line("remedy", error.remedy))


def note(error: CredentialProviderError) -> None:
    """Write *error* to stderr as one line, a note: the run goes on all the same."""
    _write(_line("note", f"{error.coded}. {error.remedy}"))


def _write(lines: bytes) -> None:
    try:
        waiting = select.poll()
        waiting.register(2, select.POLLOUT)
        if waiting.poll(PATIENCE_WITH_STDERR):
            os.write(2, lines)
    except OSError:
        return


def _line(label: str, text: str, code: str = "") -> bytes:
    """Return one line with *code* at its end, so short that two of them fit into a pipe that has any room."""
    end = f" [{code}]".encode() if code else b""
    return cut(f"{label}: {plain_text(text)}", LONGEST_LINE - len(end)) + end + b"\n"
