"""Files that only root can change, with every folder and symlink on the way, and how such programs are run.

A program is opened once, checked by its descriptor and run by that descriptor, because its path could lead to another
file a moment later.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from acr_credential_provider.changes import way
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_SHEBANG = 256
"""Bytes of a script's first line that the kernel reads."""


class UntrustedFileError(ConfigurationError):
    """Users other than root can change *path*: a file, a folder above it or a symlink on the way."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} can be changed by others than root, and would be run as root",
            remedy=Remedy(
                "ProgramUnsafe",
                "Put the program into a folder that root alone can change, with every folder above it. "
                f"Leave {path} as it is: other programs or users may need it so.",
            ),
        )
        self.path = path


@dataclass(frozen=True, slots=True)
class Program:
    """A program below *root* that only root can change, named by *path* and open as *descriptor*."""

    path: str
    root: str
    descriptor: int
    status: os.stat_result
    is_script: bool

    @property
    def executable(self) -> str:
        """The path of exactly this file, for a process that inherits the descriptor."""
        return f"/proc/self/fd/{self.descriptor}"

    def run(
        self, words: Sequence[str], *, stdin: bytes, seconds: float, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it with *words* and the variables *environment*; raise ``OSError`` or `subprocess.TimeoutExpired`."""
        return subprocess.run(  # noqa: S603 - a list of words, no shell
            words,
            executable=self.executable,
            pass_fds=(self.descriptor,),
            input=stdin,
            capture_output=True,
            env=environment,
            cwd="/",
            timeout=seconds,
            check=False,
        )

    def enter(self, words: Sequence[str], environment: Mapping[str, str]) -> Callable[[], None]:
        """Return the function with which a child process changes into *root* before it runs `executable`.

        A root without /proc is an image of a node that does not run. There the program is run by its path, which only
        root can change: our own program finds its files by that if no /proc names it.
        """

        def enter_root() -> None:
            if self.root != "/":
                os.chroot(self.root)
            os.chdir("/")
            if not os.path.exists(self.executable):
                os.execve(self.path, list(words), dict(environment))  # noqa: S606

        return enter_root


@contextmanager
def opened(path: str, root: str = "/") -> Iterator[Program]:
    """Yield the program at *path* below *root*.

    Raises `UntrustedFileError` if users other than root could change it or, for a script, its interpreter; ``OSError``
    if one of them is absent or no program.
    """
    descriptor = _walk(path, root)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o111:
            _fail(errno.EACCES, path)
        interpreter = _interpreter(descriptor)
        if interpreter:
            with opened(interpreter, root):
                pass  # the kernel opens it by its path, which only root can change
        yield Program(path, root, descriptor, status, bool(interpreter))
    finally:
        os.close(descriptor)


def chroot(root: str) -> None:
    """Enter the folder *root* with this process; raise `UntrustedFileError` or ``OSError``."""
    descriptor = _walk(root, "/")
    try:
        os.chdir(descriptor)
        os.chroot(".")
    finally:
        os.close(descriptor)


def judge(path: str, root: str = "/") -> None:
    """Raise `UntrustedFileError` if users other than root could change *path*, ``OSError`` if it is absent."""
    os.close(_walk(path, root))


def _walk(path: str, root: str) -> int:
    """Return a descriptor (O_PATH) of *path*; *root* is the / of symlinks too."""
    try:
        return way.walk(path, root, _judge)
    except way.OthersCanChangeError as error:
        problem = UntrustedFileError(error.filename)
    raise problem


def _judge(status: os.stat_result, names: Sequence[str]) -> None:
    if not way.is_trusted(status):
        raise way.OthersCanChangeError("/" + "/".join(names))


def _interpreter(descriptor: int) -> str:
    """Return the interpreter that a script names, "" for any other program."""
    try:
        with open(f"/proc/self/fd/{descriptor}", "rb") as file:
            line = file.read(_SHEBANG).partition(b"\n")[0]
    except OSError:  # its interpreter could not read it either
        return ""
    words = line.removeprefix(b"#!").split()
    return os.fsdecode(words[0]) if line.startswith(b"#!") and words else ""


def _fail(number: int, path: str) -> NoReturn:
    raise OSError(number, os.strerror(number), path)
