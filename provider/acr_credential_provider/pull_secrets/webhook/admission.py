"""The admission webhook: a ServiceAccount has its pull secret the moment it exists.

It is asked about creations only; later changes the controller repairs within a second.

*The namespace's Secret is there before the answer*: unless the watch shows one, it is created with a POST that an
existing one refuses. That may take a second, and half of the time that the API server waits. If the Secret cannot be
had in time, the ServiceAccount gets the entry all the same, with a warning to its creator: the kubelet goes on without
a Secret, and the controller makes it soon. Only with failure-policy Fail is the ServiceAccount refused.

The cloud is never asked. Without a valid token the ServiceAccount is let through unchanged, under either policy,
because a cloud that is down must not stop a cluster from creating namespaces.

Anyone who reaches the port may send an AdmissionReview. A client certificate cannot be demanded: API servers show one
only if each is configured to (`--admission-control-config-file`), which users of a managed control plane cannot do. A
forged review can make us create a Secret that the controller would create anyway, once (`secret_creation.py`).
Contract: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.pull_secrets.serving.http_server import Answer

from .secret_creation import SecretCreator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from acr_credential_provider.pull_secrets.model.pull_secret import PullSecretProvider
    from acr_credential_provider.pull_secrets.model.telemetry import Telemetry
    from acr_credential_provider.pull_secrets.serving.http_server import Request

    from .secret_creation import EnsureSecret

PATH = "/admit/serviceaccounts"
BUDGET = 1.0
"""Seconds that the Secret may take."""
API_VERSION = "admission.k8s.io/v1"
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_WAIT = re.compile(r"([0-9]{1,3})s", re.ASCII)


class BadReviewError(ValueError):
    """Not an AdmissionReview v1 of a ServiceAccount."""


@dataclass(frozen=True, slots=True)
class Review:
    """The request in an AdmissionReview."""

    uid: str
    namespace: str
    name: str
    """Empty where the API server is yet to make one up (generateName)."""
    is_creation: bool
    is_dry_run: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    pull_secrets: tuple[str, ...] | None = None
    """The names in imagePullSecrets; None where there is no such list."""

    @classmethod
    def decode(cls, body: bytes) -> Review:
        """Read it; raise `BadReviewError`."""
        try:
            request = _request(json.loads(body))
            resource = request["resource"]
            is_ours = (resource["group"], resource["resource"]) == ("", "serviceaccounts")
            is_creation = is_ours and request["operation"] == "CREATE" and not request.get("subResource")
            account = (request.get("object") or {}) if is_creation else {}
            meta = account.get("metadata") or {}
            listed = account.get("imagePullSecrets")
            review = cls(
                uid=str(request["uid"]),
                namespace=str(request.get("namespace") or ""),
                name=str(meta.get("name") or request.get("name") or ""),
                is_creation=is_creation,
                is_dry_run=bool(request.get("dryRun")),
                labels=_texts(meta.get("labels")),
                annotations=_texts(meta.get("annotations")),
                pull_secrets=None if listed is None else tuple(map(_name_of, listed)),
            )
        except BadReviewError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise BadReviewError("not an AdmissionReview") from None
        # It becomes part of a path.
        if review.is_creation and not _NAMESPACE.fullmatch(review.namespace):
            raise BadReviewError("not the name of a namespace")
        return review

    def patch(self, secret: str) -> list[dict[str, Any]]:
        """Return the JSON patch that adds *secret*, and touches nothing else; empty where it is listed."""
        entry = {"name": secret}
        if self.pull_secrets is None:
            return [{"op": "add", "path": "/imagePullSecrets", "value": [entry]}]
        if secret in self.pull_secrets:
            return []
        return [{"op": "add", "path": "/imagePullSecrets/-", "value": entry}]


def _request(document: dict[str, Any]) -> dict[str, Any]:
    if document["apiVersion"] != API_VERSION or document["kind"] != "AdmissionReview":
        raise BadReviewError(f"not an AdmissionReview of {API_VERSION}")
    request: dict[str, Any] = document["request"]
    return request


def _texts(labels: Any) -> dict[str, str]:
    """Return *labels* or annotations; raise ``TypeError`` unless they are texts, which selectors compare."""
    texts = labels or {}
    if isinstance(texts, dict) and all(isinstance(text, str) for text in texts.values()):
        return texts
    raise TypeError


def _name_of(entry: dict[str, Any] | None) -> str:
    return str((entry or {}).get("name") or "")


def allow(uid: str, patch: list[dict[str, Any]], *warnings: str) -> Answer:
    """Return the response that admits the object, changed by *patch*."""
    response: dict[str, Any] = {"uid": uid, "allowed": True}
    if patch:
        response |= {"patchType": "JSONPatch", "patch": b64encode(json.dumps(patch).encode()).decode("ascii")}
    if warnings:
        response["warnings"] = list(warnings)
    return _answer(response)


def refuse(uid: str, message: str) -> Answer:
    """Return the response that refuses the object, with a status that callers retry."""
    status = {"code": 503, "reason": "ServiceUnavailable", "message": message}
    return _answer({"uid": uid, "allowed": False, "status": status})


def _answer(response: dict[str, Any]) -> Answer:
    document = {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}
    return Answer(200, json.dumps(document).encode(), "application/json")


def budget(query: Mapping[str, str]) -> float:
    """Return how many seconds the Secret may take: the API server says how long it waits for us.

    >>> budget({"timeout": "10s"}), budget({"timeout": "1s"}), budget({})
    (1.0, 0.5, 1.0)
    """
    timeout = _WAIT.fullmatch(query.get("timeout", ""))
    return min(BUDGET, int(timeout[1]) / 2) if timeout else BUDGET


class AdmissionHandler:
    """Answers reviews; `close` it."""

    def __init__(self, provider: PullSecretProvider, ensure: EnsureSecret, telemetry: Telemetry) -> None:
        self._provider = provider
        self._secrets = SecretCreator(provider, ensure)
        self._telemetry = telemetry

    def close(self) -> None:
        """Create no more Secrets."""
        self._secrets.close()

    async def answer(self, request: Request) -> Answer:
        """Answer the review in *request*; anything else gets a 400, to which the failure policy applies."""
        began = time.monotonic()
        if request.method != "POST":
            return Answer(405, b"POST an AdmissionReview\n")
        try:
            review = Review.decode(request.body)
        except BadReviewError as error:
            return Answer(400, f"{error}\n".encode())
        outcome, answer = await self._decide(review, request.client, budget(request.query))
        self._telemetry.admitted(outcome, time.monotonic() - began)
        return answer

    async def _decide(self, review: Review, client: str, seconds: float) -> tuple[str, Answer]:
        if review.is_creation:
            seconds -= await self._await_namespace(review.namespace, seconds / 2)
        secret = review.is_creation and self._provider.pull_secret_for(
            review.namespace, review.name, labels=review.labels, annotations=review.annotations
        )
        if not secret:
            return "skipped", allow(review.uid, [])
        patch = review.patch(secret.name)
        problem = ""
        if not review.is_dry_run:
            problem = await self._secrets.create(review.namespace, secret, client, seconds)
        if not problem:
            return ("patched" if patch else "unchanged"), allow(review.uid, patch)
        settings = self._provider.spec()
        if settings is not None and settings.admission.failure_policy == "Fail":
            return "refused", refuse(review.uid, f"its pull secret {secret.name} could not be made: {problem}")
        return "secret_pending", allow(review.uid, patch, f"its pull secret {secret.name} will follow: {problem}")

    async def _await_namespace(self, namespace: str, seconds: float) -> float:
        """Wait until *namespace* is known, for *seconds* at most; return how long that was.

        A client that creates a namespace and its ServiceAccounts in one go may be quicker than our watch, and the
        namespace's labels decide whether it is selected.
        """
        began = time.monotonic()
        pause = 0.01
        # Another thread hears of it.
        while not self._provider.knows(namespace) and time.monotonic() < began + seconds:
            await asyncio.sleep(min(pause, max(began + seconds - time.monotonic(), 0.0)))
            pause *= 1.5
        return time.monotonic() - began
