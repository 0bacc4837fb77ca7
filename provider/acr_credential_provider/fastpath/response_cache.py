"""The response cache: the plugin's answers for each scope and subject, on the node's disk.

An entry is one small root-only file, replaced by rename. It holds its cache key, the times from which it is refreshed
and no longer used, the fingerprints of the files that the answer depends on, and the answer. Failures are entries too,
in a file of their own, so that a valid token is never lost to one.

Part of the fast path: only modules that are built into the interpreter.
"""

import posix
import time

from .cpython import checksum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = "acr-memo 2"
LARGEST = 4 << 20  # bytes; an answer has about 700, the settings of a thousand registries half a million
SUM = 64  # bytes at the end: the checksum of all before
FOREVER = 1e12  # seconds since the epoch: after the expiry of any token
DUE_CACHE = 60  # seconds the kubelet may keep a token that needs a refresh
CLOCK_STEP = 2.0  # seconds that a clock may be set back before the times written by it are distrusted
IS_FOLDER = 0o040000
TYPE_AND_OTHERS_WRITE = 0o170022  # the type bits, and the write bits of group and others
OTHERS_READ_OR_WRITE = 0o077

TOKEN = "token"  # noqa: S105 - a kind of entry
LOGIN = "login"
"""A user's own password: never written to disk."""
NOT_COVERED = "not-covered"
FAILED = "failed"


def file_fingerprint(path: str) -> str:
    """Return a line that changes whenever the file at *path* does: its stat, not its content.

    >>> file_fingerprint("/nowhere/settings.yaml")
    'absent /nowhere/settings.yaml'
    """
    try:
        status = posix.stat(path)
    except (OSError, ValueError):
        return "absent " + path
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns} {path}"


def fingerprinted_path(fingerprint: str) -> str:
    """Return the path of a `file_fingerprint`."""
    return fingerprint.partition(" ")[2]


class CacheEntry:
    """One cached answer. All times are in seconds.

    *written*, *refresh_at* and *expires_at* count from the epoch by this node's clock; *uptime* is the time since
    boot at which it was written. *max_cache_duration* limits how long the kubelet may cache a fresh answer.
    *answer* is the ``auth`` object of the response as JSON; for a failure the error's class, problem and remedy in
    three lines. *host* is the cache scope: a host, or HOST/NAMESPACE where accounts share a host; the kubelet then
    keeps the answer for that image alone. *log* is the tag of the system's log, the settings' level first
    (`syslog.Log`).
    """

    __slots__ = (
        "answer",
        "digest",
        "expires_at",
        "fingerprints",
        "host",
        "kind",
        "log",
        "max_cache_duration",
        "refresh_at",
        "uptime",
        "written",
    )

    def __init__(  # noqa: PLR0913 - a record, always built by name; a dataclass would cost a hit its import
        self,
        *,
        digest: str,
        kind: str,
        host: str,
        written: float,
        uptime: float,
        refresh_at: float,
        expires_at: float,
        max_cache_duration: float,
        fingerprints: "Iterable[str]",
        answer: str,
        log: str = "",
    ) -> None:
        self.digest = digest
        self.kind = kind
        self.host = host
        self.written = written
        self.uptime = uptime
        self.refresh_at = refresh_at
        self.expires_at = expires_at
        self.max_cache_duration = max_cache_duration
        self.fingerprints = tuple(fingerprints)
        self.answer = answer
        self.log = log

    def encode(self) -> bytes:
        """Return the bytes of the entry's file."""
        times = f"{self.written!r} {self.uptime!r} {self.refresh_at!r} {self.expires_at!r} {self.max_cache_duration!r}"
        head = (FORMAT, self.digest, self.kind, self.host, times, self.log, str(len(self.fingerprints)))
        body = "\n".join((*head, *self.fingerprints, self.answer, "")).encode("utf-8", "surrogateescape")
        return body + checksum(body).encode()

    @classmethod
    def decode(cls, data: bytes) -> "CacheEntry":
        """Read back `encode`; raise ``ValueError`` for anything torn, damaged or of another version."""
        body, checked = data[:-SUM], data[-SUM:]
        lines = body.decode("utf-8", "surrogateescape").split("\n")
        if len(lines) < 9 or lines[0] != FORMAT or checked != checksum(body).encode():
            raise ValueError("not a cache entry")
        written, uptime, refresh_at, expires_at, max_cache_duration = map(float, lines[4].split(" "))
        answer_from = 7 + int(lines[6])
        return cls(
            digest=lines[1],
            kind=lines[2],
            host=lines[3],
            written=written,
            uptime=uptime,
            refresh_at=refresh_at,
            expires_at=expires_at,
            max_cache_duration=max_cache_duration,
            log=lines[5],
            fingerprints=lines[7:answer_from],
            answer="\n".join(lines[answer_from:-1]),
        )

    def is_valid_for(self, digest: str) -> bool:
        """True if this entry has the cache key *digest*, and no file that it depends on has changed."""
        return self.digest == digest and all(
            file_fingerprint(fingerprinted_path(line)) == line for line in self.fingerprints
        )

    def response(self, api_version: str, *, now: float) -> bytes:
        """Return the CredentialProviderResponse, its cacheDuration counted from *now*."""
        if self.kind == LOGIN:
            seconds = int(self.max_cache_duration)
        elif self.kind != TOKEN:
            seconds = 0
        elif now < self.refresh_at:
            seconds = int(min(self.refresh_at - now, self.max_cache_duration))
        else:
            seconds = int(max(min(self.expires_at - now, DUE_CACHE), 0))
        return respond(api_version, seconds, self.answer, key_type="Image" if "/" in self.host else "Registry")


