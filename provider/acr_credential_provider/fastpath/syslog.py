"""One line to the system's log for each answer, for those who ask for it.

The kubelet throws away what a successful plugin writes to stderr, so this goes to syslog or
the journal as one datagram. A cache hit may come here too: only modules that are built into
the interpreter or are its C halves, never ``logging``. Nothing here blocks, raises or knows
a secret.
"""

import posix
import time

from .lookup import LOG_VARIABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from acr_credential_provider.model.errors import CredentialProviderError

LEVELS = ("off", "error", "info", "debug")
SOCKET = "/dev/log"
"""Where syslog and the journal listen. ``LEVEL:/another/socket`` in the environment names another one."""
NAME = "aliyun-acr-credential-provider"
LARGEST = 1024  # bytes; RFC 3164 knows no longer packet

_DAEMON = 3 << 3
_ERROR, _WARNING, _INFO, _DEBUG = 3, 4, 6, 7  # severities
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Log:
    """The line about one run, written once.

    *started* is when the run began (monotonic clock). `tag` is ``LEVEL entry=... source=...``,
    `host` the registry, `cache` what the cache had to do with the answer, each as far as known.
    """

    def __init__(self, *, started: float, environ: "Mapping[bytes, bytes]" = posix.environ) -> None:
        self.tag = ""
        self.host = ""
        self.cache = "shared"
        self._started = started
        self._is_told = False
        forced, _, path = environ.get(LOG_VARIABLE, b"").decode("utf-8", "replace").partition(":")
        self._forced = forced if forced in LEVELS else ""
        self._socket = path if path.startswith("/") else SOCKET

    def answered(self, *, host: str, kind: str, cache: str, tag: str) -> None:
        """Tell the answer: for which *host*, what *kind* of one, and what the *cache* had to do with it.

        *cache* is ``hit``, ``miss`` (the cloud was asked), ``shared`` (by another pull, whose answer
        this is), ``due`` (given before its renewal) or ``renewed``.
        """
        self.tag = tag
        if not self._is_told:
            self._is_told = True
            self._say("info", _INFO, f"answered host={host} answer={kind} cache={cache} {self._entry_and_time()}")

    def failed(self, error: "CredentialProviderError") -> None:
        """Tell that there is no answer, and why."""
        if not self._is_told:
            self._is_told = True
            where = f"host={self.host or '-'} {self._entry_and_time()}"
            self._say("error", _ERROR, f"failed {where} error: {error.problem} remedy: {error.remedy}")

    def noted(self, error: "CredentialProviderError") -> None:
        """Tell what did not keep us from answering, since the kubelet drops the stderr of a run that answers."""
        self._say("error", _WARNING, f"note: {error.problem}. {error.remedy}")

    def stage(self, words: str) -> None:
        """Tell what comes next."""
        self._say("debug", _DEBUG, f"stage {self._entry_and_time()} {words}")

    def _entry_and_time(self) -> str:
        milliseconds = int((time.monotonic() - self._started) * 1000)
        return f"{self.tag.partition(' ')[2]} ms={milliseconds}"

    def _say(self, level: str, severity: int, text: str) -> None:
        chosen = self._forced or self.tag.partition(" ")[0]
        if chosen in LEVELS and LEVELS.index(chosen) >= LEVELS.index(level):
            _send(_packet(severity, text), self._socket)


def _packet(severity: int, text: str) -> bytes:
    r"""Return *text* as RFC 3164 has it on a local socket: no host, ``Mmm dd hh:mm:ss NAME[PID]:``.

    >>> _packet(6, "answered\nhost=a").split(b" ", 3)[3].partition(b": ")[2]
    b'answered host=a'
    """
    _, month, day, hour, minute, second, *_ = time.localtime()
    head = f"<{_DAEMON | severity}>{_MONTHS[month - 1]} {day:2} {hour:02}:{minute:02}:{second:02} {NAME}"
    line = " ".join(text.split())
    return f"{head}[{posix.getpid()}]: {line}".encode("utf-8", "backslashreplace")[:LARGEST]


def _send(packet: bytes, path: str) -> None:
    """Send *packet*, or drop it: a log that is full, gone or hung must not cost a pull."""
    try:
        import _socket  # noqa: PLC0415 - the C half of socket; only those who log pay for it

        kind = _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
        with_log = _socket.socket(_socket.AF_UNIX, kind)
        try:
            with_log.sendto(packet, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL, path)
        finally:
            with_log.close()
    except (OSError, ValueError, ImportError):
        return
