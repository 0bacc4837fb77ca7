"""The part that brings namespaces into order, one at a time each, several at once."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.pull_secrets.kube.release_owner import Owner
from acr_credential_provider.pull_secrets.kube.workqueue import RateLimiter, WorkQueue
from acr_credential_provider.pull_secrets.model.desired_state import desired
from acr_credential_provider.pull_secrets.model.names import SECRET_TYPE
from acr_credential_provider.pull_secrets.model.namespace_requests import content_for, unmet
from acr_credential_provider.pull_secrets.model.plan import ChangeAccount, is_foreign, plan
from acr_credential_provider.pull_secrets.model.reporter import ObjectRef

from .apply import Applier, ApplyResult
from .conflicting_writers import RevertBackoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache
    from acr_credential_provider.pull_secrets.model.content import Content
    from acr_credential_provider.pull_secrets.model.desired_state import DesiredState
    from acr_credential_provider.pull_secrets.model.objects import Namespace
    from acr_credential_provider.pull_secrets.model.plan import Action, Observed
    from acr_credential_provider.pull_secrets.model.reporter import Reporter

LOG = logging.getLogger(__name__)
BATCH = 20
"""Writes in one namespace before others have their turn: a new account there must not wait for a thousand old ones."""
NOT_LISTED = 0.2
"""Seconds between two looks at a namespace as long as not all that is watched was listed."""
PATIENCE = 1.0
"""Seconds between two looks of an idle worker at whether it is to end."""


class Workers:
    """Threads that take namespaces from a queue. They write only while *may_write* says so."""

    def __init__(  # noqa: PLR0913 - parts, always given by name
        self,
        api: KubeClient,
        watched: ClusterCache,
        *,
        may_write: Callable[[], bool],
        snapshot: Callable[[], DesiredState | None],
        reporter: Reporter,
        rate: float,
        count: int,
        owner: Owner | None = None,
    ) -> None:
        self._owner = owner or Owner(api, "")
        self._watched = watched
        self._may_write = may_write
        self._snapshot = snapshot
        self._reporter = reporter
        self._count = count
        self._queue = WorkQueue()
        self._pace = RateLimiter(rate, max(int(rate), 1))
        self._reverts = RevertBackoff()
        self._stop = threading.Event()
        self._told_foreign: set[str] = set()
        self._told_requests: dict[str, list[str]] = {}
        self._hands = Applier(
            api, secrets=watched.secrets_named, accounts=watched.accounts, may_go_on=self._may_go_on, on_done=self._note
        )

    def start(self) -> None:
        """Begin, each in a thread of its own."""
        for number in range(self._count):
            threading.Thread(target=self._run, name=f"worker {number}", daemon=True).start()

    def stop(self) -> None:
        """End after the write that is under way."""
        self._stop.set()
        self._queue.close()

    def enqueue(self, namespace: str, *, urgent: bool = False) -> None:
        """Let *namespace* be brought into order soon; *urgent* ones, with something new in them, come first."""
        if self._may_write():
            self._queue.add(namespace, urgent=urgent)
            self._reporter.queue(len(self._queue))

    def enqueue_all(self) -> None:
        """Let all namespaces be looked at."""
        for namespace in self._watched.namespaces.namespaces():
            self.enqueue(namespace)

    def forget(self) -> None:
        """Drop what waits: another replica leads."""
        self._queue.clear()

    def managed(self, name: str) -> dict[str, int]:
        """Return how many objects carry what is ours."""
        informer = self._watched.secrets_named(name)
        ours = [each for each in informer.all() if each.is_ours] if informer is not None else []
        accounts = sum(name in (each.pull_secrets or ()) for each in self._watched.accounts.all())
        return {"secrets": len(ours), "service_accounts": accounts}

    def _may_go_on(self) -> bool:
        wait = self._pace.wait()
        if wait > 0:
            self._stop.wait(wait)
        return self._may_write() and not self._stop.is_set()

    def _run(self) -> None:
        while not self._stop.is_set():
            namespace = self._queue.get(PATIENCE)
            if namespace is None:
                continue
            done = ApplyResult(left=True)
            try:
                done = self.reconcile(namespace)
            except CredentialProviderError as error:
                about = ObjectRef("Namespace", "", namespace)
                self._reporter.event(about, "ReconcileFailed", f"{error.problem}. {error.remedy}")
            except Exception:  # a mistake of ours about one namespace must not stop the work on all others
                LOG.exception("a namespace could not be worked on", extra={"namespace": namespace})
            finally:
                self._queue.done(namespace, failed=done.left, after=done.after)
                self._reporter.queue(len(self._queue))

    def reconcile(self, namespace: str) -> ApplyResult:
        """Bring *namespace* into order as far as that is possible now."""
        snapshot = self._snapshot()
        if snapshot is None or snapshot.is_blocked or not self._may_write():
            return ApplyResult()
        if not self._watched.is_synced():
            self._queue.add(namespace, requeue_after=NOT_LISTED)
            return ApplyResult()
        seen = self._watched.namespaces.get(namespace, namespace)
        if seen is None or seen.terminating:
            return ApplyResult()
        owner = self._owner.current()
        if not self._may_write():
            return ApplyResult()
        content = content_for(seen, snapshot.wanted, snapshot.everything, snapshot.entries)
        if content is not None and not content.is_complete:
            content = self._with_what_lives(content, namespace, snapshot)
        observed = self._watched.observed(namespace)
        self._tell_of_foreign(observed, snapshot)
        self._tell_of_requests(seen, snapshot)
        actions = plan(observed, desired(snapshot, content, observed, owner))
        possible, pause = self._without_reverted(actions)
        done = self._hands.apply(possible[:BATCH])  # a plan's beginning is as safe as all of it
        if done.error is not None:
            self._tell_of_failure(namespace, done.error)
        if pause > 0:
            self._queue.add(namespace, requeue_after=pause)
        if len(possible) > BATCH and done.error is None:
            self._queue.add(namespace)
        return done

    def _with_what_lives(self, content: Content, namespace: str, snapshot: DesiredState) -> Content:
        """Return *content* with the logins in the namespace's Secrets that it would take out without knowing them."""
        secrets = self._watched.secrets_in_namespace(namespace)
        names = [snapshot.wanted.secret_name, *sorted(snapshot.retired), *sorted(snapshot.replaced)]
        usable = [
            name
            for name in names
            if name in secrets
            and secrets[name].type == SECRET_TYPE
            and (secrets[name].is_ours or name in snapshot.replaced)
        ]
        present = [self._hands.read_secret(namespace, name) for name in usable]
        return content.keeping(present, others=snapshot.filled())

    def _note(self, action: Action) -> None:
        """Take note of what was done: how often each account gets our entry."""
        if isinstance(action, ChangeAccount) and action.add and self._reverts.added(action.namespace, action.name):
            self._reporter.event(
                ObjectRef("ServiceAccount", action.namespace, action.name),
                "EntryReverted",
                f"something takes {action.add} out of imagePullSecrets again and again; it is put back ever slower. "
                "Let the tool that manages this ServiceAccount ignore that field, or switch it off here: label "
                "aliyun-acr-credential-provider/pull-secrets=disabled.",
            )

    def _without_reverted(self, actions: list[Action]) -> tuple[list[Action], float]:
        """Return what may be done now, and the seconds until more of it may."""
        possible: list[Action] = []
        pause = 0.0
        for action in actions:
            wait = 0.0
            if isinstance(action, ChangeAccount) and action.add:
                wait = self._reverts.wait_for(action.namespace, action.name)
            if wait > 0:
                pause = min(pause, wait) if pause else wait
            else:
                possible.append(action)
        return possible, pause

    def _tell_of_foreign(self, observed: Observed, snapshot: DesiredState) -> None:
        present = observed.secrets.get(snapshot.wanted.secret_name)
        if not is_foreign(present):
            self._told_foreign.discard(observed.namespace)
        elif observed.namespace not in self._told_foreign:
            self._told_foreign.add(observed.namespace)
            self._reporter.event(
                ObjectRef("Secret", observed.namespace, snapshot.wanted.secret_name, present.uid if present else ""),
                "SecretConflict",
                "this Secret has the name of ours but not our label, and is left alone: no ServiceAccount here gets a "
                "pull secret. Rename or delete it, or choose another pullSecrets.secretName.",
            )

    def _tell_of_requests(self, namespace: Namespace, snapshot: DesiredState) -> None:
        problems = unmet(namespace, snapshot.wanted, snapshot.entries)
        if problems and self._told_requests.get(namespace.name) != problems:
            self._reporter.event(
                ObjectRef("Namespace", "", namespace.name, namespace.uid),
                "InvalidInstanceRequest",
                f"{'; '.join(problems[:5])}. Correct the annotation, or add the instance to the configuration.",
            )
        self._told_requests.pop(namespace.name, None)
        if problems:
            self._told_requests[namespace.name] = problems

    def _tell_of_failure(self, namespace: str, error: ClusterError) -> None:
        if not error.is_conflict and error.status not in (0, 404, 429):
            self._reporter.event(
                ObjectRef("Namespace", "", namespace), "WriteRefused", f"{error.problem}. {error.remedy}"
            )