def respond(api_version: str, seconds: int, auth: str, *, key_type: str = "Registry") -> bytes:
    """Return the bytes of a response: one line, with no field that the kubelet does not know.

    *auth* is a JSON object ``{host: {"username": ..., "password": ...}}``; *seconds* become a Go duration; *key_type*
    is what the kubelet keeps it for, ``Registry`` or ``Image``. Wire types: k8s.io/kubelet/pkg/apis/credentialprovider.
    """
    return (
        f'{{"kind":"CredentialProviderResponse","apiVersion":"{api_version}",'
        f'"cacheKeyType":"{key_type}","cacheDuration":"{seconds}s","auth":{auth}}}\n'
    ).encode()


class ResponseCache:
    """The folder of cache entries. A problem with it is a cache miss, never an error of a lookup."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def path(self, digest: str, suffix: str = "memo") -> str:
        """Return the path of the entry for *digest*, which may be absent."""
        return f"{self.folder}/{digest}.{suffix}"

    def get(self, digest: str, suffix: str = "memo") -> CacheEntry | None:
        """Return the entry for *digest* if it is whole, valid, unexpired, and no other user could have written it."""
        try:
            entry = self.read(self.path(digest, suffix))
        except (OSError, ValueError):
            return None
        if not entry.is_valid_for(digest) or monotonic_now_for(entry) >= entry.expires_at:
            return None
        return entry

    def read(self, path: str) -> CacheEntry:
        """Return the entry at *path*, expired or not; raise ``OSError`` or ``ValueError``.

        The folder and the file must belong to this user alone: the kubelet would be handed a token that another user
        put there.
        """
        self._check_folder()
        file = posix.open(path, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC)
        try:
            status = posix.fstat(file)
            if status.st_uid != posix.geteuid() or status.st_mode & OTHERS_READ_OR_WRITE or status.st_size > LARGEST:
                raise ValueError("the file is not ours alone")
            return CacheEntry.decode(posix.read(file, LARGEST))
        finally:
            posix.close(file)

    def put(self, entry: CacheEntry, suffix: str = "memo") -> None:
        """Put *entry* in place of the one before it; raise ``OSError`` if the disk does not take it.

        Raises ``ValueError`` if the folder is not this user's alone, or for text that no file can hold.
        """
        data = entry.encode()
        self._check_folder()
        path = self.path(entry.digest, suffix)
        draft = f"{path}.{posix.urandom(8).hex()}"  # not the pid: containers that share the folder have the same ones
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
        file = posix.open(draft, flags, 0o600)
        try:
            try:
                if posix.write(file, data) != len(data):
                    raise OSError("the disk is full")
            finally:
                posix.close(file)
            posix.rename(draft, path)
        except OSError:
            posix.unlink(draft)
            raise

    def mark_used(self, digest: str, at: float | None = None) -> None:
        """Record the time of the last use, by default now: only entries used recently are refreshed."""
        try:
            posix.utime(self.path(digest), None if at is None else (at, at))
        except OSError:
            return

    def delete(self, digest: str, suffix: str = "memo") -> None:
        """Remove the entry for *digest*, if there is one."""
        try:
            posix.unlink(self.path(digest, suffix))
        except OSError:
            return

    def _check_folder(self) -> None:
        # The parent too: a user who can write there can replace this folder.
        for path in (self.folder, self.folder.rpartition("/")[0]):
            status = posix.lstat(path)
            if status.st_uid != posix.geteuid() or status.st_mode & TYPE_AND_OTHERS_WRITE != IS_FOLDER:
                raise ValueError("the folder is not ours alone")


def uptime() -> float:
    """Return the seconds since boot, including suspended time; no user can set this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def plausible_now(*, clock: float, uptime: float, written: float, written_uptime: float) -> float:
    """Return the time by which a file *written* then is judged, or `FOREVER` if no clock is right.

    Uptime cannot be set, and a reboot only makes it smaller; so its growth since the writing is never more than the
    time that really passed. A clock that is set back therefore does not prolong a token's life.

    >>> plausible_now(clock=900.0, uptime=70.0, written=1000.0, written_uptime=10.0) == FOREVER
    True
    >>> plausible_now(clock=1001.0, uptime=70.0, written=1000.0, written_uptime=10.0)
    1060.0
    """
    if clock < written - CLOCK_STEP:
        return FOREVER
    return max(clock, written + (uptime - written_uptime))


def monotonic_now_for(entry: CacheEntry) -> float:
    """Return the present time by which *entry* is judged."""
    return plausible_now(clock=time.time(), uptime=uptime(), written=entry.written, written_uptime=entry.uptime)
