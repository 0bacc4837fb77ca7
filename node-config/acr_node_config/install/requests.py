"""What is asked of a node's installer, and what it answers, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_node_config.kubelet_config.provider_entries import NAME
from acr_node_config.model import steps

from .journal import Installed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from acr_node_config.model.facts import NodeFacts
    from acr_node_config.model.placement import Placement, Refusal

    from .bundle import Bundle


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """What an operator wants installed. *place* says where on the node of the facts, or why not."""

    bundle: Bundle
    covered: Mapping[str, Any]
    """What the program says that the settings cover."""
    place: Callable[[NodeFacts], Placement | Refusal]
    settings: bytes | None = field(default=None, repr=False)
    mode: str = "auto"
    retries: bool = False
    """Try even what a kubelet of this node did not live with."""


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """What an installation comes to: all wanted states, those that are not there yet, whether the kubelet restarts."""

    wanted: tuple[steps.FileStep, ...]
    open: tuple[steps.FileStep, ...]
    restarts: str = ""
    """The unit that is restarted, "" for none."""
    rejected: str = ""
    """Why a kubelet of this node did not live with it, if it was tried."""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        listed: list[steps.Step] = [*self.open, *([steps.Restart(self.restarts)] if self.restarts else [])]
        return {
            "steps": [steps.step_to_dict(step) for step in listed],
            "restarts": bool(self.restarts),
            "rejected": self.rejected,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class InstallStatus:
    """What is installed, and how far that is so."""

    installed: Installed | None
    watched: tuple[str, ...] = ()
    """Paths that are ours to keep as they are."""
    drifted: tuple[str, ...] = ()
    """Those that are not."""
    interrupted: str = ""
    """The verb of a change that did not end."""
    guard: str = ""
    rejected: tuple[tuple[str, str, int], ...] = ()
    """Key, reason and time (seconds since the epoch) of what kubelets of this node did not live with."""
    guard_acted: str = ""

    @property
    def is_good(self) -> bool:
        """Installed, as we left it, and nothing under way."""
        return bool(self.installed and not (self.drifted or self.interrupted or self.guard_acted))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        about = self.installed or Installed()
        bin_dir = about.placement.get("bin_dir")
        return {
            "version": about.version,
            "program": f"{bin_dir}/{NAME}" if bin_dir else "",
            "tree": about.tree,
            "mode": about.mode,
            "confirmed": about.confirmed,
            "placement": about.placement,
            "watched": list(self.watched),
            "isGood": self.is_good,
            "drifted": list(self.drifted),
            "interrupted": self.interrupted,
            "guard": self.guard,
            "guardActed": self.guard_acted,
            "rejected": [{"key": key, "reason": reason, "at": at} for key, reason, at in self.rejected],
        }
