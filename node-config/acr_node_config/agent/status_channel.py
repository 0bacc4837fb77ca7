"""Exchanges documents with the reporter, through one folder for each direction."""

from __future__ import annotations

from dataclasses import dataclass

from acr_node_config.rollout import json_exchange
from acr_node_config.rollout.agent_status import GRANT, STATUS, AgentStatus, RestartGrant


@dataclass(frozen=True, slots=True)
class StatusChannel:
    """The two one-way folders between agent and reporter; "" for none."""

    status_dir: str
    lease_dir: str

    def publish(self, status: AgentStatus) -> None:
        """Write *status* for the reporter. Never raises."""
        try:
            if self.status_dir:
                json_exchange.put(self.status_dir, STATUS, status.to_dict())
        except OSError:  # a full disk: the node matters more than a report about it
            return

    def grant(self) -> RestartGrant | None:
        """Return the reporter's last grant, if any."""
        document = json_exchange.get(self.lease_dir, GRANT) if self.lease_dir else None
        try:
            return RestartGrant.from_dict(document) if document else None
        except ValueError:
            return None
