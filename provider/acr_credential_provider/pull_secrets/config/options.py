"""The options of ``pull-secrets``, as values."""

from __future__ import annotations

from dataclasses import dataclass

from acr_credential_provider.files.credentials_folder import FOLDER
from acr_credential_provider.pull_secrets.kube.informer import Times
from acr_credential_provider.pull_secrets.kube.leader_election import LeaseTimes
from acr_credential_provider.settings.cluster_origin import ClusterOrigin

TICK = 10.0
"""Seconds after which a round is due in any case: files may have changed, tokens expired, a helper come back."""


@dataclass(frozen=True, slots=True)
class Options:
    """*namespace* is the controller's own; all times are seconds."""

    namespace: str
    config_map: tuple[str, str] = ("kube-system", "acr-configuration")
    settings_file: str = ""
    token_mode: str = "auto"  # noqa: S105 - a mode
    take_over: bool = False
    keys_directory: str = "/run/aliyun-acr-credential-provider/keys"
    writes_per_second: float = 100.0
    workers: int = 4
    resync: float = 600.0
    tick: float = TICK
    lease: LeaseTimes = LeaseTimes()  # noqa: RUF009 - a value
    watch: Times = Times()  # noqa: RUF009 - a value
    credentials_dir: str = FOLDER
    allowed_hosts: frozenset[str] = frozenset()
    owner: str = ""
    """The ClusterRole that owns what the controller writes; "": nothing is owned."""

    is_from_cluster: bool = False
    """Whether the settings file has the limits of a ConfigMap."""

    @property
    def origin(self) -> ClusterOrigin | None:
        """The limits of the configuration; None for a file, which is not written through the API server."""
        return (
            None
            if self.settings_file and not self.is_from_cluster
            else ClusterOrigin(self.allowed_hosts, self.credentials_dir)
        )
