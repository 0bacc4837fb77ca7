"""Whether this replica may write: it leads, knows the cluster as it is in this term, and its release stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache
    from acr_credential_provider.pull_secrets.kube.leader_election import LeaderElector
    from acr_credential_provider.pull_secrets.kube.release_owner import ReleaseOwner


class WriteGate:
    """Asked before each write. A term begins and ends with leadership; each one begins closed, until `open`."""

    def __init__(self, elector: LeaderElector, owner: ReleaseOwner, cluster: ClusterCache, own_namespace: str) -> None:
        self.owner = owner
        self.term = 0
        self._elector = elector
        self._cluster = cluster
        self._own_namespace = own_namespace
        self._open_term = -1

    def begin_term(self) -> None:
        """Count a change of leadership."""
        self.term += 1

    def open(self, term: int) -> None:
        """Allow writes in *term*: a round of it looked at the cluster, and at who else is at work there."""
        self._open_term = term

    def is_open_in(self, term: int) -> bool:
        """True if *term* is the one in which writes are allowed."""
        return self._open_term == term

    def leads(self) -> bool:
        """True if this replica is the one that decides what to write."""
        return self._elector.may_write() and not self.is_leaving()

    def may_write(self) -> bool:
        """True if a write is allowed at this very moment."""
        return self.is_open_in(self.term) and self.leads()

    def is_leaving(self) -> bool:
        """True if this release is being deleted, by its ClusterRole or by its namespace.

        Then nothing new is written, and the API server must not ask the webhook any more.
        """
        own = self._cluster.namespaces.get(self._own_namespace, self._own_namespace)
        return self.owner.is_gone or (own is not None and own.terminating)
