"""Runs a program to its end, with a deadline, bounded output, and heartbeats meanwhile."""

from __future__ import annotations

import os
import selectors
import time
from dataclasses import dataclass
from subprocess import SubprocessError, TimeoutExpired
from typing import TYPE_CHECKING

from acr_credential_provider.console.output import errors_in
from acr_credential_provider.files.trusted_files import UntrustedFileError
from acr_credential_provider.model.remedy import NONE, Remedy, printable
from acr_credential_provider.model.resource_limits import limit_behind

from acr_node_config.hostfs import host_exec
from acr_node_config.model.errors import NodeConfigError
from acr_node_config.rollout.agent_status import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FAILED = 1
LARGEST = 4 << 20
"""Bytes of a program's output."""
HEARTBEAT_EVERY = 10.0
"""Seconds between two signs of life while a program runs."""


class ProgramError(NodeConfigError):
    """A program that the agent ran failed; *code* is its exit code."""

    def __init__(self, problem: str, *, remedy: Remedy, code: int = FAILED) -> None:
        super().__init__(problem, remedy=remedy)
        self.code = code


@dataclass(frozen=True, slots=True)
class CompletedRun:
    """How a program ended."""

    code: int
    stdout: bytes
    stderr: bytes

    def error(self) -> tuple[str, Remedy]:
        """Return the last error and remedy on stderr, as our programs write them; else its last line."""
        lines = [line for line in self.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        found = errors_in(self.stderr)
        if found:
            problem, remedy = found[-1]
            return plain_text(problem), printable(remedy)
        return plain_text(lines[-1]) if lines else f"it ended with exit code {self.code}", NONE


def run(
    words: Sequence[str], *, root: str = "/", seconds: float, heartbeat: Callable[[], None], is_ours: bool = False
) -> CompletedRun:
    """Run *words* to their end, at most *seconds*; with another *root*, in the host's files and network.

    Raises `ProgramError` when it can't be started or is not done in time, and for a program of the host that others
    than root could change. *is_ours* is for this very program, which runs as it is.
    """
    environment = host_exec.own_environment()
    # Pods may have another network than the kubelet, and refreshing should go the way that a pull goes.
    enters = root != "/" and host_exec.is_there("nsenter", root)
    command = host_exec.Command(words, ["--net=/proc/1/ns/net"] if enters else [], is_ours=is_ours)
    problem = "did not end in time"
    remedy = Remedy(
        "ProgramFailed",
        "See the node's load and disk; it is tried again. In a pod: privileged, with the host's / mounted.",
    )
    try:
        with host_exec.started(command, root, environment) as process:
            ran = _await(process, time.monotonic() + seconds, heartbeat)
            if ran is not None:
                return ran
    except UntrustedFileError as error:
        problem, remedy = f"was not run: {error.problem}", error.remedy
    except (OSError, SubprocessError) as error:
        limit = limit_behind(error)
        problem = f"could not be started ({limit.problem if limit else type(error).__name__})"
        remedy = limit.remedy if limit else remedy
    raise ProgramError(f"{words[0]} {problem}", remedy=remedy)


def _await(process: host_exec.Process, end: float, heartbeat: Callable[[], None]) -> CompletedRun | None:
    """Collect the output of *process* until it ends, at most `LARGEST` of each; None when *end* comes first."""
    output: dict[int, bytearray] = {}
    next_beat = time.monotonic() + HEARTBEAT_EVERY
    with selectors.DefaultSelector() as pipes:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipes.register(pipe, selectors.EVENT_READ)
                output[pipe.fileno()] = bytearray()
        while pipes.get_map():
            now = time.monotonic()
            if now >= next_beat:
                heartbeat()
                next_beat = now + HEARTBEAT_EVERY
            if now >= end:
                return None
            for key, _ in pipes.select(min(end, next_beat) - now):
                piece = os.read(key.fd, 1 << 16)
                if not piece:
                    pipes.unregister(key.fileobj)
                elif len(output[key.fd]) < LARGEST:
                    output[key.fd] += piece
    try:
        code = process.wait(max(end - time.monotonic(), 0.1))
    except TimeoutExpired:
        return None
    out, err = output.values()
    return CompletedRun(code, bytes(out), bytes(err))
