"""The programs that the agent runs: its own as the installer, the installed one as the plugin.

Each runs in a process of its own, so that the agent survives its crash, stays small, and can be killed itself.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from acr_credential_provider.console.output import errors_in
from acr_credential_provider.fastpath.lookup import SETTINGS
from acr_credential_provider.model.remedy import Remedy

from acr_node_config.rollout.agent_status import plain_text

from .program_run import FAILED, CompletedRun, ProgramError, run
from .refresh_schedule import CachedToken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DONE, REFUSED, REJECTED, BUSY = 0, 3, 4, 5
"""Exit codes of the installer (model/errors.py)."""
PLAN_SECONDS, INSTALL_SECONDS, VALIDATE_SECONDS, REFRESH_SECONDS = 60.0, 300.0, 30.0, 300.0
"""An installation is one copy of 35 MB and at most 40 s of kubelet, twice if it is undone."""
NEVER = 1e12
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an installation would change, in words; *rejection* says why this node rejected it before."""

    changes: tuple[str, ...]
    restarts: bool
    rejection: str = ""


@dataclass(frozen=True, slots=True)
class Installation:
    """The installed *program*, "" for none, and the *watched* paths, whose change is drift.

    *is_confirmed*: a kubelet was seen healthy with it. *interrupted* names a change that did not end.
    """

    program: str = ""
    watched: tuple[str, ...] = ()
    is_confirmed: bool = False
    interrupted: str = ""


@dataclass(frozen=True, slots=True)
class Validation:
    """The *problems* of new settings, none if they are usable; the names of the logins that are *lost* with them."""

    problems: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(slots=True)
