"""The error for every call that the Kubernetes API server refused or did not answer."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.model.remedy import Remedy

from .refusals import Answer, Cause

if TYPE_CHECKING:
    import httpx2

_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/[^/]+(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<plural>[^/]+)(?:/.*)?",
    re.ASCII,
)
_VERBS = {"POST": "create", "PUT": "update"}


class ClusterError(CredentialProviderError):
    """The API server refused a call (*status* and *reason* of its answer) or did not answer (status 0).

    *verb* is the HTTP method, LIST or WATCH. *retry_after* is in seconds, 0 if the answer did not have it.
    """

    def __init__(self, problem: str, *, remedy: Remedy, status: int = 0, reason: str = "", verb: str = "") -> None:
        super().__init__(problem, remedy=remedy)
        self.status = status
        self.reason = reason
        self.verb = verb
        self.cause = Answer(status, reason).cause(verb)
        self.retry_after = 0.0

    @property
    def is_conflict(self) -> bool:
        """True if the object changed since it was read: read it again, then decide again."""
        return self.cause in (Cause.CONFLICT, Cause.NOT_FOUND)

    @property
    def is_gone(self) -> bool:
        """True if a watch or a list cannot continue from where it was."""
        return self.cause is Cause.EXPIRED

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
        remedy=Remedy(
            "ApiServerUnreachable",
            "Nothing, if it passes: it is tried again. If it stays, check the way to the API server (network "
            "policies, proxy, its address, its certificate), and whether kubectl reaches it from here.",
        ),
        reason=reason,
        verb=verb,
    )


def refusal(verb: str, path: str, response: httpx2.Response, *, sent: object = None) -> ClusterError:
    """Return the error for *response* to a call with the body *sent*; it has the API server's own sentence."""
    answer = Answer.read(response.status_code, response.content, sent=sent)
    cause = answer.cause(verb)
    error = _explain(verb, path, answer, cause)
    error.cause = cause
    error.retry_after = _seconds(response.headers.get("Retry-After", ""))
    return error


def _explain(verb: str, path: str, answer: Answer, cause: Cause) -> ClusterError:
    of_answer = partial(ClusterError, status=answer.code, reason=answer.reason, verb=verb)
    code = f"{answer.code} {answer.reason}".rstrip()
    target = _PATH.fullmatch(path)
    namespace = target["namespace"] if target is not None else None
    place = f"-n {namespace}" if namespace else "--all-namespaces"
    refused = f"the API server refused {verb} {path} ({code})" + (f": {answer.message}" if answer.message else "")
    if target is not None and cause is Cause.RBAC:
        action = _VERBS.get(verb, verb.lower())
        resource = target["plural"] + (f".{target['group']}" if target["group"] else "")
        what = target["plural"] + (f" in {namespace}" if namespace else "")
        error = of_answer(
            f"the API server does not let this user {action} {what} ({code})",
            remedy=Remedy(
                "ClusterPermissionMissing",
                "Grant the right to the user or ServiceAccount that this runs as (RBAC). "
                f"To see it: kubectl auth can-i {action} {resource} {place}",
            ),
        )
    elif namespace and answer.code == 404 and verb == "POST":
        error = of_answer(
            f"there is no namespace {namespace} ({code})",
            remedy=Remedy("NamespaceMissing", f"Create it: kubectl create namespace {namespace}"),
        )
    elif cause is Cause.UNAUTHENTICATED:
        error = of_answer(
            refused,
            remedy=Remedy(
                "ClusterLoginRefused",
                "Check the ServiceAccount or kubeconfig that this runs with: its token is not accepted.",
            ),
        )
    elif cause is Cause.QUOTA:
        error = of_answer(
            refused,
            remedy=Remedy(
                "ClusterQuotaUsedUp", f"Raise the quota, or delete what is not used: kubectl get resourcequota {place}"
            ),
        )
    elif cause is Cause.POLICY:
        error = of_answer(
            refused,
            remedy=Remedy(
                "AdmissionRefused",
                "Change the admission policy or webhook that it names, so that it allows this write: kubectl get "
                "validatingadmissionpolicies,validatingwebhookconfigurations,mutatingwebhookconfigurations",
            ),
        )
    elif cause is Cause.WEBHOOK:
        error = of_answer(
            refused,
            remedy=Remedy(
                "AdmissionUnreachable",
                "Repair or remove the admission webhook that it names: the API server cannot reach it.",
            ),
        )
    elif cause is Cause.TERMINATING:
        error = of_answer(refused, remedy=Remedy("NamespaceTerminating", "Nothing: the namespace is being deleted."))
    elif cause is Cause.IMMUTABLE:
        error = of_answer(
            refused,
            remedy=Remedy(
                "ObjectImmutable", "Delete the object, so that it is created anew, and do not make it immutable again."
            ),
        )
    elif cause is Cause.INVALID:
        error = of_answer(
            refused,
            remedy=Remedy(
                "NameInvalid",
                "Correct what it names. Names have lower case letters, digits, dots and dashes, at most 253.",
            ),
        )
    else:
        error = of_answer(
            refused,
            remedy=Remedy(
                "ApiServerUnreachable",
                "Nothing, if it passes: it is tried again. If it stays, try the same with kubectl.",
            ),
        )
    return error


def _seconds(text: str) -> float:
    return min(float(text), 300.0) if re.fullmatch(r"\d{1,6}", text, re.ASCII) else 0.0
