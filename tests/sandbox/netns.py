"""A network namespace of its own, in which 100.100.100.200 can be ours as it is the cloud's in life.

Needs root. Nothing outside the namespace changes, and the kernel removes it with its last process.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

CLONE_NEWNET = 0x40000000
# "cat" holds the namespace until its input is closed, which happens even if we are killed.
HOLDER = "ip link set lo up && ip address add 100.100.100.200/32 dev lo && echo ready && exec cat"


class NetworkNamespace:
    """A fresh namespace with only ``lo``, up, holding 127.0.0.1 and 100.100.100.200."""

    def __enter__(self) -> Self:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--", "sh", "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if self._holder.stdout is None or self._holder.stdout.readline() != b"ready\n":
            self.__exit__(None, None, None)
            raise OSError("no network namespace to be had: it takes root, unshare (util-linux) and ip (iproute2)")
        self.path = f"/proc/{self._holder.pid}/ns/net"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.communicate()

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs *argv* inside, for `subprocess`."""
        return ["nsenter", f"--net={self.path}", "--", *argv]

    def run(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run *argv* inside, with the options of `subprocess.run`."""
        return subprocess.run(self.command(argv), check=False, **options)

    def call(self, work: Callable[[], object]) -> None:
        """Call *work* in a thread that has entered the namespace: sockets it makes stay inside for good."""
        failures: list[BaseException] = []

        def enter_and_work() -> None:
            try:
                enter(self.path)
                work()
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                failures.append(error)

        thread = threading.Thread(target=enter_and_work)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]


def enter(path: str) -> None:
    """Move the calling thread into the network namespace at *path* (Python 3.12 has os.setns)."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)
