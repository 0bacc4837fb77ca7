"""Programs of the host, run as if we were not frozen and not in a container."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from .failures import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return *environment* without what PyInstaller's bootloader put there for this process alone.

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
    """Return the environment that programs of the host get from us."""
    return clean_environment(os.environ) | {"PATH": PATH, "LC_ALL": "C"}


def shares(kind: str, root: str) -> bool | None:
    """Say whether our namespace *kind* (``net``, ``pid``) is that of the first process of the node at *root*.

    None where that can't be seen: it takes SYS_PTRACE, and a /proc.
    """
    proc = "/proc" if root == "/" else f"{root}/proc"
    try:
        theirs, ours = os.stat(f"{proc}/1/ns/{kind}"), os.stat(f"/proc/self/ns/{kind}")
    except OSError:
        return None
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def is_in(kind: str, root: str) -> bool:
    """Say the same; where it can't be seen, that we are on the node itself only if its root is ours too."""
    seen = shares(kind, root)
    return root == "/" if seen is None else seen


def into(root: str) -> Callable[[], None]:
    """Return what a child process calls before its program, to have *root* as its / and its folder."""

    def enter() -> None:
        if root != "/":
            os.chroot(root)
        os.chdir("/")

    return enter


def run(
    words: Sequence[str],
    *,
    root: str = "/",
    stdin: bytes = b"",
    seconds: float = 20.0,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run the program *words* with *root* as its /, and wait at most *seconds* for its end.

    Raises `ServiceError` if it can't be started or does not end; what its exit code means is the caller's to say.
    *environment* replaces the cleaned one of this process.
    """
    if environment is None:
        environment = own_environment()
    outcome = "did not end in time"
    try:
        return subprocess.run(  # noqa: S603 - a list of words, no shell
            list(words),
            input=stdin,
            capture_output=True,
            timeout=seconds,
            env=dict(environment),
            check=False,
            preexec_fn=into(root),
        )
    except subprocess.TimeoutExpired:
        pass
    except (OSError, subprocess.SubprocessError) as error:
        outcome = f"could not be started ({type(error).__name__})"
    raise ServiceError(
        f"{words[0]} {outcome} on this node",
        remedy=f"Run it there by hand: {' '.join(words)}. In a pod: privileged, with the host's / mounted.",
    )
