"""The running side of a node: what discovery finds, its kubelet, and our program run there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.kubelet.process import CONFIG_FLAG

from acr_node_config.discovery import discovery
from acr_node_config.kubelet.probe import KubeletProbe
from acr_node_config.kubelet_config.provider_entries import NAME
from acr_node_config.model.placement import DropInFlags

from . import bundle, plan
from .state import FOLDER

if TYPE_CHECKING:
    from acr_node_config.hostfs.host_files import HostFiles
    from acr_node_config.kubelet.service_manager import ServiceManager
    from acr_node_config.model.facts import NodeFacts
    from acr_node_config.model.placement import Placement


@dataclass(frozen=True, slots=True)
class HostSystem:
    """The system below *host*. *service* is None where nothing runs or nothing is restarted."""

    host: HostFiles
    service: ServiceManager | None
    is_image: bool = False

    def discover(self) -> NodeFacts:
        """Return the facts of the node."""
        service = self.service
        return discovery.discover(
            self.host.root,
            ask_unit=service.text if service else None,
            main_pid=(lambda unit: service.state(unit).pid) if service else None,
            is_image=self.is_image,
        )

    def kubelet(self, placement: Placement | None, *, is_leaving: bool = False) -> KubeletProbe | None:
        """Return the kubelet that *placement* restarts, None if none; *is_leaving* expects it without our flags."""
        if self.service is None or placement is None or not placement.unit:
            return None
        return KubeletProbe(
            self.service,
            placement.unit,
            self.host.root,
            flags={} if is_leaving else plan.visible_flags(placement),
            program=f"{placement.bin_dir}/{NAME}",
            config=placement.flag_values[CONFIG_FLAG] if placement.config and not is_leaving else "",
            reloads=isinstance(placement.flags, DropInFlags),
        )

    def smoke_test(self, tree: str) -> None:
        """Run the program in *tree* on the node; raise `BundleError` if it does not work there."""
        bundle.smoke_test(self.host, tree, f"{FOLDER}/try-out")
