"""The health gate: watches a restarted kubelet for a while, because a crash loop looks healthy for moments."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_node_config.model.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_node_config.model.running_config import RunningConfig

    from .probe import KubeletProbe
    from .service_manager import ServiceState

STABLE_FOR = 15.0
"""Seconds for which one and the same process must run."""
BUDGET = 38.0
"""Seconds for the whole wait: after 40 the control plane takes a node for lost."""
CRASH_LOOP_RESTARTS = 3
"""Restarts by systemd after which a crash loop is reported without waiting any longer."""
PAUSE = 0.5
LOST = "it runs without what it had before"
"""How the reason begins if the kubelet runs, but lacks flags or providers."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """*reason* says what was wrong, or for a healthy kubelet what could not be checked."""

    is_good: bool
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Clock:
    """Monotonic time in seconds; tests have one of their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class HealthCriteria:
    """What a kubelet must fulfil.

    *needs_health* is False for a kubelet whose /healthz did not answer before either, *needs_flags* for one whose
    files were put back; *old_pid* is the process that a restart should end. *before* is what the kubelet ran with
    before the change and must keep; None if that was not seen.
    """

    needs_health: bool = True
    needs_flags: bool = True
    old_pid: int = 0
    before: RunningConfig | None = None


@dataclass(frozen=True, slots=True)
class HealthGate:
    """A kubelet passes as one healthy process for *stable_for* seconds, within *budget* seconds."""

    clock: Clock = Clock()
    stable_for: float = STABLE_FOR
    budget: float = BUDGET

    def wait(self, kubelet: KubeletProbe, criteria: HealthCriteria) -> Verdict:
        """Watch *kubelet* until it fulfils *criteria*, crash-loops, or the budget is spent."""
        began = self.clock.now()
        crashes = _RestartCounter()
        process: tuple[int, int] | None = None  # MainPID and NRestarts
        since, problem = began, "it did not come up"
        while True:
            state, problem = _observe(kubelet, problem)
            now = self.clock.now()
            if state is not None:
                if crashes.count(state) >= CRASH_LOOP_RESTARTS:
                    return Verdict(False, f"it crash-loops: systemd started it {state.restarts} times", now - began)
                if not state.runs or (state.pid, state.restarts) != process:
                    process, since = (state.pid, state.restarts), now
                if state.runs:
                    problem, was_asked = _fault(kubelet, state.pid, criteria)
                    if problem:
                        since = now
                    elif now - since >= self.stable_for:
                        return Verdict(True, "" if was_asked else _unasked(kubelet), now - began)
            if now - began >= self.budget:
                return Verdict(False, problem or "it did not stay up for long enough", now - began)
            self.clock.sleep(PAUSE)


class _RestartCounter:
    """Counts the restarts that systemd did by itself since the first look."""

    def __init__(self) -> None:
        self._first: int | None = None

    def count(self, state: ServiceState) -> int:
        if self._first is None or state.restarts < self._first:  # a restart by hand resets systemd's counter
            self._first = state.restarts
        return state.restarts - self._first


def _observe(kubelet: KubeletProbe, problem: str) -> tuple[ServiceState | None, str]:
    try:
        state = kubelet.state()
    except ServiceError as error:  # it may be busy with the very restart
        return None, error.problem
    if not state.runs:
        return state, f"its unit is {state.active or 'unknown'}" + (f" ({state.result})" if state.result else "")
    return state, problem


def _fault(kubelet: KubeletProbe, pid: int, criteria: HealthCriteria) -> tuple[str, bool]:
    """Return what is wrong with process *pid* at this moment ("" for nothing), and whether /healthz was asked."""
    if pid == criteria.old_pid:
        return "it did not end its old process", False
    if criteria.needs_flags and kubelet.has_flags(pid) is False:
        return "it runs without the flags it was given: something else sets them after us", False
    if lost := lost_by(kubelet, pid, criteria.before):
        return f"{LOST}: {', '.join(lost)}", False
    health = kubelet.is_healthy()
    if health is False and criteria.needs_health:
        return "its /healthz says that it is not healthy, or does not answer", True
    return "", health is not None


def _unasked(kubelet: KubeletProbe) -> str:
    """Return why /healthz was not asked. An answer of others counts neither for the kubelet nor against it."""
    holder = kubelet.healthz_holder()
    return "its /healthz could not be asked" + (f": {holder}" if holder else "")


def lost_by(kubelet: KubeletProbe, pid: int, before: RunningConfig | None) -> tuple[str, ...]:
    """Return what *before* had and process *pid* has not, by name; nothing where that cannot be seen."""
    now = kubelet.running_config(pid) if before is not None else None
    return before.lost(now) if before is not None and now is not None else ()
