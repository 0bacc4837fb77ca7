"""Memos: what the plugin answered for one host and identity, on the node's disk.

A memo is one small root-only file, replaced by rename. It says whose question it answers,
when the answer is due for renewal and when it is dead, which files the answer depended on,
and the answer itself. Failures are memos too, in a file of their own, so that a living
token is never lost to one.

Part of the fast lane: only modules that are built into the interpreter.
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
FOREVER = 1e12  # seconds since the epoch: after any token's death
DUE_CACHE = 60  # seconds the kubelet may keep a token that should have been renewed
CLOCK_STEP = 2.0  # seconds a clock may be set back before what was written by it is distrusted
IS_FOLDER = 0o040000
TYPE_AND_OTHERS_WRITE = 0o170022  # the type bits, and the write bits of group and others
OTHERS_READ_OR_WRITE = 0o077

TOKEN = "token"  # noqa: S105 - a kind of memo
LOGIN = "login"
"""A password that someone chose: answered, never written down."""
NOT_COVERED = "not-covered"
FAILED = "failed"


def file_fingerprint(path: str) -> str:
    """Return a line that changes whenever the file at *path* does: its stat, not its content.

    >>> file_fingerprint("/nowhere/settings.yaml")
    'absent /nowhere/settings.yaml'
    """
    try:
        seen = posix.stat(path)
    except (OSError, ValueError):
        return "absent " + path
    return f"{seen.st_dev}:{seen.st_ino}:{seen.st_size}:{seen.st_mtime_ns} {path}"


def fingerprinted_path(line: str) -> str:
    """Return the path of a `stamp`."""
    return line.partition(" ")[2]


class CacheEntry:
    """One remembered answer.

    All times are seconds. *written*, *due* and *dead* count from the epoch by this node's
    clock; *uptime* is the time since boot at which it was written. *longest* is the most
    that the kubelet may cache a fresh answer. *answer* is the ``auth`` object of the
    response as JSON, or for a failure the error's class, problem and remedy in three lines.
    *host* is the place that the answer is for: a host, or HOST/NAMESPACE where accounts
    share a host. The kubelet then keeps it for that image alone.
    *log* is what a line in the system's log says about the entry behind the answer, the
    settings' level first (`syslog.Log`).
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

    def __init__(  # noqa: PLR0913 - a record, always built by name
        self,
        *,
        digest: str,
        kind: str,
        host: str,
        written: float,
        uptime: float,
        due: float,
        dead: float,
        longest: float,
        stamps: "Iterable[str]",
        answer: str,
        log: str = "",
    ) -> None:
        self.digest = digest
        self.kind = kind
        self.host = host
        self.written = written
        self.uptime = uptime
        self.refresh_at = due
        self.expires_at = dead
        self.max_cache_duration = longest
        self.fingerprints = tuple(stamps)
        self.answer = answer
        self.log = log

    def encode(self) -> bytes:
        """Return the bytes of the memo's file."""
        times = f"{self.written!r} {self.uptime!r} {self.refresh_at!r} {self.expires_at!r} {self.max_cache_duration!r}"
        lines = (
            FORMAT,
            self.digest,
            self.kind,
            self.host,
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
            raise ValueError("not a memo")
        written, uptime, due, dead, longest = map(float, lines[4].split(" "))
        answer_from = 7 + int(lines[6])
        return cls(
            digest=lines[1],
            kind=lines[2],
            host=lines[3],
            written=written,
            uptime=uptime,
            due=due,
            dead=dead,
            longest=longest,
            log=lines[5],
            stamps=lines[7:answer_from],
            answer="\n".join(lines[answer_from:-1]),
        )

    def is_valid_for(self, digest: str) -> bool:
        """Say whether this answers *digest*'s question and no file it depends on has changed."""
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
    """Return the bytes that the kubelet reads: no field but those it knows, one line.

    *auth* is a JSON object ``{host: {"username": ..., "password": ...}}``; *seconds* become
    a Go duration; *key_type* is what the kubelet keeps it for, ``Registry`` or ``Image``.
    Wire types: k8s.io/kubelet/pkg/apis/credentialprovider.
    """
    return (
        f'{{"kind":"CredentialProviderResponse","apiVersion":"{api_version}",'
        f'"cacheKeyType":"{key_type}","cacheDuration":"{seconds}s","auth":{auth}}}\n'
    ).encode()


class ResponseCache:
    """The folder of memos. Whatever is wrong with it, it is an empty folder, never an error."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def path(self, digest: str, suffix: str = "memo") -> str:
        """Return where the memo of *digest* is or would be."""
        return f"{self.folder}/{digest}.{suffix}"

    def get(self, digest: str, suffix: str = "memo") -> CacheEntry | None:
        """Return the memo of *digest* if it is ours, whole, true and alive."""
        try:
            memo = self.read(self.path(digest, suffix))
        except (OSError, ValueError):
            return None
        if not memo.is_valid_for(digest) or monotonic_now_for(memo) >= memo.expires_at:
            return None
        return memo

    def read(self, path: str) -> CacheEntry:
        """Return the memo at *path*, dead or alive; raise ``OSError`` or ``ValueError``.

        The folder and the file must belong to us alone: a token that another user could
        have put there would be handed to the kubelet.
        """
        self._check_folder()
        file = posix.open(path, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC)
        try:
            seen = posix.fstat(file)
            if seen.st_uid != posix.geteuid() or seen.st_mode & OTHERS_READ_OR_WRITE or seen.st_size > LARGEST:
                raise ValueError("the file is not ours alone")
            return CacheEntry.decode(posix.read(file, LARGEST))
        finally:
            posix.close(file)

    def put(self, memo: CacheEntry, suffix: str = "memo") -> None:
        """Put *memo* in place of the one before it; raise ``OSError`` when the disk won't have it.

        Raises ``ValueError`` when the folder is not ours alone, or for text that no file can hold.
        """
        data = memo.encode()
        self._check_folder()
        path = self.path(memo.digest, suffix)
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

    def mark_used(self, digest: str, asked: float | None = None) -> None:
        """Note when the kubelet asked, by default now: what nobody asks for need not be kept warm."""
        try:
            posix.utime(self.path(digest), None if asked is None else (asked, asked))
        except OSError:
            return

    def delete(self, digest: str, suffix: str = "memo") -> None:
        """Remove the memo of *digest*, if there is one."""
        try:
            posix.unlink(self.path(digest, suffix))
        except OSError:
            return

    def _check_folder(self) -> None:
        # The one above too: who can write there can put another folder in this one's place.
        for path in (self.folder, self.folder.rpartition("/")[0]):
            folder = posix.lstat(path)
            if folder.st_uid != posix.geteuid() or folder.st_mode & TYPE_AND_OTHERS_WRITE != IS_FOLDER:
                raise ValueError("the folder is not ours alone")


def uptime() -> float:
    """Return the seconds since boot, time asleep included; nobody can set this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def plausible_now(*, clock: float, uptime: float, written: float, written_uptime: float) -> float:
    """Return the time by which to judge what was written then, or `FOREVER` when no clock can tell.

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


def monotonic_now_for(memo: CacheEntry) -> float:
    """Return the present as *memo* should be judged by it."""
    return plausible_now(clock=time.time(), uptime=uptime(), written=memo.written, written_uptime=memo.uptime)
