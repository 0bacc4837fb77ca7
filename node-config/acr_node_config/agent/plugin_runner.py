"""The programs that the agent runs: its own for what changes the node, the installed one for all that plugins do.

Each in a process of its own: whatever happens to it, the agent lives on, stays small, and can be killed itself.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from acr_credential_provider.files.trusted_files import UntrustedFileError

from acr_node_config.hostfs import host_exec
from acr_node_config.model.errors import NodeConfigError
from acr_node_config.rollout.agent_status import plain_text

from .refresh_schedule import CachedToken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DONE, FAILED, REFUSED, REJECTED, BUSY = 0, 1, 3, 4, 5
"""Exit codes of the installer (failures.py)."""
PLAN_SECONDS, INSTALL_SECONDS, JUDGE_SECONDS, WARM_SECONDS = 60.0, 300.0, 30.0, 300.0
"""An installation is one copy of 35 MB and at most 40 s of kubelet, twice if it is undone."""
LARGEST = 4 << 20
BEAT_EVERY = 10.0
"""Seconds between two signs of life while a program runs."""


class ProgramError(NodeConfigError):
    """A program that the agent ran did not do what it is there for; *code* is its exit code."""

    def __init__(self, problem: str, *, remedy: str, code: int = FAILED) -> None:
        super().__init__(problem, remedy=remedy)
        self.code = code


@dataclass(frozen=True, slots=True)
class Plan:
    """What an installation would change, in words; *is_rejected* when a kubelet of this node did not live with it."""

    changes: tuple[str, ...]
    restarts: bool
    rejection: str = ""


@dataclass(frozen=True, slots=True)
class Installation:
    """What is on a node: the installed *program*, "" for none, and the paths whose change is drift.

    *is_confirmed*: a kubelet was seen to live with it. *interrupted* names a change that did not end.
    """

    program: str = ""
    watched: tuple[str, ...] = ()
    is_confirmed: bool = False
    interrupted: str = ""


class PluginRunner(Protocol):
    """What the agent needs done. *settings* is a path of the host, "" for what the node has."""

    def plan(self, settings: str) -> Plan:
        """Return what `install` would do; raise `ProgramError`."""

    def install(self, settings: str) -> None:
        """Make the node what it should be; raise `ProgramError`."""

    def uninstall(self) -> None:
        """Make the node what it was; raise `ProgramError`."""

    def installation(self) -> Installation:
        """Return what is on the node; raise `ProgramError`."""

    def judge_name(self) -> str:
        """Return what tells the program that `judge` asks."""

    def patterns(self, settings: str) -> tuple[str, ...]:
        """Return the matchImages of *settings*; raise `ProgramError`."""

    def judge(self, settings: str) -> tuple[str, ...]:
        """Return what keeps the plugin in force from using the file *settings*; nothing if it can."""

    def remembered(self) -> tuple[CachedToken, ...]:
        """Return the tokens that the plugin remembers."""

    def warm(self, ahead: float) -> None:
        """Renew those due within *ahead* seconds; raise `ProgramError` if a renewal failed."""


@dataclass(frozen=True, slots=True)
class CompletedRun:
    """How a program ended."""

    code: int
    stdout: bytes
    stderr: bytes

    def error(self) -> tuple[str, str]:
        """Return the last error and remedy that it told, as our programs tell them; else its last words."""
        lines = [line for line in self.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        found = dict.fromkeys(("error", "remedy"), "")
        for line in lines:
            kind, colon, text = line.partition(": ")
            if colon and kind in found:
                found[kind] = plain_text(text)
        last = plain_text(lines[-1]) if lines else ""
        return found["error"] or last or f"it ended with exit code {self.code}", found["remedy"]


@dataclass(slots=True)
class InstalledPlugin:
    """The real ones. *own* is the command of this program, *host_root* where the host's / is mounted.

    *arguments* go to each verb of the installer that changes or plans, *plugin_arguments* to the installed plugin.
    *beat* is called while a program runs.
    """

    own: Sequence[str]
    host_root: str
    arguments: Sequence[str] = ()
    plugin_arguments: Sequence[str] = ()
    beat: Callable[[], None] = lambda: None
    _installed: Installation | None = None

    def plan(self, settings: str) -> Plan:
        """Return what `install` would do."""
        document = self._node("plan", settings, seconds=PLAN_SECONDS)
        changes = tuple(plain_text(str(each.get("words", each.get("step")))) for each in document.get("steps", ()))
        return Plan(changes, bool(document.get("restarts")), plain_text(str(document.get("rejected") or "")))

    def install(self, settings: str) -> None:
        """Make the node what it should be."""
        self._installed = None
        self._node("install", settings, seconds=INSTALL_SECONDS)

    def uninstall(self) -> None:
        """Make the node what it was."""
        self._installed = None
        self._node("uninstall", "", seconds=INSTALL_SECONDS)

    def installation(self) -> Installation:
        """Return what is on the node."""
        document = self._verb(["status"], seconds=PLAN_SECONDS)
        watched = tuple(str(each) for each in document.get("watched") or ())
        self._installed = Installation(
            str(document.get("program") or ""),
            watched,
            document.get("confirmed") is True,
            plain_text(str(document.get("interrupted") or "")),
        )
        return self._installed

    def judge_name(self) -> str:
        """Return where the installed program's link leads, "" before there is one."""
        program = self._program()
        try:
            return program and os.readlink(self._outside(program))
        except OSError:  # no link
            return program

    def patterns(self, settings: str) -> tuple[str, ...]:
        """Return the matchImages of *settings*."""
        words = [*self.own, "settings", "match-images", self._outside(settings), "--output", "json"]
        ran = run(words, seconds=JUDGE_SECONDS, beat=self.beat, is_ours=True)
        document = _parsed(ran)
        if ran.code != DONE or not isinstance(document, dict):
            self._fail("settings match-images", ran)
        listed = (document, document.get("tokenMode") or {})
        return tuple(str(pattern) for each in listed for pattern in each.get("matchImages") or ())

    def judge(self, settings: str) -> tuple[str, ...]:
        """Return what is wrong with *settings*, as the installed plugin sees it; before there is one, as ours does."""
        words = ["settings", "validate", "--target", "node"]
        ran = self._judged_by_installed([*words, settings])
        if ran is None:
            own = [*self.own, *words, self._outside(settings)]
            ran = run(own, seconds=JUDGE_SECONDS, beat=self.beat, is_ours=True)
        if ran.code == DONE:
            return ()
        errors = [line for line in ran.stderr.decode("utf-8", "replace").splitlines() if line.startswith("error: ")]
        # Which folder the judged copy lies in is nobody's business.
        name = os.path.basename(settings)
        return tuple(
            plain_text(each.removeprefix("error: ").replace(self._outside(settings), name).replace(settings, name))
            for each in errors
        ) or (ran.error()[0],)

    def _judged_by_installed(self, words: list[str]) -> CompletedRun | None:
        """Return the verdict of the installed program, None when that is gone or broken: it is repaired next."""
        program = self._program()
        try:
            ran = self._on_host([program, *words], seconds=JUDGE_SECONDS) if program else None
        except ProgramError:
            return None
        return ran if ran is not None and ran.code in (DONE, FAILED) else None

    def remembered(self) -> tuple[CachedToken, ...]:
        """Return the tokens that the plugin remembers."""
        program = self._program()
        if not program:
            return ()
        words = ["cache", "show", *self.plugin_arguments, "--output", "json"]
        ran = self._on_host([program, *words], seconds=JUDGE_SECONDS)
        rows = _parsed(ran)
        if ran.code != DONE or not isinstance(rows, list):
            self._fail("cache show", ran)
        return tuple(_remembered(row) for row in rows if row.get("kind") == "token" and row.get("host"))

    def warm(self, ahead: float) -> None:
        """Renew tokens."""
        words = ["cache", "refresh", *self.plugin_arguments, "--within", f"{ahead:.0f}s"]
        ran = self._on_host([self._program(), *words], seconds=WARM_SECONDS)
        if ran.code != DONE:
            self._fail("cache refresh", ran)

    def _program(self) -> str:
        return (self._installed or self.installation()).program

    def _node(self, verb: str, settings: str, *, seconds: float) -> dict[str, Any]:
        words = [verb, *self.arguments] if verb != "uninstall" else [verb]
        return self._verb([*words, *(("--settings", self._outside(settings)) if settings else ())], seconds=seconds)

    def _verb(self, words: list[str], *, seconds: float) -> dict[str, Any]:
        where = ["--host-root", self.host_root, "--output", "json"]
        ran = run([*self.own, "node", *words, *where], seconds=seconds, beat=self.beat, is_ours=True)
        document = _parsed(ran)
        if ran.code != DONE or not isinstance(document, dict):
            self._fail(f"node {words[0]}", ran)
        return document

    def _on_host(self, words: list[str], *, seconds: float) -> CompletedRun:
        return run(words, root=self.host_root, seconds=seconds, beat=self.beat)

    def _outside(self, path: str) -> str:
        return path if self.host_root == "/" else self.host_root + path

    @staticmethod
    def _fail(what: str, ran: CompletedRun) -> NoReturn:
        problem, remedy = ran.error()
        raise ProgramError(problem, remedy=remedy or f"See what {what} said in the agent's log.", code=ran.code)


