"""Does the kubelet live with what it was given? Watched for a while, for a crash loop looks healthy for moments."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from acr_node_config.model.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_node_config.model.running_config import InForce

    from .service_manager import ServiceState

SETTLE = 15.0
"""Seconds for which one and the same process must run."""
BUDGET = 38.0
"""Seconds for the whole of it: after 40 the control plane takes a node for lost."""
CRASHES = 3
"""As often as a kubelet may have been started again before it is called a crash loop, without waiting any longer."""
PAUSE = 0.5
LOST = "it runs without what it had before"
"""How the reason begins if the kubelet lives, but lacks flags or providers."""


class KubeletHealth(Protocol):
    """What can be seen of a kubelet from here."""

    def state(self) -> ServiceState:
        """Return what systemd says of it."""

    def is_healthy(self) -> bool | None:
        """Return what its /healthz says; None if that can't be reached from here."""

    def has_flags(self, pid: int) -> bool | None:
        """Say whether process *pid* has the flags that it should have; None if there are none to have."""

    def in_force(self, pid: int) -> InForce | None:
        """Return the flags and the providers of others that process *pid* runs with; None if they can't be seen."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """*reason* says what was wrong, or for a healthy kubelet what could not be checked."""

    is_good: bool
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Clock:
    """Time that goes by, in seconds; tests have one of their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class HealthCriteria:
    """What is asked of a kubelet: to be the same process, healthy, for *settle* of at most *budget* seconds.

    *needs_health* is False for a kubelet whose /healthz did not answer before either, *needs_flags* for one whose
    files were put back; *old_pid* is the process that a restart should end. *before* is what the kubelet ran with
    before the change and must keep; None if that was not seen.
    """

    settle: float = SETTLE
    budget: float = BUDGET
    needs_health: bool = True
    needs_flags: bool = True
    old_pid: int = 0
    before: InForce | None = None


def wait_until_healthy(kubelet: KubeletHealth, terms: HealthCriteria, clock: Clock) -> Verdict:
    """Watch until *kubelet* has fulfilled *terms*, crash-loops, or time is up."""
    began = clock.now()
    crashes = _Crashes()
    steady: tuple[int, int] | None = None  # MainPID and NRestarts
    since, why = began, "it did not come up"
    while True:
        state, why = _looked(kubelet, why)
        now = clock.now()
        if state is not None:
            if crashes.after(state) >= CRASHES:
                return Verdict(False, f"it crash-loops: systemd started it {state.restarts} times", now - began)
            if not state.runs or (state.pid, state.restarts) != steady:
                steady, since = (state.pid, state.restarts), now
            if state.runs:
                why, is_seen = _fault(kubelet, state.pid, terms)
                if why:
                    since = now
                elif now - since >= terms.settle:
                    return Verdict(True, "" if is_seen else "its /healthz could not be asked", now - began)
        if now - began >= terms.budget:
            return Verdict(False, why or "it did not stay up for long enough", now - began)
        clock.sleep(PAUSE)


class _Crashes:
    """Counts how often systemd started the unit by itself since we look."""

    def __init__(self) -> None:
        self._first: int | None = None

    def after(self, state: ServiceState) -> int:
        if self._first is None or state.restarts < self._first:  # a restart by hand starts the count anew
            self._first = state.restarts
        return state.restarts - self._first


def _fault(kubelet: KubeletHealth, pid: int, terms: HealthCriteria) -> tuple[str, bool]:
    """Return what is wrong with process *pid* at this moment ("" for nothing), and whether /healthz was asked."""
    if pid == terms.old_pid:
        return "it did not end its old process", False
    if terms.needs_flags and kubelet.has_flags(pid) is False:
        return "it runs without the flags it was given: something else sets them after us", False
    if lost := lost_by(kubelet, pid, terms.before):
        return f"{LOST}: {', '.join(lost)}", False
    health = kubelet.is_healthy()
    if health is False and terms.needs_health:
        return "its /healthz says that it is not healthy, or does not answer", True
    return "", health is not None


def lost_by(kubelet: KubeletHealth, pid: int, before: InForce | None) -> tuple[str, ...]:
    """Return the names of what was in force *before* and is not in process *pid*; nothing where it can't be seen."""
    now = kubelet.in_force(pid) if before is not None else None
    return before.lost(now) if before is not None and now is not None else ()


def _looked(kubelet: KubeletHealth, why: str) -> tuple[ServiceState | None, str]:
    try:
        state = kubelet.state()
    except ServiceError as error:  # it may be busy with the very restart
        return None, error.problem
    if not state.runs:
        return state, f"its unit is {state.active or 'unknown'}" + (f" ({state.result})" if state.result else "")
    return state, why
