"""The installer's folder on the host, for root alone: its lock, journal, record and rejected contents."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from acr_credential_provider.model.remedy import Remedy

from acr_node_config.hostfs import safe_path
from acr_node_config.model import steps
from acr_node_config.model.errors import BusyError, NodeConfigError

from .journal import Journal, Record, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from acr_node_config.hostfs.host_files import HostFiles

Parsed = TypeVar("Parsed")

FOLDER = "/var/lib/aliyun-acr-credential-provider"
MOST_REJECTED = 20
PATIENCE = 2.0
"""Seconds to wait for another installer; its own work may take a minute, and the caller can come again."""


@dataclass(frozen=True, slots=True)
class InstallerFolder:
    """The folder at *folder* of *host*."""

    host: HostFiles
    folder: str = FOLDER

    @contextmanager
    def locked(self, timeout: float = PATIENCE) -> Iterator[None]:
        """Make the folder, and be this node's only installer meanwhile; raise `BusyError` after *timeout* seconds.

        The lock is on the folder itself, so that it leaves nothing behind and ends with its holder.
        """
        until = time.monotonic() + timeout
        made: list[str] = []
        while (descriptor := self._lock(until, made)) is None:
            pass
        try:
            yield
        finally:
            for path in reversed(made):  # a run that was refused leaves nothing; what has something in it stays
                self.host.apply(steps.RemoveFolder(path))
            os.close(descriptor)

    def _lock(self, until: float, made: list[str]) -> int | None:
        """Return the folder's descriptor, locked; None if it was removed meanwhile. *made* gets what was not there."""
        for path in safe_path.ancestors(self.folder):
            if self.host.stat(path).is_absent:
                made.append(path)
                self.host.apply(steps.MakeFolder(path))
        private = steps.MakeFolder(self.folder, 0o700, is_ours=True)
        if self.host.stat(self.folder).is_absent:
            made.append(self.folder)
        if not self.host.satisfies(private):  # a kubelet that made it for a hostPath mount made it for all to read
            self.host.apply(private)
        with safe_path.translate_os_errors(self.folder):
            descriptor = safe_path.own_folder(self.host.root, self.folder).descriptor
        while not _try_lock(descriptor):
            if time.monotonic() > until:
                os.close(descriptor)
                raise BusyError(
                    "another installer is at work on this node",
                    remedy=Remedy(
                        "InstallerBusy",
                        "Let it end: it takes a minute or two at most. See who holds the lock with lslocks.",
                    ),
                )
            time.sleep(0.05)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)
        return None

    def journal(self) -> Journal | None:
        """Return the journal of a change that did not end, None if there is none."""
        return self._read("journal.json", Journal.from_dict)

    def write_journal(self, journal: Journal) -> Journal:
        """Put *journal* on the disk, and return it."""
        self._write("journal.json", journal.to_dict())
        return journal

    def end_journal(self) -> None:
        """Remove the journal: the change is over."""
        self.host.apply(steps.RemoveFile(f"{self.folder}/journal.json"))

    def record(self) -> Record | None:
        """Return what is installed, None if nothing is."""
        return self._read("record.json", Record.from_dict)

    def write_record(self, record: Record | None) -> None:
        """Put *record* on the disk; None removes it."""
        if record is None:
            self.host.apply(steps.RemoveFile(f"{self.folder}/record.json"))
        else:
            self._write("record.json", record.to_dict())

    def rejected(self) -> tuple[Rejected, ...]:
        """Return the contents that were rejected on this node, the latest last."""
        return self._read("rejected.json", lambda found: tuple(Rejected(**entry) for entry in found["rejected"])) or ()

    def rejection(self, key: str) -> str:
        """Return why content *key* was rejected, "" if it was not."""
        return next((entry.reason for entry in self.rejected() if entry.key == key), "")

    def reject(self, key: str, reason: str) -> None:
        """Remember that content *key* was rejected."""
        others = [entry for entry in self.rejected() if entry.key != key]
        self._write_rejected([*others, Rejected(key, reason, int(time.time()))][-MOST_REJECTED:])

    def forgive(self, key: str) -> None:
        """Forget that content *key* was rejected: a kubelet is healthy with it now, or an operator retries it."""
        kept = [entry for entry in self.rejected() if entry.key != key]
        if len(kept) < len(self.rejected()):
            self._write_rejected(kept)

    def _write_rejected(self, entries: list[Rejected]) -> None:
        self._write("rejected.json", {"rejected": [asdict(entry) for entry in entries]})

    def _read(self, name: str, parse: Callable[[dict[str, Any]], Parsed]) -> Parsed | None:
        file = self.host.stat(f"{self.folder}/{name}")
        if file.kind != steps.FILE:
            return None
        try:
            return parse(json.loads(file.content))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):  # torn, or of an unknown version
            pass
        raise NodeConfigError(
            f"{self.folder}/{name} is not what we wrote there",
            remedy=Remedy(
                "InstallerStateDamaged",
                "Look at the disk. Compare the kubelet's files with what they should be, then remove that file.",
            ),
        )

    def _write(self, name: str, document: dict[str, Any]) -> None:
        content = json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
        self.host.apply(steps.PutFile(f"{self.folder}/{name}", content, 0o600))


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
