"""One line to the system's log for each answer, if the settings or the environment ask for it.

The kubelet drops the stderr of a plugin that succeeds, so the line goes to syslog or the journal as one datagram.
Hits are logged too, so this loads only modules that are built into the interpreter or are its C halves, never
``logging``. Nothing here blocks, raises or knows a secret.
"""

import posix
import time

from acr_credential_provider.version import LOG_VARIABLE, NAME

from .plain_text import cut, plain_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from acr_credential_provider.model.errors import CredentialProviderError

LEVELS = ("off", "error", "info", "debug")
SOCKET = "/dev/log"
"""The socket of syslog and the journal. ``LEVEL:/another/socket`` in the environment names another one."""
LARGEST = 1024  # bytes; RFC 3164 knows no longer packet

_DAEMON = 3 << 3
_ERROR, _WARNING, _INFO, _DEBUG = 3, 4, 6, 7  # severities
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Log:
    """The line about one run, written once.

    *started* is the run's start (monotonic clock). `tag` is ``LEVEL entry=... source=...``, `host` the registry,
    `cache` the part that the cache had in the answer, each as far as known.
    """

    def __init__(self, *, started: float, environ: "Mapping[bytes, bytes]" = posix.environ) -> None:
        self.tag = ""
        self.host = ""
        self.cache = "shared"
        self._started = started
        self._is_written = False
        forced, _, path = environ.get(LOG_VARIABLE, b"").decode("utf-8", "replace").partition(":")
        self._forced = forced if forced in LEVELS else ""
        self._socket = path if path.startswith("/") else SOCKET

    def answered(self, *, host: str, kind: str, cache: str, tag: str) -> None:
        """Log an answer for *host*, of an entry's *kind*.

        *cache* is ``hit``, ``miss`` (ACR was asked), ``shared`` (another process asked ACR meanwhile), ``due`` (given
        before its refresh) or ``renewed``.
        """
        self.tag = tag
        if not self._is_written:
            self._is_written = True
            self._log("info", _INFO, f"answered host={host} answer={kind} cache={cache} {self._entry_and_time()}")

    def failed(self, error: "CredentialProviderError") -> None:
        """Log that there is no answer, because of *error*."""
        if not self._is_written:
            self._is_written = True
            fields = f"host={self.host or '-'} {self._entry_and_time()}"
            self._log("error", _ERROR, f"failed {fields} error: {error.coded} remedy: {error.remedy}")

    def noted(self, error: "CredentialProviderError") -> None:
        """Log an *error* that did not prevent the answer."""
        self._log("error", _WARNING, f"note: {error.coded}. {error.remedy}")

    def stage(self, text: str) -> None:
        """Log the next step."""
        self._log("debug", _DEBUG, f"stage {self._entry_and_time()} {text}")

    def _entry_and_time(self) -> str:
        milliseconds = int((time.monotonic() - self._started) * 1000)
        return f"{self.tag.partition(' ')[2]} ms={milliseconds}"

    def _log(self, level: str, severity: int, text: str) -> None:
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
    words = " ".join(text.split())  # a field may be empty
    return cut(f"{head}[{posix.getpid()}]: {plain_text(words)}", LARGEST)


def _send(packet: bytes, path: str) -> None:
    """Send *packet*, or drop it: a log that is full, gone or hung must not cost a pull."""
    try:
        import _socket  # noqa: PLC0415 - the C half of socket, only if something is logged

        kind = _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
        sender = _socket.socket(_socket.AF_UNIX, kind)
        try:
            sender.sendto(packet, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL, path)
        finally:
            sender.close()
    except (OSError, ValueError, ImportError):
        return
