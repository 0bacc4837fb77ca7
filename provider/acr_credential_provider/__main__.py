"""The entry point: the fast path first, all else only when it has no answer.

The imports inside `_answer_or_operate` load argparse, threads, pydantic and the cloud, none of which
a cache hit may pay for.
"""

import _signal  # type: ignore[import-not-found]  # the C half of signal, without enum
import posix
import sys
import time

from .fastpath.lookup import exec_options, leave_trace, log_hit, lookup, read_request, write_all

DEADLINE = 15
"""Seconds for the whole answer, far below the 60 after which the kubelet kills us."""
BACKSTOP = DEADLINE + 1
"""Seconds after which the kernel ends us without an error message: not even the watchdog's thread can run while an
import or a page of the program itself waits for a disk."""
LIMITS = b"remedy: look at this process's limits (open files, tasks, memory); if they are wide, report it\n"
STDIN_HANGS = (
    b"error: the request on stdin did not end within 15 s [StdinNotClosed]\n"
    b"remedy: close stdin after the CredentialProviderRequest, as the kubelet does\n"
)
NOT_WRITTEN = (
    b"error: the answer could not be written to stdout [StdoutClosed]\n"
    b"remedy: Keep stdout open and read it, as the kubelet does.\n"
)


def is_docker_helper(program: str) -> bool:
    """True if *program* is a name of Docker's credential helper protocol, as a symlink to this program has.

    >>> is_docker_helper("/usr/local/bin/docker-credential-aliyun-acr")
    True
    """
    return program.rpartition("/")[2].startswith("docker-credential-")


def main() -> int:
    """Answer the kubelet, or an operator; return the exit code."""
    _fill_standard_files()
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # Python's own way to end is a traceback
    try:
        return _answer_or_operate(time.monotonic(), sys.argv[1:])
    except Exception as error:  # noqa: BLE001 - its text may hold anything, so only its type is printed
        _say(b"error: unforeseen " + type(error).__name__.encode() + b" [UnforeseenError]\n" + LIMITS)
        return 1


def _answer_or_operate(started: float, arguments: list[str]) -> int:
    options = exec_options(arguments)
    if options is None:
        protect()
    if options is None and is_docker_helper(sys.argv[0]):
        from .exec.docker_credential_helper import main as help_docker  # noqa: PLC0415

        return help_docker(arguments, started=started, seconds=DEADLINE)
    if options is None or (not arguments and posix.isatty(0)):
        from .commands.cli import main as operate  # noqa: PLC0415

        return operate(arguments)
    _signal.signal(_signal.SIGALRM, _stdin_hangs)
    _signal.alarm(DEADLINE)
    try:
        raw = read_request()
    except OSError:  # closed; the slow path reports that nothing came
        raw = b""
    # While a disk hangs no handler of ours runs, but the kernel still ends the process.
    _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
    hit = lookup(raw, options)
    if hit is None:
        _signal.setitimer(_signal.ITIMER_REAL, max(started + BACKSTOP - time.monotonic(), 1.0))
        protect()
        from .exec.run import get_credentials  # noqa: PLC0415

        return get_credentials(raw, options, started=started, seconds=DEADLINE)
    response, entry = hit
    _signal.signal(_signal.SIGALRM, _stdout_hangs)
    try:
        write_all(response)
    except OSError:
        _say(NOT_WRITTEN)
        return 1
    leave_trace(options["--cache"])
    log_hit(entry, started)
    return 0


def protect() -> None:
    """Drop variables that libraries must not see, and leave no core dump, before the slow path reads any secret."""
    from .exec import core_dumps  # noqa: PLC0415 - a hit loads neither
    from .exec.environment import leave_out  # noqa: PLC0415

    core_dumps.switch_off()
    leave_out()


def _fill_standard_files() -> None:
    """Open ``/`` in place of a closed stdin, stdout or stderr.

    Otherwise the next file that is opened would take that number, and a token for stdout would be
    written into a lock or a cache entry.
    """
    for file in (0, 1, 2):
        try:
            posix.fstat(file)
        except OSError:
            posix.open("/", posix.O_RDONLY)  # is there everywhere, and can neither be read nor written


def _stdin_hangs(_signal_number: int, _frame: object) -> None:
    _end(STDIN_HANGS)


def _stdout_hangs(_signal_number: int, _frame: object) -> None:
    _end(NOT_WRITTEN)


def _end(words: bytes) -> None:
    _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
    _signal.alarm(1)  # for a stderr that is not read either
    _say(words)
    posix._exit(1)  # noqa: SLF001 - the documented way to end at once


def _say(words: bytes) -> None:
    try:
        write_all(words, file=2)
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main())