def run(
    words: Sequence[str], *, root: str = "/", seconds: float, beat: Callable[[], None], is_ours: bool = False
) -> CompletedRun:
    """Run *words* to their end, at most *seconds*; with another *root*, in the host's files and network.

    Raises `ProgramError` when it can't be started or is not done in time, and for a program of the host that others
    than root could change. *is_ours* is for this very program, which runs as it is.
    """
    environment = host_exec.own_environment()
    # Pods may have another network than the kubelet: what is warmed is the way that a pull goes.
    enters = root != "/" and host_exec.is_there("nsenter", root)
    command = host_exec.Command(words, ["--net=/proc/1/ns/net"] if enters else [], is_ours=is_ours)
    why = "did not end in time"
    remedy = "See the node's load and disk; it is tried again. In a pod: privileged, with the host's / mounted."
    try:
        with (
            command.start(root, environment) as start,
            subprocess.Popen(  # noqa: S603 - a list of words, no shell
                start.words,
                executable=start.executable,
                pass_fds=start.passed,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                preexec_fn=start.enter,  # noqa: PLW1509 - the agent has one thread, and these are calls into the kernel
            ) as process,
        ):
            ran = _await(process, time.monotonic() + seconds, beat)
            if ran is not None:
                return ran
            process.kill()
    except UntrustedFileError as error:
        why, remedy = f"was not run: {error.problem}", error.remedy
    except (OSError, subprocess.SubprocessError) as error:
        why = f"could not be started ({type(error).__name__})"
    raise ProgramError(f"{words[0]} {why}", remedy=remedy)


