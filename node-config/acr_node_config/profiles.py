"""Where the plugin and its configuration go on a node, and how its kubelet comes to know: facts in, `Placement` out.

What cannot be done right is refused before anything is written, with the way that works instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .facts import NodeFacts

Mode = Literal["auto", "merge", "patch", "files-only"]
MODES: tuple[Mode, ...] = ("auto", "merge", "patch", "files-only")


@dataclass(frozen=True, slots=True)
class EnvironmentFlags:
    """The two flags go into *variable* of the environment file at *path*, which may have to be made."""

    path: str
    variable: str


@dataclass(frozen=True, slots=True)
class RancherFlags:
    """The two flags go into a drop-in of k3s's or RKE2's configuration at *path*, which is ours alone."""

    path: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an operator may ask for.

    *profile* is one of `PROFILES`, "" to find it out.
    """

    profile: str = ""
    bin_dir: str = ""
    config: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """How this node gets the plugin."""

    profile: str
    bin_dir: str
    """Folder of the kubelet's credential providers."""
    config: str
    """The CredentialProviderConfig that our provider goes into; "" where someone else delivers it."""
    is_config_ours: bool
    """Whether that file is ours alone; otherwise our provider joins those of others in it."""
    is_directory: bool
    """Whether the kubelet reads the whole folder that *config* is in."""
    flags: EnvironmentFlags | RancherFlags | None
    """Where the two flags go; None where the kubelet has them already or gets them from elsewhere."""
    unit: str
    """The unit to restart; "" for none."""
    notes: tuple[str, ...] = ()
    """What an operator should know, one sentence each."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the node is left as it is, and what to do instead."""

    reason: str
    remedy: str


def place(facts: NodeFacts, mode: Mode, wanted: Wanted) -> Placement | Refusal:
    """Return where everything goes on the node of *facts*, or why nothing does."""
    raise NotImplementedError
