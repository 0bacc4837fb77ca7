"""Where the program starts: the fast lane first, the rest only when it must.

The imports inside `main` are the one door between the two: behind it are argparse,
threads, pydantic and the cloud, none of which a cache hit may pay for.
"""

import _signal  # type: ignore[import-not-found]  # the C half of signal, without enum
import posix
import sys
import time

from .hit import exec_options, fresh_memo, is_logged, read_request, write_all
from .memo import judge_time

DEADLINE = 15
"""Seconds for the whole answer, far below the 60 after which the kubelet kills us."""


def is_docker_helper(program: str) -> bool:
    """Say whether we were called by a name of Docker's credential helper protocol, as a symlink gives us one.

    >>> is_docker_helper("/usr/local/bin/docker-credential-aliyun-acr")
    True
    """
    return program.rpartition("/")[2].startswith("docker-credential-")


def main() -> int:
    """Answer the kubelet, or an operator; return the exit code."""
    started = time.monotonic()
    arguments = sys.argv[1:]
    options = exec_options(arguments)
    if options is None and is_docker_helper(sys.argv[0]):
        from .docker_helper import main as help_docker  # noqa: PLC0415

        return help_docker(arguments, started=started, seconds=DEADLINE)
    if options is None or (not arguments and posix.isatty(0)):
        from .cli import main as operate  # noqa: PLC0415

        return operate(arguments)
    _signal.signal(_signal.SIGALRM, _stdin_hangs)
    _signal.alarm(DEADLINE)
    raw = read_request()
    _signal.alarm(0)
    try:
        found = fresh_memo(raw, options)
        answer = None if found is None else found[0].response(found[1], now=judge_time(found[0]))
    except Exception:  # noqa: BLE001 - whatever surprised the fast lane, the rest can tell what it is
        found = answer = None
    if found is None or answer is None:
        from .cli import get_credentials  # noqa: PLC0415

        return get_credentials(raw, options, started=started, seconds=DEADLINE)
    try:
        write_all(answer)
    except OSError:  # whoever asked is gone; there is no one left to tell
        return 1
    memo = found[0]
    if is_logged(memo.log):
        from .log import Log  # noqa: PLC0415 - for those alone who want to see it

        Log(started=started).answered(host=memo.host, kind=memo.kind, cache="hit", tag=memo.log)
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
