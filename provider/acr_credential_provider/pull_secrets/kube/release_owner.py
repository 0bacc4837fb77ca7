"""Who owns what the controller writes: the ClusterRole of its release, which goes with the release.

However a release is deleted, its ClusterRole is deleted with it; Kubernetes' garbage collector then deletes what that
owned: pull Secrets in all namespaces, the webhook's configuration, and what the controller keeps for itself. No
controller has to be there any more. A ClusterRole that was deleted and made anew has another uid: what the old one
owned is collected too, and has to be made anew for the new one.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from acr_credential_provider.pull_secrets.model.owner_reference import API_VERSION, KIND, Reference
from acr_credential_provider.pull_secrets.model.reporter import ObjectRef
from acr_credential_provider.pull_secrets.model.resources import CLUSTER_ROLES

from .api_errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import KubeClient

LOG = logging.getLogger(__name__)
NOT_OWNED = "what is written stays in the cluster when this release is deleted"


class Owner:
    """The ClusterRole *name* as this replica knows it; without a name nothing is owned. Any thread may ask.

    *on_missed* is called when it is found to be away.
    """

    def __init__(
        self,
        api: KubeClient,
        name: str,
        *,
        on_missed: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._on_missed = on_missed
        self._name = name
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: Reference | None = None
        self._is_gone = False
        self._is_refused = False
        self._looked_at = float("-inf")
        self._doubted_at = float("-inf")
        self._told = ""

    @property
    def is_gone(self) -> bool:
        """Whether the ClusterRole was there and is not any more: the release is being deleted, or replaced."""
        return self._is_gone

    @property
    def is_missed(self) -> bool:
        """Whether the ClusterRole may come back at any moment; while it is away this replica has no rights either."""
        return self._is_gone or (self._is_refused and self._known is not None)

    def reference(self) -> Reference | None:
        """Return what is to be written as the owner, from memory."""
        return self._known

    def doubt(self) -> None:
        """Take note that something of ours was deleted: perhaps because the ClusterRole is gone, or another one."""
        self._doubted_at = self._monotonic()

    def current(self) -> Reference | None:
        """Return what is to be written as the owner, and look first where there is a `doubt`."""
        if self._looked_at <= self._doubted_at:
            self.look()
        return self._known

    def look(self) -> None:
        """Look at the ClusterRole. What is known stays where the API server does not say anything else."""
        if not self._name:
            return
        was_missed = self.is_missed
        self._look()
        if self.is_missed and not was_missed:
            self._on_missed()

    def _look(self) -> None:
        with self._lock:
            began = self._monotonic()
            try:
                found = self._api.get(CLUSTER_ROLES.path(name=self._name))
            except ClusterError as error:
                self._is_refused = error.status == 403
                self._looked_at = began if error.status else self._looked_at
                if self._is_refused and not self._is_gone:
                    self._tell("OwnerUnknown", f"{error.problem}: {NOT_OWNED}. {error.remedy}")
                return
            self._looked_at, self._is_refused = began, False
            meta = (found or {}).get("metadata") or {}
            if found is not None and not meta.get("deletionTimestamp"):
                self._known, self._is_gone, self._told = Reference(self._name, str(meta["uid"])), False, ""
            elif self._known is not None:
                self._is_gone = True
                self._tell(
                    "OwnerGone",
                    "this ClusterRole is gone, as if its release were deleted: nothing is written until it is back. "
                    "Delete the Deployment too, or apply the manifests again.",
                )
            else:
                self._tell(
                    "OwnerAbsent", f"there is no such ClusterRole: {NOT_OWNED}. Name the release's with --owner."
                )

    def _tell(self, reason: str, message: str) -> None:
        """Say *message* once, until all is well again or something else is wrong."""
        if self._told != message:
            self._told = message
            self._api.reporter.event(ObjectRef(KIND, "", self._name, api_version=API_VERSION), reason, message)
