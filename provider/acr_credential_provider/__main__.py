"""Where the program starts: the fast lane first, the rest only when it must.

The imports inside `main` are the one door between the two: behind it are argparse,
threads, pydantic and the cloud, none of which a cache hit may pay for.
"""

import _signal  # type: ignore[import-not-found]  # the C half of signal, without enum
import posix
import sys
import time

from .hit import answer_from_memo, exec_options, read_request, write_all

DEADLINE = 15
"""Seconds for the whole answer, far below the 60 after which the kubelet kills us."""


def main() -> int:
    """Answer the kubelet, or an operator; return the exit code."""
    started = time.monotonic()
    arguments = sys.argv[1:]
    options = exec_options(arguments)
    if options is None or (not arguments and posix.isatty(0)):
        from .cli import main as operate  # noqa: PLC0415

        return operate(arguments)
    _signal.signal(_signal.SIGALRM, _stdin_hangs)
    _signal.alarm(DEADLINE)
    raw = read_request()
    _signal.alarm(0)
    try:
        answer = answer_from_memo(raw, options)
    except Exception:  # noqa: BLE001 - whatever surprised the fast lane, the rest can tell what it is
        answer = None
    if answer is None:
        from .cli import get_credentials  # noqa: PLC0415

        return get_credentials(raw, options, started=started, seconds=DEADLINE)
    try:
        write_all(answer)
    except OSError:  # whoever asked is gone; there is no one left to tell
        return 1
    return 0


def _stdin_hangs(_signal_number: int, _frame: object) -> None:
    write_all(
        b"error: the request on stdin did not end within 15 s\n"
        b"remedy: close stdin after the CredentialProviderRequest, as the kubelet does\n",
        file=2,
    )
    posix._exit(1)  # noqa: SLF001 - the documented way to end at once


if __name__ == "__main__":
    sys.exit(main())
