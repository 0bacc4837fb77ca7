"""The DaemonSet's unprivileged half: reports the agent's status to the cluster, and grants it kubelet restarts.

It reads the agent's status and writes its grants, each in a folder that the other can only read. Its rights on the API
server are in the manifests' Role: three kinds of objects, by name where names can be given.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from acr_credential_provider.kube_api.client import STRATEGIC_MERGE, ApiRefusedError
from acr_credential_provider.model.errors import CredentialProviderError

from acr_node_config.rollout import agent_status, json_exchange
from acr_node_config.rollout.agent_status import GRANT, STATUS, AgentStatus, RestartGrant

from . import node_report
from .restart_leases import LEASE_SECONDS, RENEW_EVERY

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.kube_api.client import NodeKubeClient

    from .restart_leases import RestartSemaphore

HEARTBEAT = 300.0
"""Seconds between two patches of a condition that has not changed."""
FIRST_WAIT, LONGEST_WAIT = 5.0, 30.0
"""Seconds between two tries for a restart Lease, growing."""
FAILURE_WAIT = 10.0
"""Seconds without calls after the API server failed."""
QUEUE = 20
"""Events that wait to be sent; the oldest are dropped."""
REPEAT = 600.0
"""Seconds within which the same Event is not sent again: a node that flaps must not fill etcd."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """*boot* counts since boot and is never set; *wall* is the time of day. Both in seconds."""

    boot: Callable[[], float]
    wall: Callable[[], float]


@dataclass(slots=True)
class Reporter:
    """Reports of *node* the status in *status_dir*, and writes grants to *lease_dir*; without *leases* at once.

    Call `tick` every few seconds; *report* prints errors.
    """

    node: str
    status_dir: str
    lease_dir: str
    api: NodeKubeClient
    leases: RestartSemaphore | None
    clocks: Clocks
    report: Callable[[CredentialProviderError], None]
    agent: AgentStatus | None = None
    """The agent's last readable status."""
    _is_new: bool = True
    _granted: str = ""
    _rejected: str = ""
    _next_try: float = 0.0
    _wait: float = FIRST_WAIT
    _backoff_until: float = 0.0
    _condition: node_report.Condition | None = None
    _started_at: float | None = None
    _since: float = 0.0
    _patched_at: float = 0.0
    _missing: str = ""
    """What the API server refused while the agent waits for a restart Lease."""
    _uid: str = ""
    _waiting: list[node_report.NodeEvent] = field(default_factory=list)
    _sent: dict[str, float] = field(default_factory=dict)
    _complaints: dict[str, float] = field(default_factory=dict)

    def tick(self) -> None:
        """Read the status once, and do what it asks for. Errors of the API server are reported, not raised."""
        before, self.agent = self.agent, self._read()
        if self.agent is not None:
            self._waiting = [*self._waiting, *node_report.events_between(before, self.agent)][-QUEUE:]
        if self.clocks.boot() < self._backoff_until:
            return
        for part in (self._serve_agent, self._patch_condition, self._send_events):
            try:
                part()
            except CredentialProviderError as error:
                self._complain(error)
                if not isinstance(error, ApiRefusedError):
                    return  # no server answers; a missing right or object says nothing of the others

    def _serve_agent(self) -> None:
        if self.leases is not None:
            try:
                self._serve_restarts(self.leases)
            except ApiRefusedError as error:
                self._missing = f"No restart Lease can be had: {error}. {error.remedy}"
                raise
            self._missing = ""
        elif self.agent is not None and self.agent.request and self.agent.request != self._granted:
            self._grant(self.agent.request, self.clocks.boot() + LEASE_SECONDS)

    def _complain(self, error: CredentialProviderError) -> None:
        now = self.clocks.boot()
        self._backoff_until = now + FAILURE_WAIT * random.uniform(0.5, 1.5)  # noqa: S311 - a spread
        if now - self._complaints.get(error.problem, -REPEAT) >= REPEAT:
            self._complaints = {problem: at for problem, at in self._complaints.items() if now - at < REPEAT}
            self._complaints[error.problem] = now
            self.report(error)

    def _read(self) -> AgentStatus | None:
        document = json_exchange.get(self.status_dir, STATUS)
        if document is None:
            return self.agent
        try:
            return AgentStatus.from_dict(document)
        except ValueError:
            return self.agent

    # Restart Leases.
    def _serve_restarts(self, leases: RestartSemaphore) -> None:
        if self._is_new:
            leases.adopt()
            self._is_new = False
        if self.agent is None:
            return
        if self.agent.state == agent_status.REJECTED and self.agent.content:
            # Before the Lease is released: its next holder must know.
            self._write_rejection(leases, self.agent)
        if not self.agent.request or self.agent.request != (self._granted or self.agent.request):
            self._take_back(leases)
        if self.agent.request:
            self._serve(leases, self.agent)

    def _write_rejection(self, leases: RestartSemaphore, status: AgentStatus) -> None:
        if self._rejected != status.content:  # once: an operator may remove it again
            leases.reject(status.content, status.message)
            self._rejected = status.content

    def _take_back(self, leases: RestartSemaphore) -> None:
        if self._granted:
            json_exchange.drop(self.lease_dir, GRANT)
            self._granted = ""
        leases.release()
        self._wait, self._next_try = FIRST_WAIT, 0.0

    def _serve(self, leases: RestartSemaphore, status: AgentStatus) -> None:
        now = self.clocks.boot()
        if leases.held and self._granted:
            if now - leases.renewed_at >= RENEW_EVERY and leases.renew():
                self._grant(status.request, leases.renewed_at + LEASE_SECONDS)
            if not leases.held:  # another node took it while the API server could not be reached
                self._take_back(leases)
            return
        if now < self._next_try:
            return
        self._next_try = now + self._wait * random.uniform(0.5, 1.0)  # noqa: S311 - a spread
        self._wait = min(self._wait * 1.5, LONGEST_WAIT)
        if self._is_refused(leases, status):
            return
        if not leases.acquire(random.randrange(len(leases.names))):  # noqa: S311 - any of them
            return
        # Again, now that we hold a Lease: a rejection is written before one is released.
        if self._is_refused(leases, status):
            leases.release()
        else:
            self._grant(status.request, leases.renewed_at + LEASE_SECONDS)

    def _is_refused(self, leases: RestartSemaphore, status: AgentStatus) -> bool:
        rejection = leases.rejection(status.content)
        if rejection:
            json_exchange.put(self.lease_dir, GRANT, RestartGrant(status.request, refusal=rejection).to_dict())
            self._wait = LONGEST_WAIT
        return bool(rejection)

    def _grant(self, request: str, until: float) -> None:
        json_exchange.put(self.lease_dir, GRANT, RestartGrant(request, until).to_dict())
        self._granted = request

    # The node.
    def _patch_condition(self) -> None:
        now = self.clocks.boot()
        condition = node_report.condition(self.agent, now, self._missing)
        if self._started_at is None:
            self._started_at = now
        if self.agent is None and now < self._started_at + node_report.STALE_AFTER:
            return  # both containers have just started
        if condition == self._condition and now < self._patched_at + HEARTBEAT:
            return
        if self._condition is None or condition.status != self._condition.status:
            self._since = self.clocks.wall()
        document = condition.to_dict(now=self.clocks.wall(), since=self._since)
        self.api.patch(f"/api/v1/nodes/{quote(self.node)}/status", document, STRATEGIC_MERGE)
        self._condition, self._patched_at = condition, now

    def _send_events(self) -> None:
        while self._waiting:
            event, now = self._waiting[0], self.clocks.boot()
            if now - self._sent.get(event.reason + event.message, -REPEAT) >= REPEAT:
                self._post(event)
                self._sent = {event: at for event, at in self._sent.items() if now - at < REPEAT}
                self._sent[event.reason + event.message] = now
            self._waiting = self._waiting[1:]

    def _post(self, event: node_report.NodeEvent) -> None:
        if not self._uid:
            self._uid = str(self.api.get(f"/api/v1/nodes/{quote(self.node)}")["metadata"]["uid"])
        name = f"{self.node}.{random.randrange(1 << 64):016x}"  # noqa: S311 - a name
        document = event.to_dict(self.node, self._uid, name=name, now=self.clocks.wall())
        self.api.post("/api/v1/namespaces/default/events", document)
