"""Loads the configuration, keeps the last good one active, and reports its problems."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError
from acr_credential_provider.model.remedy import coded
from acr_credential_provider.pull_secrets.model.resources import NAMESPACES
from acr_credential_provider.pull_secrets.model.selection import system_namespaces
from acr_credential_provider.pull_secrets.model.telemetry import ObjectRef
from acr_credential_provider.settings import loader as settings_file

from .configuration import ABSENT, ActiveConfig, next_config, parse, role_of, text_of, write_keys
from .loss import InCluster

if TYPE_CHECKING:
    from acr_credential_provider.acr_configuration import Role
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache

    from .options import Options

LOG = logging.getLogger(__name__)
MOST_REPORTED = 10
"""Problems of one edit that become Events; a file with more is looked at as a whole anyway."""


class ConfigManager:
    """Keeps `active`, from the ConfigMap in *cluster* or the file that *options* name."""

    def __init__(self, api: KubeClient, options: Options, cluster: ClusterCache) -> None:
        self.active: ActiveConfig = ABSENT
        self.telemetry = api.telemetry
        self._api = api
        self._options = options
        self._cluster = cluster
        self._loaded: tuple[str | None, tuple[str, ...]] | None = None
        self._role: Role | None = None

    def about(self, uid: str = "") -> ObjectRef:
        """Return the object by which operators configure the controller."""
        if self._options.settings_file:
            return ObjectRef("File", "", self._options.settings_file)
        return ObjectRef("ConfigMap", *self._options.config_map, uid=uid)

    def report(self, reason: str, error: CredentialProviderError, entry: str = "") -> None:
        """Report an *error* of one *entry*, or of all."""
        what = f"{entry}: " if entry else ""
        self.telemetry.event(self.about(), reason, f"{what}{error.coded}. {error.remedy}")

    def restore(self, text: str) -> None:
        """Take *text*, which was active in another replica, if nothing is active here yet."""
        if self.active.settings is None and text:
            parsed = parse(
                text,
                role=self._role_of_cluster(),
                keys_directory=self._options.keys_directory,
                origin=self._options.origin,
            )
            write_keys(parsed.keys)
            self.active = ActiveConfig(parsed, text, "last_good")

    def reload(self) -> None:
        """Load the configuration if it changed, and report its state; raise `CredentialProviderError`."""
        about, text, hidden = self._now()
        is_new = (text, hidden) != self._loaded
        if not is_new and not self.active.may_pass:
            return
        if self.active.settings is not None and not self._cluster.accounts.synced.is_set():
            return  # what an edit takes away is known once they are; a list that is complete starts a round
        active = next_config(
            self.active,
            text,
            role=self._role_of_cluster(),
            keys_directory=self._options.keys_directory,
            origin=self._options.origin,
            hidden=hidden,
            cluster=InCluster(self._cluster.namespaces.all(), self._cluster.accounts.all()),
        )
        if not is_new and active.may_pass:
            return
        write_keys(active.parsed.keys)
        is_edit = self.active.settings is not None and text not in (None, self.active.text)
        self._loaded = text, hidden
        self.active = active
        self.telemetry.configuration(active.outcome, problems=len(active.problems))
        if is_edit:
            self.telemetry.edited("refused" if active.outcome == "last_good" else "taken", active.loss.extent)
        if text is None and active.settings is not None:
            message = "the configuration is gone: what held before stays in force. To take all logins away, run "
            self.telemetry.event(about, "ConfigurationAbsent", f"{message}kubectl acr uninstall.")
        self._report_state(about, active)

    def _now(self) -> tuple[ObjectRef, str | None, tuple[str, ...]]:
        """Return where the configuration is, its text (None: there is none), and the keys that hold no text."""
        if self._options.settings_file:
            try:
                return self.about(), settings_file.read(self._options.settings_file), ()
            except ConfigurationError as error:
                self.report("ConfigurationUnreadable", error)
                return self.about(), None, ()
        informer = self._cluster.config_map
        config_map = informer.get(*self._options.config_map) if informer is not None else None
        if config_map is None:
            return self.about(), None, ()
        return self.about(config_map.uid), text_of(config_map.data), config_map.hidden

    def _role_of_cluster(self) -> Role:
        if self._role is None:
            created = ""
            if self._options.token_mode == "auto":  # noqa: S105 - a mode
                namespace = self._api.get(NAMESPACES.path(name="kube-system"))
                created = str(namespace["metadata"].get("creationTimestamp", "")) if namespace else ""
            self._role = role_of(self._options.token_mode, created)
        return self._role

    def _report_state(self, about: ObjectRef, active: ActiveConfig) -> None:
        if active.outcome == "absent":
            message = "there is no configuration: nothing is done until there is one"
            self.telemetry.event(about, "ConfigurationAbsent", message, is_warning=False)
        for problem in active.problems[:MOST_REPORTED]:
            held = "; what held before stays in force" if active.outcome == "last_good" else ""
            self.telemetry.event(
                about, "ConfigurationProblem", f"{coded(str(problem), problem.remedy)}. {problem.remedy}{held}"
            )
        for note in active.parsed.notes:
            LOG.info("%s", note, extra={"about": f"{about.namespace}/{about.name}"})
        if active.outcome in ("loaded", "partial"):
            many = len(active.settings.registries) if active.settings else 0
            self.telemetry.event(about, "ConfigurationLoaded", f"{many} registries are in force", is_warning=False)
            if str(active.loss):
                what = "nothing is left of what was in force: " if active.loss.is_all else ""
                message = f"{what}the edit took away {active.loss}. If it was not meant to, undo it"
                self.telemetry.event(about, "LoginsRemoved", message)
            system = system_namespaces(active.parsed.spec)
            if system:
                self.telemetry.event(
                    about,
                    "SystemNamespaces",
                    f"{', '.join(system)} are among the namespaces: a login can spoil the pull of a system's public "
                    "images. Name the namespaces of your own workloads instead.",
                )
