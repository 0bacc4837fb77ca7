"""What is asked of a node's installer, and what it answers, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_node_config.kubelet_config.provider_entries import NAME
from acr_node_config.model import first_call, steps

from .journal import Installed, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from acr_node_config.model.facts import NodeFacts
    from acr_node_config.model.placement import Placement, Refusal

    from .bundle import Bundle


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """What an operator wants installed. *place* chooses where on the node of the facts, or refuses."""

    bundle: Bundle
    covered: Mapping[str, Any]
    """The output of ``settings match-images`` for the settings."""
    place: Callable[[NodeFacts], Placement | Refusal]
    settings: bytes | None = field(default=None, repr=False)
    mode: str = "auto"
    retries: bool = False
    """Whether content is tried that was rejected on this node before."""


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """What an installation would do: reach the states that are *missing*, and restart the kubelet or not."""

    missing: tuple[steps.FileStep, ...]
    unit_to_restart: str = ""
    """The unit that is restarted, "" for none."""
    rejection: str = ""
    """Why this content was rejected on this node before, "" if it was not."""
    notes: tuple[str, ...] = ()
    diffs: tuple[str, ...] = ()
    """The change of each file, without secrets."""

    @property
    def to_do(self) -> tuple[steps.Step, ...]:
        """All that would be done, in order."""
        return (*self.missing, *([steps.Restart(self.unit_to_restart)] if self.unit_to_restart else []))

    def to_dict(self) -> dict[str, Any]:
        """Return its JSON form."""
        return {
            "steps": [steps.step_to_dict(step) for step in self.to_do],
            "restarts": bool(self.unit_to_restart),
            "rejected": self.rejection,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class InstallStatus:
    """What is installed, and how far it is still as we left it."""

    installed: Installed | None
    watched: tuple[str, ...] = ()
    """Paths that we keep as they are."""
    drifted: tuple[str, ...] = ()
    """Those of them that were changed by others."""
    interrupted: str = ""
    """The verb of a change that did not end."""
    guard: str = ""
    rejected: tuple[Rejected, ...] = ()
    guard_acted: str = ""
    first_call: float = 0.0
    """When the kubelet first called the plugin, in seconds since the epoch; 0 if it has not."""

    @property
    def is_good(self) -> bool:
        """Installed, as we left it, and nothing under way."""
        return bool(self.installed and not (self.drifted or self.interrupted or self.guard_acted))

    def to_dict(self) -> dict[str, Any]:
        """Return its JSON form."""
        installed = self.installed or Installed()
        bin_dir = installed.placement.get("bin_dir")
        return {
            "version": installed.version,
            "program": f"{bin_dir}/{NAME}" if bin_dir else "",
            "tree": installed.tree,
            "mode": installed.mode,
            "confirmed": installed.confirmed,
            "placement": installed.placement,
            "firstCall": first_call.as_time(self.first_call),
            "isCalled": bool(self.first_call),
            "watched": list(self.watched),
            "isGood": self.is_good,
            "drifted": list(self.drifted),
            "interrupted": self.interrupted,
            "guard": self.guard,
            "guardActed": self.guard_acted,
            "rejected": [{"key": entry.key, "reason": entry.reason, "at": entry.at} for entry in self.rejected],
        }