def _await(process: subprocess.Popen[bytes], end: float, beat: Callable[[], None]) -> CompletedRun | None:
    """Collect what *process* says until it ends, some of it if it says much; None when *end* comes first."""
    said: dict[int, bytearray] = {}
    next_beat = time.monotonic() + BEAT_EVERY
    with selectors.DefaultSelector() as pipes:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipes.register(pipe, selectors.EVENT_READ)
                said[pipe.fileno()] = bytearray()
        while pipes.get_map():
            now = time.monotonic()
            if now >= next_beat:
                beat()
                next_beat = now + BEAT_EVERY
            if now >= end:
                return None
            for key, _ in pipes.select(min(end, next_beat) - now):
                piece = os.read(key.fd, 1 << 16)
                if not piece:
                    pipes.unregister(key.fileobj)
                elif len(said[key.fd]) < LARGEST:
                    said[key.fd] += piece
    try:
        code = process.wait(max(end - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        return None
    out, err = said.values()
    return CompletedRun(code, bytes(out), bytes(err))


def _parsed(ran: CompletedRun) -> Any:
    try:
        return json.loads(ran.stdout)
    except (ValueError, RecursionError):
        return None


def _remembered(row: dict[str, Any]) -> CachedToken:
    return CachedToken(
        plain_text(str(row["host"])),
        _seconds(row.get("refreshIn")),
        _seconds(row.get("expiresIn")),
        is_wanted=row.get("renewable") is not False,
        is_current=row.get("valid") is True,
    )


def _seconds(text: object) -> float:
    """Return what `cache show` means.

    >>> _seconds("+1500s"), _seconds("never") > 1e9
    (1500.0, True)
    """
    try:
        return float(str(text).removesuffix("s"))
    except ValueError:
        return 1e12
