"""The error for every call that the Kubernetes API server refused or did not answer."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING

from acr_credential_provider.model.errors import CredentialProviderError

if TYPE_CHECKING:
    import httpx2

_REASON = re.compile(r"[A-Za-z]{1,40}", re.ASCII)
_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/[^/]+(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<plural>[^/]+)(?:/.*)?",
    re.ASCII,
)
_VERBS = {"POST": "create", "PUT": "update"}


class ClusterError(CredentialProviderError):
    """The API server refused a call (*status* and *reason* of its answer) or did not answer (status 0).

    *verb* is the HTTP method, LIST or WATCH. *retry_after* is in seconds, 0 if the answer did not have it.
    """

    def __init__(self, problem: str, *, remedy: str, status: int = 0, reason: str = "", verb: str = "") -> None:
        super().__init__(problem, remedy=remedy)
        self.status = status
        self.reason = reason
        self.verb = verb
        self.retry_after = 0.0

    @property
    def is_conflict(self) -> bool:
        """True if the object changed since it was read: read it again, then decide again."""
        # A JSON patch whose test of the version fails is answered with 422, as one that makes no sense is.
        is_missing_object = self.status == 404 and self.reason != "" and self.verb != "POST"
        return self.status == 409 or (self.status == 422 and self.verb == "PATCH") or is_missing_object

    @property
    def is_gone(self) -> bool:
        """True if a watch or a list cannot continue from where it was."""
        return self.status == 410

    @property
    def is_forbidden(self) -> bool:
        """True if the user or ServiceAccount has no right to the call."""
        return self.status in (401, 403)


def resource_of(path: str) -> str:
    """Return the plural name of the resource at *path*.

    >>> resource_of("/api/v1/namespaces/team/secrets/x"), resource_of("/apis/apps/v1/deployments")
    ('secrets', 'deployments')
    """
    match = _PATH.fullmatch(path)
    return match["plural"] if match else ""


def unreachable(verb: str, path: str, reason: str = "") -> ClusterError:
    """Return the error for a call without a usable answer; *reason* is IdleTimeout if a watch had no byte for long."""
    return ClusterError(
        f"the API server {'fell silent' if reason else 'did not answer'} ({verb} {path})",
        remedy="Nothing, if it passes: it is tried again. If it stays, check the way to the API server (network "
        "policies, proxy, its address, its certificate), and whether kubectl reaches it from here.",
        reason=reason,
        verb=verb,
    )


def refusal(verb: str, path: str, response: httpx2.Response) -> ClusterError:
    """Return the error for *response*. Of the API server's own words only the one-word reason is kept."""
    reason = ""
    try:
        word = json.loads(response.content).get("reason", "")
        reason = word if isinstance(word, str) and _REASON.fullmatch(word) else ""
    except (ValueError, AttributeError, RecursionError):
        pass
    error = _explain(verb, path, response.status_code, reason)
    error.retry_after = _seconds(response.headers.get("Retry-After", ""))
    return error


def _explain(verb: str, path: str, status: int, reason: str) -> ClusterError:
    of_answer = partial(ClusterError, status=status, reason=reason, verb=verb)
    code = f"{status} {reason}".rstrip()
    target = _PATH.fullmatch(path)
    namespace = target["namespace"] if target is not None else None
    if status == 401:
        return of_answer(
            f"the API server refused {verb} {path} ({code})",
            remedy="Check the ServiceAccount or kubeconfig that this runs with: its token is not accepted.",
        )
    if target is not None and status == 403:
        action = _VERBS.get(verb, verb.lower())
        resource = target["plural"] + (f".{target['group']}" if target["group"] else "")
        what = target["plural"] + (f" in {namespace}" if namespace else "")
        scope = f"-n {namespace}" if namespace else "--all-namespaces"
        return of_answer(
            f"the API server does not let this user {action} {what} ({code})",
            remedy="Grant the right to the user or ServiceAccount that this runs as (RBAC, and the policy that bounds "
            f"it). To see it: kubectl auth can-i {action} {resource} {scope}",
        )
    if namespace and status == 404 and verb == "POST":
        return of_answer(
            f"there is no namespace {namespace} ({code})", remedy=f"Create it: kubectl create namespace {namespace}"
        )
    if status == 422:
        return of_answer(
            f"the API server finds {verb} {path} not valid ({code})",
            remedy="Correct the name: lower case letters, digits, dots and dashes, at most 253 of them.",
        )
    return of_answer(
        f"the API server refused {verb} {path} ({code})",
        remedy="Nothing, if it passes: it is tried again. If it stays, try the same with kubectl.",
    )


def _seconds(text: str) -> float:
    return min(float(text), 300.0) if re.fullmatch(r"\d{1,6}", text, re.ASCII) else 0.0