class InstalledPlugin:
    """Runs installer and plugin; *settings* is a path of the host, "" for those that the node has.

    *own* is the command of this program, *host_root* where the host's / is mounted.
    *arguments* go to each verb of the installer that changes or plans, *plugin_arguments* to the installed plugin.
    *allowed_hosts* are those that settings may name besides Alibaba Cloud's.
    *heartbeat* is called while a program runs.
    """

    own: Sequence[str]
    host_root: str
    arguments: Sequence[str] = ()
    plugin_arguments: Sequence[str] = ()
    allowed_hosts: Sequence[str] = ()
    heartbeat: Callable[[], None] = lambda: None
    _installed: Installation | None = None

    def plan(self, settings: str) -> Plan:
        """Return what `install` would do; raise `ProgramError`, as all others do."""
        document = self._node("plan", settings, seconds=PLAN_SECONDS)
        changes = tuple(plain_text(str(step.get("words", step.get("step")))) for step in document.get("steps", ()))
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
        watched = tuple(map(str, document.get("watched") or ()))
        self._installed = Installation(
            str(document.get("program") or ""),
            watched,
            document.get("confirmed") is True,
            plain_text(str(document.get("interrupted") or "")),
        )
        return self._installed

    def validator_id(self) -> str:
        """Return where the installed program's link leads, "" before there is one."""
        program = self._program()
        try:
            return program and os.readlink(self._outside(program))
        except OSError:  # no link
            return program

    def match_images(self, settings: str) -> tuple[str, ...]:
        """Return the matchImages of *settings*."""
        words = [*self.own, "settings", "match-images", self._outside(settings), "--output", "json"]
        ran = run(words, seconds=VALIDATE_SECONDS, heartbeat=self.heartbeat, is_ours=True)
        document = _parsed(ran)
        if ran.code != DONE or not isinstance(document, dict):
            self._fail("settings match-images", ran)
        lists = (document, document.get("tokenMode") or {})
        return tuple(str(pattern) for entry in lists for pattern in entry.get("matchImages") or ())

    def validate(self, settings: str) -> Validation:
        """Validate *settings* from a cluster, by the installed plugin if it can judge them, or by our own.

        A plugin of an older version does not know the limits of settings from a cluster.
        """
        hosts = [f"--allow-host={host}" for host in self.allowed_hosts]
        words = ["settings", "validate", "--target", "node", "--from", "cluster", *hosts]
        is_there = os.path.isfile(self._outside(SETTINGS))
        ran = self._validated_by_installed([*words, *(("--replacing", SETTINGS) if is_there else ()), settings])
        if ran is None:
            replacing = ("--replacing", self._outside(SETTINGS)) if is_there else ()
            own = [*self.own, *words, *replacing, self._outside(settings)]
            ran = run(own, seconds=VALIDATE_SECONDS, heartbeat=self.heartbeat, is_ours=True)
        lines = ran.stderr.decode("utf-8", "replace").splitlines()
        lost = tuple(plain_text(line.removeprefix("lost: ")) for line in lines if line.startswith("lost: "))
        if ran.code == DONE:
            return Validation((), lost)
        # Not the folder of the copy: operators know the ConfigMap.
        name = os.path.basename(settings)
        problems = tuple(
            plain_text(problem.replace(self._outside(settings), name).replace(settings, name))
            for problem, _remedy in errors_in(ran.stderr)
        )
        return Validation(problems or (ran.error()[0],), lost)

    def _validated_by_installed(self, words: list[str]) -> CompletedRun | None:
        """Return what the installed program says, None if that is gone or broken: it is repaired next."""
        program = self._program()
        try:
            ran = self._on_host([program, *words], seconds=VALIDATE_SECONDS) if program else None
        except ProgramError:
            return None
        return ran if ran is not None and ran.code in (DONE, FAILED) else None

    def cached_tokens(self) -> tuple[CachedToken, ...]:
        """Return the tokens in the plugin's cache."""
        program = self._program()
        if not program:
            return ()
        words = ["cache", "show", *self.plugin_arguments, "--output", "json"]
        ran = self._on_host([program, *words], seconds=VALIDATE_SECONDS)
        rows = _parsed(ran)
        if ran.code != DONE or not isinstance(rows, list):
            self._fail("cache show", ran)
        return tuple(_token(row) for row in rows if row.get("kind") == "token" and row.get("host"))

    def refresh(self, ahead: float) -> None:
        """Run `cache refresh`."""
        words = ["cache", "refresh", *self.plugin_arguments, "--within", f"{ahead:.0f}s"]
        ran = self._on_host([self._program(), *words], seconds=REFRESH_SECONDS)
        if ran.code != DONE:
            self._fail("cache refresh", ran)

    def _program(self) -> str:
        return (self._installed or self.installation()).program

    def _node(self, verb: str, settings: str, *, seconds: float) -> dict[str, Any]:
        words = [verb, *self.arguments] if verb != "uninstall" else [verb]
        return self._verb([*words, *(("--settings", self._outside(settings)) if settings else ())], seconds=seconds)

    def _verb(self, words: list[str], *, seconds: float) -> dict[str, Any]:
        options = ["--host-root", self.host_root, "--output", "json"]
        ran = run([*self.own, "node", *words, *options], seconds=seconds, heartbeat=self.heartbeat, is_ours=True)
        document = _parsed(ran)
        has_answer = ran.code == DONE or (ran.code == REJECTED and words[0] == "plan")
        if not has_answer or not isinstance(document, dict):
            self._fail(f"node {words[0]}", ran)
        return document

    def _on_host(self, words: list[str], *, seconds: float) -> CompletedRun:
        return run(words, root=self.host_root, seconds=seconds, heartbeat=self.heartbeat)

    def _outside(self, path: str) -> str:
        return path if self.host_root == "/" else self.host_root + path

    @staticmethod
    def _fail(command: str, ran: CompletedRun) -> NoReturn:
        problem, remedy = ran.error()
        advice = Remedy("ProgramFailed", f"See the output of {command} in the agent's log.")
        raise ProgramError(problem, remedy=remedy or advice, code=ran.code)


def _parsed(ran: CompletedRun) -> Any:
    try:
        return json.loads(ran.stdout)
    except (ValueError, RecursionError):
        return None


def _token(row: dict[str, Any]) -> CachedToken:
    return CachedToken(
        plain_text(str(row["host"])),
        _seconds(row, "refreshIn"),
        _seconds(row, "expiresIn"),
        is_wanted=row.get("renewable") is not False,
        is_valid=row.get("valid") is True,
    )


def _seconds(row: dict[str, Any], name: str) -> float:
    """Return a time of a row of `cache show`; `NEVER` for null. The plugin of an earlier version wrote texts.

    >>> _seconds({"refreshInSeconds": 1500}, "refreshIn"), _seconds({"refreshIn": "+1500s"}, "refreshIn")
    (1500.0, 1500.0)
    >>> _seconds({"refreshInSeconds": None}, "refreshIn") == _seconds({"refreshIn": "never"}, "refreshIn") == NEVER
    True
    """
    value = row.get(f"{name}Seconds", row.get(name))
    try:
        return float(str(value).removesuffix("s"))
    except ValueError:
        return NEVER
