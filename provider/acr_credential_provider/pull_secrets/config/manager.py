"""The configuration as one replica has it in force, from where it stands, and what is told of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from acr_credential_provider import settings as settings_file
from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError
from acr_credential_provider.pull_secrets.model.reporter import ObjectRef
from acr_credential_provider.pull_secrets.model.resources import NAMESPACES
from acr_credential_provider.pull_secrets.model.selection import system_namespaces

from .configuration import ABSENT, ActiveConfig, next_config, parse, role_of, text_of, write_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from acr_credential_provider.acr_configuration import Role
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.kube.cluster_cache import Data
    from acr_credential_provider.pull_secrets.model.objects import Namespace
    from acr_credential_provider.pull_secrets.model.reporter import Reporter

LOG = logging.getLogger(__name__)
MOST_TOLD = 10
"""Problems of one edit that are told as Events; a file with more is looked at as a whole anyway."""


class ConfigManager:
    """What is in force. *seen* returns the ConfigMap as it is, *namespaces* returns those of the cluster.

    *path* is a file in the ConfigMap's place, or empty.
    """

    def __init__(  # noqa: PLR0913 - parts, always given by name
        self,
        api: KubeClient,
        *,
        config_map: tuple[str, str],
        path: str,
        token_mode: str,
        keys_directory: str,
        seen: Callable[[], Data | None],
        namespaces: Callable[[], Sequence[Namespace]],
        reporter: Reporter,
    ) -> None:
        self.in_force: ActiveConfig = ABSENT
        self._api = api
        self._config_map = config_map
        self._path = path
        self._token_mode = token_mode
        self._keys_directory = keys_directory
        self._seen = seen
        self._namespaces = namespaces
        self._reporter = reporter
        self._judged: tuple[str | None, tuple[str, ...]] | None = None
        self._role: Role | None = None

    def about(self, uid: str = "") -> ObjectRef:
        """Return the object that operators tell us by what to do."""
        if self._path:
            return ObjectRef("File", "", self._path)
        return ObjectRef("ConfigMap", *self._config_map, uid=uid)

    def say(self, reason: str, error: CredentialProviderError, entry: str = "") -> None:
        """Tell operators of an *error*, about an *entry* or all of them."""
        what = f"{entry}: " if entry else ""
        self._reporter.event(self.about(), reason, f"{what}{error.problem}. {error.remedy}")

    def restore(self, text: str) -> None:
        """Take *text*, which was in force in another replica, where there is nothing yet."""
        if self.in_force.settings is None and text:
            judged = parse(text, role=self._role_of_cluster(), keys_directory=self._keys_directory)
            write_keys(judged.keys)
            self.in_force = ActiveConfig(judged, text, "last_good")

    def reload(self) -> None:
        """Take in what is there now, if it changed, and say how it stands; raise `CredentialProviderError`."""
        about, text, hidden = self._now()
        is_new = (text, hidden) != self._judged
        if not is_new and not self.in_force.may_pass:
            return
        in_force = next_config(
            self.in_force,
            text,
            role=self._role_of_cluster(),
            keys_directory=self._keys_directory,
            hidden=hidden,
            namespaces=self._namespaces(),
        )
        if not is_new and in_force.may_pass:
            return
        write_keys(in_force.judged.keys)
        self._judged = text, hidden
        self.in_force = in_force
        self._reporter.configuration(in_force.outcome, problems=len(in_force.problems))
        self._tell(about, in_force)

    def _now(self) -> tuple[ObjectRef, str | None, tuple[str, ...]]:
        """Return where the configuration is, its text (None: there is none), and the keys that hold no text."""
        if self._path:
            try:
                return self.about(), settings_file.read(self._path), ()
            except ConfigurationError as error:
                self.say("ConfigurationUnreadable", error)
                return self.about(), None, ()
        found = self._seen()
        if found is None:
            return self.about(), None, ()
        return self.about(found.uid), text_of(found.data), found.hidden

    def _role_of_cluster(self) -> Role:
        if self._role is None:
            created = ""
            if self._token_mode == "auto":  # noqa: S105 - a mode
                found = self._api.get(NAMESPACES.path(name="kube-system"))
                created = str(found["metadata"].get("creationTimestamp", "")) if found else ""
            self._role = role_of(self._token_mode, created)
        return self._role

    def _tell(self, about: ObjectRef, in_force: ActiveConfig) -> None:
        if in_force.outcome == "absent":
            message = "there is no configuration: nothing is done until there is one"
            self._reporter.event(about, "ConfigurationAbsent", message, is_warning=False)
        for each in in_force.problems[:MOST_TOLD]:
            held = "; what held before stays in force" if in_force.outcome == "last_good" else ""
            self._reporter.event(about, "ConfigurationProblem", f"{each}. {each.remedy}{held}")
        for note in in_force.judged.notes:
            LOG.info("%s", note, extra={"about": f"{about.namespace}/{about.name}"})
        if in_force.outcome in ("loaded", "partial"):
            many = len(in_force.settings.registries) if in_force.settings else 0
            self._reporter.event(about, "ConfigurationLoaded", f"{many} registries are in force", is_warning=False)
            if in_force.replaced:
                gone = ", ".join(in_force.replaced[:MOST_TOLD])
                message = f"none of the entries before is in force any more, and their logins go: {gone}"
                self._reporter.event(about, "EntriesReplaced", message)
            spoilt = system_namespaces(in_force.judged.spec)
            if spoilt:
                self._reporter.event(
                    about,
                    "SystemNamespaces",
                    f"{', '.join(spoilt)} are among the namespaces: a login can spoil the pull of a system's public "
                    "images. Name the namespaces of your own workloads instead.",
                )
