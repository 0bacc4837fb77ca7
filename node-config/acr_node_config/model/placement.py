"""Where things go on a node (`Placement`), or why nothing does (`Refusal`). Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG

if TYPE_CHECKING:
    from acr_credential_provider.model.remedy import Remedy

Mode = Literal["auto", "merge", "patch", "drop-in", "files-only"]
MODES: tuple[Mode, ...] = ("auto", "merge", "patch", "drop-in", "files-only")

OWN_FOLDER = "/etc/aliyun-acr-credential-provider"
OWN_CONFIG = f"{OWN_FOLDER}/credential-providers.yaml"
"""Our CredentialProviderConfig where the kubelet has no other."""
BIN_DIRS = ("/opt/aliyun-acr-credential-provider/bin", "/var/lib/aliyun-acr-credential-provider/bin")
"""Our folder of credential providers there: the first that can be written and run from."""
OWN_DROP_IN = "zz-aliyun-acr-credential-provider.conf"
"""Our drop-in of a unit: after those of others, which may reset its command too."""
OWN_FILE = "50-aliyun-acr-credential-provider.yaml"
"""Our file in a folder of configurations, a kubelet's or k3s's."""
FALLBACK = "the pull-secrets controller needs nothing on the node"


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
class DropInFlags:
    """The two flags come from a drop-in of the unit at *path*, which resets its command and runs our guard."""

    path: str
    guard: str = f"{OWN_FOLDER}/kubelet-flags.sh"


@dataclass(frozen=True, slots=True)
class Wanted:
    """An operator's choices: a profile by name, other paths than ours, the place of the flags; "" or None for none."""

    profile: str = ""
    bin_dir: str = ""
    config: str = ""
    flags_in: EnvironmentFlags | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """How this node gets the plugin."""

    profile: str
    """A name for people: a profile, ``ack-containeros``, or the owner of a present configuration."""
    bin_dir: str
    """Folder of the kubelet's credential providers."""
    config: str
    """The CredentialProviderConfig that our provider goes into; "" where someone else delivers it."""
    is_config_ours: bool
    """Whether that file is ours alone; otherwise our provider joins those of others in it."""
    is_directory: bool
    """Whether the kubelet reads the whole folder that *config* is in."""
    flags: EnvironmentFlags | RancherFlags | DropInFlags | None
    """Where the two flags go; None where the kubelet has them already or gets them from elsewhere."""
    unit: str
    """The unit to restart; "" for none."""
    notes: tuple[str, ...] = ()
    """What an operator should know, one sentence each."""
    config_flag: str = ""
    """The value of the kubelet's flag, where that is not *config* or its folder, such as a symlink to it."""

    @property
    def flag_values(self) -> dict[str, str]:
        """The two flags, without dashes, as the kubelet must have them."""
        config = self.config.rpartition("/")[0] if self.is_directory else self.config
        return {CONFIG_FLAG: self.config_flag or config, BIN_DIR_FLAG: self.bin_dir}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the node is left as it is, and what to do instead."""

    reason: str
    remedy: Remedy


class PlacementRefusedError(Exception):
    """Carries a `Refusal` up to `placement.profiles.place`."""

    def __init__(self, reason: str, remedy: Remedy) -> None:
        super().__init__(reason)
        self.refusal = Refusal(reason, remedy)
