"""Brings namespaces into order, one worker at a time each, several at once."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.pull_secrets.kube.refusals import Cause
from acr_credential_provider.pull_secrets.kube.workqueue import Priority, RateLimiter, WorkQueue
from acr_credential_provider.pull_secrets.model.desired_state import desired
from acr_credential_provider.pull_secrets.model.names import SECRET_TYPE, SWITCH
from acr_credential_provider.pull_secrets.model.namespace_requests import unmet
from acr_credential_provider.pull_secrets.model.plan import ChangeAccount, CreateSecret, DeleteSecret, is_foreign, plan
from acr_credential_provider.pull_secrets.model.telemetry import ObjectRef

from .apply import Applier, ApplyResult
from .conflicting_writers import RevertBackoff

if TYPE_CHECKING:
    from acr_credential_provider.pull_secrets.config.options import Options
    from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache
    from acr_credential_provider.pull_secrets.model.content import Content
    from acr_credential_provider.pull_secrets.model.desired_state import DesiredState
    from acr_credential_provider.pull_secrets.model.objects import Namespace
    from acr_credential_provider.pull_secrets.model.plan import Action, Observed

    from .desired_state_builder import DesiredStateBuilder
    from .write_gate import WriteGate

LOG = logging.getLogger(__name__)
BATCH = 20
"""Writes in one namespace before others have their turn: a new account there must not wait for a thousand old ones."""
NOT_LISTED = 0.2
"""Seconds between two looks at a namespace while the lists of the cluster are not complete."""
PATIENCE = 1.0
"""Seconds between two looks of an idle worker at whether it is to end."""


class Workers:
    """Threads that take namespaces from a queue. They write only while *gate* allows it."""

    def __init__(
        self, api: KubeClient, cluster: ClusterCache, builder: DesiredStateBuilder, gate: WriteGate, options: Options
    ) -> None:
        self._telemetry = api.telemetry
        self._cluster = cluster
        self._builder = builder
        self._gate = gate
        self._count = options.workers
        self._queue = WorkQueue()
        self._limiter = RateLimiter(options.writes_per_second, max(int(options.writes_per_second), 1))
        self._reverts = RevertBackoff()
        self._stop = threading.Event()
        self._undoers: dict[tuple[str, ...], str] = {}
        self._reported_foreign: set[str] = set()
        self._reported_requests: dict[str, list[str]] = {}
        self._applier = Applier(api, cluster, may_go_on=self._may_go_on, on_done=self._count_write)

    def start(self) -> None:
        """Begin, each in a thread of its own."""
        for number in range(self._count):
            threading.Thread(target=self._run, name=f"worker {number}", daemon=True).start()

    def stop(self) -> None:
        """End after the write that is under way."""
        self._stop.set()
        self._queue.close()

    def enqueue(self, namespace: str, priority: Priority = Priority.RESYNC) -> None:
        """Let *namespace* be brought into order soon."""
        if self._gate.may_write():
            self._queue.add(namespace, priority)
            self._telemetry.queue(len(self._queue))

    def enqueue_account(self, namespace: str) -> None:
        """Let *namespace*, with a ServiceAccount that is new or changed, be brought into order soon.

        Where the Secret is there, one write is all that a Pod waits for. That must not wait for thousands of new
        namespaces.
        """
        state = self._builder.state
        is_served = state is not None and state.spec.secret_name in self._cluster.secrets_in_namespace(namespace)
        self.enqueue(namespace, Priority.ACCOUNT if is_served else Priority.NAMESPACE)

    def enqueue_all(self) -> None:
        """Let all namespaces be looked at."""
        for namespace in self._cluster.namespaces.namespaces():
            self.enqueue(namespace)

    def forget(self) -> None:
        """Drop what waits, because another replica leads."""
        self._queue.clear()

    def managed(self, name: str) -> dict[str, int]:
        """Return how many objects have our content or entry."""
        informer = self._cluster.secrets_named(name)
        ours = [secret for secret in informer.all() if secret.is_ours] if informer is not None else []
        accounts = sum(name in (account.pull_secrets or ()) for account in self._cluster.accounts.all())
        return {"secrets": len(ours), "service_accounts": accounts}

    def _may_go_on(self) -> bool:
        wait = self._limiter.wait()
        if wait > 0:
            self._stop.wait(wait)
        return self._gate.may_write() and not self._stop.is_set()

    def _run(self) -> None:
        while not self._stop.is_set():
            namespace = self._queue.get(PATIENCE)
            if namespace is None:
                continue
            result = ApplyResult(is_unfinished=True)
            try:
                result = self.reconcile(namespace)
            except CredentialProviderError as error:
                about = ObjectRef("Namespace", "", namespace)
                self._telemetry.event(about, "ReconcileFailed", f"{error.coded}. {error.remedy}")
            except Exception:  # a mistake of ours about one namespace must not stop the work on all others
                LOG.exception("a namespace could not be worked on", extra={"namespace": namespace})
            finally:
                self._queue.done(namespace, failed=result.is_unfinished, after=result.after)
                self._telemetry.queue(len(self._queue))

    def reconcile(self, name: str) -> ApplyResult:
        """Bring the namespace *name* into order as far as that is possible now."""
        state = self._builder.state
        if state is None or state.is_blocked or not self._gate.may_write():
            return ApplyResult()
        if not self._cluster.is_synced():
            self._queue.add(name, requeue_after=NOT_LISTED)
            return ApplyResult()
        state = replace(state, retired=state.retired & self._cluster.listed_secrets())
        namespace = self._cluster.namespaces.get(name, name)
        if namespace is None or namespace.terminating:
            return ApplyResult()
        owner = self._gate.owner.checked_reference()
        if not self._gate.may_write():
            return ApplyResult()
        content = state.content_for(namespace)
        if content is not None and not content.is_complete:
            content = self._with_unknown_logins(content, name, state)
        observed = self._cluster.observed(name)
        if content is not None:  # a tenant's Secret elsewhere is in nobody's way
            self._report_foreign(observed, state)
        self._report_requests(namespace, state)
        possible, pause = self._without_reverted(plan(observed, desired(state, content, observed, owner)))
        result = self._applier.apply(possible[:BATCH])  # a plan's beginning is as safe as all of it
        if result.error is not None:
            self._report_failure(namespace, result.error)
        if pause > 0:
            self._queue.add(name, requeue_after=pause)
        if len(possible) > BATCH and result.error is None:
            self._queue.add(name)
        return result

    def _with_unknown_logins(self, content: Content, namespace: str, state: DesiredState) -> Content:
        """Return *content* with the logins in the namespace's Secrets that it would remove without knowing them."""
        secrets = self._cluster.secrets_in_namespace(namespace)
        names = [state.spec.secret_name, *sorted(state.retired), *sorted(state.replaced)]
        present = [
            self._applier.read_secret(namespace, name)
            for name in names
            if name in secrets
            and secrets[name].type == SECRET_TYPE
            and (secrets[name].is_ours or name in state.replaced)
        ]
        return content.keeping(present, others=state.known_hosts())

    def _count_write(self, action: Action) -> None:
        if not self._reverts.written(action.effect):
            return
        who = self._undoers.pop(action.effect.subject, "") or "another client"
        kind = "ServiceAccount" if isinstance(action, ChangeAccount) else "Secret"
        uid = action.uid if isinstance(action, ChangeAccount) else ""
        undoes, field = _undone(action)
        self._telemetry.event(
            ObjectRef(kind, action.namespace, action.name, uid),
            "EntryReverted" if isinstance(action, ChangeAccount) else "SecretReverted",
            f"{who} {undoes} again and again; it is repaired ever more slowly. Let the tool that manages this {kind} "
            f"ignore {field}, or switch it off here: label {SWITCH}=disabled.",
        )

    def _without_reverted(self, actions: list[Action]) -> tuple[list[Action], float]:
        """Return the actions that may be done now, and the seconds until more of them may.

        What refers to a Secret that has to wait, waits too.
        """
        possible: list[Action] = []
        pause = 0.0
        waiting: set[str] = set()
        for action in actions:
            wait = self._reverts.wait_for(action.effect)
            if wait > 0:
                pause = min(pause, wait) if pause else wait
                if isinstance(action, CreateSecret):
                    waiting.add(action.name)
            elif not (isinstance(action, ChangeAccount) and action.add in waiting):
                possible.append(action)
                if self._reverts.is_about_to_tell(action.effect):  # our write hides who wrote before
                    self._undoers[action.effect.subject] = self._applier.who_wrote(action)
        return possible, pause

    def _report_foreign(self, observed: Observed, state: DesiredState) -> None:
        name = state.spec.secret_name
        present = observed.secrets.get(name)
        if not is_foreign(present):
            self._reported_foreign.discard(observed.namespace)
        elif observed.namespace not in self._reported_foreign:
            self._reported_foreign.add(observed.namespace)
            self._telemetry.event(
                ObjectRef("Secret", observed.namespace, name, present.uid if present else ""),
                "SecretConflict",
                "this Secret has the name of ours but not our label, and is left alone: no ServiceAccount here gets a "
                "pull secret. Rename or delete it, or choose another pullSecrets.secretName.",
            )

    def _report_requests(self, namespace: Namespace, state: DesiredState) -> None:
        problems = unmet(namespace, state.spec, state.entries)
        if problems and self._reported_requests.get(namespace.name) != problems:
            self._telemetry.event(
                ObjectRef("Namespace", "", namespace.name, namespace.uid),
                "InvalidInstanceRequest",
                f"{'; '.join(problems[:5])}. Correct the annotation, or add the instance to the configuration.",
            )
        self._reported_requests.pop(namespace.name, None)
        if problems:
            self._reported_requests[namespace.name] = problems

    def _report_failure(self, namespace: Namespace, error: ClusterError) -> None:
        if not error.cause.passes and error.cause is not Cause.TERMINATING:
            self._telemetry.event(
                ObjectRef("Namespace", "", namespace.name, namespace.uid),
                "WriteRefused",
                f"{error.coded}. {error.remedy}",
            )


def _undone(action: Action) -> tuple[str, str]:
    """Return what undoes *action*, and the field that is changed."""
    if isinstance(action, ChangeAccount):
        what = f"takes {action.add} out of" if action.add else f"puts {action.remove[0][1]} back into"
        return f"{what} imagePullSecrets", "imagePullSecrets"
    if isinstance(action, CreateSecret):
        return "deletes this Secret", "this Secret"
    if isinstance(action, DeleteSecret):
        return "creates this Secret, with our label", "this Secret"
    return "changes this Secret", "data and our labels"
