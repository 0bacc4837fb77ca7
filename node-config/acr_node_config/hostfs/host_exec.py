"""Runs programs of the host as if we were not frozen and not in a container.

Only programs that root alone can change, by the descriptor that was checked.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from subprocess import SubprocessError, TimeoutExpired
from typing import TYPE_CHECKING, TypeAlias

from acr_credential_provider.files import trusted_files
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import limit_behind

from acr_node_config.model.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Process: TypeAlias = subprocess.Popen[bytes]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return *environment* without the variables of PyInstaller's bootloader.

    A program of the host must not load our libraries, and another copy of ours must not take our folder for its own.

    >>> clean_environment({"LD_LIBRARY_PATH": "/ours", "LD_LIBRARY_PATH_ORIG": "/theirs", "_PYI_X": "1"})
    {'LD_LIBRARY_PATH': '/theirs', 'PYINSTALLER_RESET_ENVIRONMENT': '1'}
    """
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(("_PYI_", "_MEIPASS")) and name not in ("LD_LIBRARY_PATH", "LD_LIBRARY_PATH_ORIG")
    }
    if "LD_LIBRARY_PATH_ORIG" in environment:
        kept["LD_LIBRARY_PATH"] = environment["LD_LIBRARY_PATH_ORIG"]
    return kept | {"PYINSTALLER_RESET_ENVIRONMENT": "1"}


def own_environment() -> dict[str, str]:
    """Return the environment for programs of the host."""
    return clean_environment(os.environ) | {"PATH": PATH, "LC_ALL": "C"}


def shares(kind: str, root: str) -> bool | None:
    """True if our namespace *kind* (``net``, ``pid``) is that of the first process of the node at *root*.

    None if that cannot be read: it takes SYS_PTRACE, and a /proc.
    """
    proc = "/proc" if root == "/" else f"{root}/proc"
    try:
        theirs, ours = os.stat(f"{proc}/1/ns/{kind}"), os.stat(f"/proc/self/ns/{kind}")
    except OSError:
        return None
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def is_in(kind: str, root: str) -> bool:
    """True if `shares` is, or, where that cannot be read, if the node's root is ours too."""
    is_shared = shares(kind, root)
    return root == "/" if is_shared is None else is_shared


@dataclass(frozen=True, slots=True)
class Start:
    """How `subprocess` starts a command: its *words*, the *executable*, the descriptors that it needs (*passed*).

    *enter* is called in the child process before that.
    """

    words: list[str]
    executable: str
    passed: tuple[int, ...]
    enter: Callable[[], None] | None


def is_there(name: str, root: str) -> bool:
    """True if a program *name* is in a folder of `PATH` below *root*."""
    try:
        with _found(name, root):
            return True
    except (OSError, trusted_files.UntrustedFileError):
        return False


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its arguments. The program is the host's: its path there, or a name to find in `PATH`.

    *network_of* are words of ``nsenter``, whose network it then has. *is_ours* is for a program that came with this
    one, or that the operator named: it runs as it is, from where this process sees it.
    """

    words: Sequence[str]
    network_of: Sequence[str] = ()
    may_be_script: bool = True
    is_ours: bool = False

    @contextmanager
    def start(self, root: str, environment: Mapping[str, str]) -> Iterator[Start]:
        """Yield its start on the host whose / is at *root*.

        Raises ``OSError`` for what is no program, and `UntrustedFileError` if others than root could change it.
        """
        if self.is_ours:
            yield Start(list(self.words), self.words[0], (), None)
            return
        with ExitStack() as kept:
            program = kept.enter_context(_found(self.words[0], root))
            if program.is_script and not self.may_be_script:
                raise PermissionError
            words = list(self.words)
            passed: tuple[int, ...] = (program.descriptor,)
            if self.network_of:
                nsenter = kept.enter_context(_found("nsenter", root))
                words = ["nsenter", *self.network_of, "--", program.executable, *words[1:]]
                passed, program = (program.descriptor, nsenter.descriptor), nsenter
            yield Start(words, program.executable, passed, program.enter(words, environment))


@contextmanager
def _found(name: str, root: str) -> Iterator[trusted_files.Program]:
    """Yield the program *name*; of those in `PATH`, the first that only root can change."""
    paths = [name] if "/" in name else [f"{folder}/{name}" for folder in PATH.split(":")]
    with ExitStack() as kept:
        problem: OSError | trusted_files.UntrustedFileError = FileNotFoundError()
        for path in paths:
            try:
                program = kept.enter_context(trusted_files.opened(path, root))
            except trusted_files.UntrustedFileError as error:
                problem = error
            except OSError as error:
                problem = problem if isinstance(problem, trusted_files.UntrustedFileError) else error
            else:
                yield program
                return
        raise problem


@contextmanager
def started(command: Command, root: str, environment: Mapping[str, str]) -> Iterator[Process]:
    """Yield *command* as a child process without stdin, whose output is in pipes; it is killed at the end.

    Until then it was not waited for, so that its number is no other process's. Raises as `Command.start`.
    """
    with (
        command.start(root, environment) as start,
        subprocess.Popen(  # noqa: S603 - a list of words, no shell
            start.words,
            executable=start.executable,
            pass_fds=start.passed,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd="/",
            preexec_fn=start.enter,  # noqa: PLW1509 - the agent has one thread, and these are calls into the kernel
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def run(
    command: Command | Sequence[str],
    *,
    root: str = "/",
    stdin: bytes = b"",
    seconds: float = 20.0,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run *command*, or the host's program of these words, with *root* as its /; wait at most *seconds* for its end.

    Raises `ServiceError` if it can't be started, if others than root could change it, or if it does not end; what its
    exit code means is the caller's to say. *environment* replaces the cleaned one of this process.
    """
    if not isinstance(command, Command):
        command = Command(command)
    if environment is None:
        environment = own_environment()
    outcome = "did not end in time"
    remedy = Remedy(
        "ProgramFailed",
        f"Run it there by hand: {' '.join(command.words)}. In a pod: privileged, with the host's / mounted.",
    )
    try:
        with command.start(root, environment) as start:
            return subprocess.run(  # noqa: S603 - a list of words, no shell
                start.words,
                executable=start.executable,
                pass_fds=start.passed,
                input=stdin,
                capture_output=True,
                timeout=seconds,
                env=dict(environment),
                cwd="/",
                check=False,
                preexec_fn=start.enter,
            )
    except TimeoutExpired:
        pass
    except trusted_files.UntrustedFileError as error:
        outcome, remedy = f"was not run: {error.problem}", error.remedy
    except (OSError, SubprocessError) as error:
        limit = limit_behind(error)
        outcome = f"could not be started ({limit.problem if limit else type(error).__name__})"
        remedy = limit.remedy if limit else remedy
    raise ServiceError(f"{command.words[0]} {outcome} on this node", remedy=remedy)
