"""The response cache: one file on the node's disk for each cache scope and identity.

An entry is one small root-only file, replaced by rename. It has its cache key, the times from which
it is refreshed and no longer given out, the files that it depends on, and the answer itself. Failures
are entries too, in files of their own, so that a valid token is never lost to one.

Part of the fast path: only modules that are built into the interpreter.
"""

import posix
import time

from .cpython import checksum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from acr_credential_provider.changes.folder import Folder

FORMAT = "acr-memo 2"
LARGEST = 4 << 20  # bytes; an answer has about 700, the settings of a thousand registries half a million
SUM = 64  # bytes at the end: the checksum of all before
FOREVER = 1e12  # seconds since the epoch: after any token's end
DUE_CACHE = 60  # seconds the kubelet may keep a token that should have been refreshed
CLOCK_STEP = 2.0  # seconds a clock may be set back before its earlier times are distrusted
IS_FOLDER = 0o040000
TYPE_AND_OTHERS_WRITE = 0o170022  # the type bits, and the write bits of group and others
OTHERS_READ_OR_WRITE = 0o077

TOKEN = "token"  # noqa: S105 - a kind of entry
LOGIN = "login"
"""A user's own password: given out, never written to disk."""
NOT_COVERED = "not-covered"
FAILED = "failed"


def file_fingerprint(path: str) -> str:
    """Return a line that changes whenever the file at *path* does: from its stat, not its content.

    >>> file_fingerprint("/nowhere/settings.yaml")
    'absent /nowhere/settings.yaml'
    """
    try:
        stat = posix.stat(path)
    except (OSError, ValueError):
        return "absent " + path
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns} {path}"


def fingerprinted_path(line: str) -> str:
    """Return the path in a `file_fingerprint`."""
    return line.partition(" ")[2]


class CacheEntry:
    """One cached response.

    All times are seconds. *written*, *refresh_at* and *expires_at* count from the epoch by this node's
    clock; *uptime* is the time since boot at which it was written. *max_cache_duration* is the longest time
    that the kubelet may cache a fresh response. *answer* is the ``auth`` object of the response as JSON, or
    for a failure the error's class, problem, remedy and its code, a line each. *scope* is a host, or HOST/NAMESPACE
    where accounts share a host; the kubelet then keeps the response for that image alone.
    *log* is the tag of its line in the system's log, the settings' level first (`syslog.Log`).
    """

    __slots__ = (
        "answer",
        "expires_at",
        "fingerprints",
        "key",
        "kind",
        "log",
        "max_cache_duration",
        "refresh_at",
        "scope",
        "uptime",
        "written",
    )

    def __init__(  # noqa: PLR0913 - a record, always built by name
        self,
        *,
        key: str,
        kind: str,
        scope: str,
        refresh_at: float,
        expires_at: float,
        fingerprints: "Iterable[str]",
        answer: str,
        max_cache_duration: float = 0.0,
        log: str = "",
        written: float | None = None,
        uptime: float | None = None,
    ) -> None:
        self.key = key
        self.kind = kind
        self.scope = scope
        self.written = time.time() if written is None else written
        self.uptime = time.clock_gettime(time.CLOCK_BOOTTIME) if uptime is None else uptime
        self.refresh_at = refresh_at
        self.expires_at = expires_at
        self.max_cache_duration = max_cache_duration
        self.fingerprints = tuple(fingerprints)
        self.answer = answer
        self.log = log

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        times = f"{self.written!r} {self.uptime!r} {self.refresh_at!r} {self.expires_at!r} {self.max_cache_duration!r}"
        lines = (
            FORMAT,
            self.key,
            self.kind,
            self.scope,
            times,
            self.log,
            str(len(self.fingerprints)),
            *self.fingerprints,
        )
        body = ("\n".join(lines) + "\n" + self.answer + "\n").encode("utf-8", "surrogateescape")
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
            key=lines[1],
            kind=lines[2],
            scope=lines[3],
            written=written,
            uptime=uptime,
            refresh_at=refresh_at,
            expires_at=expires_at,
            max_cache_duration=max_cache_duration,
            log=lines[5],
            fingerprints=lines[7:answer_from],
            answer="\n".join(lines[answer_from:-1]),
        )

    def is_valid_for(self, key: str) -> bool:
        """True if this is the response of *key*, and no file that it depends on has changed."""
        return self.key == key and all(file_fingerprint(fingerprinted_path(line)) == line for line in self.fingerprints)

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
        return respond(api_version, seconds, self.answer, key_type="Image" if "/" in self.scope else "Registry")


def respond(api_version: str, seconds: int, auth: str, *, key_type: str = "Registry") -> bytes:
    """Return the bytes that the kubelet reads: no field but those it knows, one line.

    *auth* is a JSON object ``{host: {"username": ..., "password": ...}}``; *seconds* become
    a Go duration; *key_type* is what the kubelet caches it for, ``Registry`` or ``Image``.
    Wire types: k8s.io/kubelet/pkg/apis/credentialprovider.
    """
    return (
        f'{{"kind":"CredentialProviderResponse","apiVersion":"{api_version}",'
        f'"cacheKeyType":"{key_type}","cacheDuration":"{seconds}s","auth":{auth}}}\n'
    ).encode()


