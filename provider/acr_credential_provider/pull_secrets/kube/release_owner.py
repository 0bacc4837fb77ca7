"""The owner of all that the controller writes: the ClusterRole of its release.

However a release is deleted, its ClusterRole goes with it; the garbage collector then deletes its dependents: pull
Secrets in all namespaces, the webhook's configuration, and the controller's own Secrets. No controller has to run for
that. A ClusterRole that was deleted and created again has another uid, so its dependents are collected and have to be
written again.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from acr_credential_provider.pull_secrets.model.owner_reference import API_VERSION, KIND, Reference
from acr_credential_provider.pull_secrets.model.resources import CLUSTER_ROLES
from acr_credential_provider.pull_secrets.model.telemetry import ObjectRef

from .api_errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import KubeClient

LOG = logging.getLogger(__name__)
NOT_OWNED = "what is written stays in the cluster when this release is deleted"


class ReleaseOwner:
    """The ClusterRole *name*, "" if nothing is owned. Safe for use by many threads.

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
        self._reported = ""

    @property
    def is_gone(self) -> bool:
        """True if the ClusterRole is gone after it was there: the release is being deleted, or replaced."""
        return self._is_gone

    @property
    def may_return(self) -> bool:
        """True if the ClusterRole may come back at any moment; while it is away this replica has no rights either."""
        return self._is_gone or (self._is_refused and self._known is not None)

    def cached_reference(self) -> Reference | None:
        """Return the owner reference to write, from memory."""
        return self._known

    def mark_stale(self) -> None:
        """Note that something of ours was deleted, perhaps because the ClusterRole is gone or another one."""
        self._doubted_at = self._monotonic()

    def checked_reference(self) -> Reference | None:
        """Return the owner reference to write, after a look if there is a `doubt`."""
        if self._looked_at <= self._doubted_at:
            self.refresh()
        return self._known

    def refresh(self) -> None:
        """Look at the ClusterRole. Without an answer the last one holds."""
        if not self._name:
            return
        was_missed = self.may_return
        self._look()
        if self.may_return and not was_missed:
            self._on_missed()

    def _look(self) -> None:
        with self._lock:
            began = self._monotonic()
            try:
                role = self._api.get(CLUSTER_ROLES.path(name=self._name))
            except ClusterError as error:
                self._is_refused = error.status == 403
                self._looked_at = began if error.status else self._looked_at
                if self._is_refused and not self._is_gone:
                    self._report("OwnerUnknown", f"{error.coded}: {NOT_OWNED}. {error.remedy}")
                return
            self._looked_at, self._is_refused = began, False
            meta = (role or {}).get("metadata") or {}
            if role is not None and not meta.get("deletionTimestamp"):
                self._known, self._is_gone, self._reported = Reference(self._name, str(meta["uid"])), False, ""
            elif self._known is not None:
                self._is_gone = True
                self._report(
                    "OwnerGone",
                    "this ClusterRole is gone, as if its release were deleted: nothing is written until it is back. "
                    "Delete the Deployment too, or apply the manifests again.",
                )
            else:
                self._report(
                    "OwnerAbsent", f"there is no such ClusterRole: {NOT_OWNED}. Name the release's with --owner."
                )

    def _report(self, reason: str, message: str) -> None:
        """Report *message* once, until all is well again or something else is wrong."""
        if self._reported != message:
            self._reported = message
            self._api.telemetry.event(ObjectRef(KIND, "", self._name, api_version=API_VERSION), reason, message)