class ResponseCache:
    """The folder of cache entries. Any I/O problem is a cache miss."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def path(self, key: str, suffix: str = "memo") -> str:
        """Return the path of the entry of *key*, whether or not it exists."""
        return f"{self.folder}/{key}.{suffix}"

    def get(self, key: str, suffix: str = "memo", *, is_used: bool = False) -> CacheEntry | None:
        """Return the entry of *key* if it is ours, whole, valid and not expired.

        *is_used* records this as the time of last use, unless it is due for a refresh.
        """
        try:
            file = self._open(self.path(key, suffix))
        except (OSError, ValueError):
            return None
        try:
            entry = CacheEntry.decode(posix.read(file, LARGEST))
            now = monotonic_now_for(entry)
            if not entry.is_valid_for(key) or now >= entry.expires_at:
                return None
            if is_used and now < entry.refresh_at:
                _mark_used(file, None)
        except (OSError, ValueError):
            return None
        finally:
            posix.close(file)
        return entry

    def read(self, path: str) -> CacheEntry:
        """Return the entry at *path*, expired or not; raise ``OSError`` or ``ValueError``."""
        file = self._open(path)
        try:
            return CacheEntry.decode(posix.read(file, LARGEST))
        finally:
            posix.close(file)

    def _open(self, path: str) -> int:
        """Return a descriptor of the entry at *path*; raise ``OSError`` or ``ValueError``.

        The folder and the file must belong to us alone: a token that another user could
        have put there would be handed to the kubelet.
        """
        self._check_folder()
        file = posix.open(path, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC)
        stat = posix.fstat(file)
        if stat.st_uid != posix.geteuid() or stat.st_mode & OTHERS_READ_OR_WRITE or stat.st_size > LARGEST:
            posix.close(file)
            raise ValueError("the file is not ours alone")
        return file

    def put(self, entry: CacheEntry, suffix: str = "memo") -> None:
        """Put *entry* in place of the one before it; raise ``OSError`` when the disk is full or read-only.

        Raises ``ValueError`` when the folder is not ours alone, or for text that no file can hold.
        """
        data = entry.encode()
        self._check_folder()
        name = f"{entry.key}.{suffix}"
        with self._opened() as folder:
            folder.put(name, data, draft=f"{name}.")

    def mark_used(self, key: str, used_at: float) -> None:
        """Record *used_at* as the time of last use; entries not used lately are not refreshed."""
        try:
            file = self._open(self.path(key))
        except (OSError, ValueError):
            return
        _mark_used(file, (used_at, used_at))
        posix.close(file)

    def delete(self, key: str, suffix: str = "memo") -> None:
        """Remove the entry of *key*, if there is one."""
        try:
            self._check_folder()
            with self._opened() as folder:
                folder.unlink(f"{key}.{suffix}")
        except (OSError, ValueError):
            return

    def _opened(self) -> "Folder":
        from acr_credential_provider.changes.folder import opened  # noqa: PLC0415 - a hit changes no folder

        return opened(self.folder)

    def _check_folder(self) -> None:
        # The one above too: a user who can write there can put another folder in this one's place.
        for path in (self.folder, self.folder.rpartition("/")[0]):
            folder = posix.lstat(path)
            if folder.st_uid != posix.geteuid() or folder.st_mode & TYPE_AND_OTHERS_WRITE != IS_FOLDER:
                raise ValueError("the folder is not ours alone")


def _mark_used(file: int, times: "tuple[float, float] | None") -> None:
    """Give the open entry *file*, which is ours, *times* of last use, or now."""
    try:
        posix.utime(file, times)
    except OSError:  # a read-only disk
        return


def uptime() -> float:
    """Return the seconds since boot, time asleep included; this clock cannot be set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def plausible_now(*, clock: float, uptime: float, written: float, written_uptime: float) -> float:
    """Return the present for something written at *written*, or `FOREVER` when the clocks contradict each other.

    The time since boot can't be set, and since a reboot only makes it smaller, what it has
    grown since the writing is never more than the time that really passed. So a clock set
    back does not make a token young again.

    >>> plausible_now(clock=900.0, uptime=70.0, written=1000.0, written_uptime=10.0) == FOREVER
    True
    >>> plausible_now(clock=1001.0, uptime=70.0, written=1000.0, written_uptime=10.0)
    1060.0
    """
    if clock < written - CLOCK_STEP:
        return FOREVER
    return max(clock, written + (uptime - written_uptime))


def monotonic_now_for(entry: CacheEntry) -> float:
    """Return the present by which the times of *entry* are compared (`plausible_now`)."""
    return plausible_now(clock=time.time(), uptime=uptime(), written=entry.written, written_uptime=entry.uptime)
