"""What is said when the API server does not do what it was asked to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from acr_credential_provider.model.errors import CredentialProviderError

if TYPE_CHECKING:
    import httpx2

_REASON = re.compile(r"[A-Za-z]{1,40}", re.ASCII)


class ClusterError(CredentialProviderError):
    """The API server said no, or nothing: *status* is the HTTP status (0: no answer), *reason* its one-word reason.

    *retry_after* is in seconds, 0 where it did not say.
    """

    def __init__(
        self, problem: str, *, remedy: str, status: int = 0, reason: str = "", retry_after: float = 0.0
    ) -> None:
        super().__init__(problem, remedy=remedy)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after

    @property
    def is_conflict(self) -> bool:
        """Say whether the object changed since it was read: read it again, then decide again."""
        return self.status in (409, 422) or (self.status == 404 and self.reason != "")

    @property
    def is_gone(self) -> bool:
        """Say whether a watch or a list can't go on from where it was."""
        return self.status == 410


def unreachable(verb: str, path: str, reason: str = "") -> ClusterError:
    """Return what to say where nothing usable came; *reason* IdleTimeout: nothing at all came."""
    what = "fell silent" if reason else "gave no usable answer"
    return ClusterError(
        f"the API server {what} ({verb} {path})",
        remedy="Nothing, if it passes: it is asked again. If it stays, check the way to the API server (network "
        "policies, its address, its certificate).",
        reason=reason,
    )


def refusal(verb: str, path: str, response: httpx2.Response) -> ClusterError:
    """Return what to say where the API server answered *response*; of its words one is kept, the reason."""
    reason = ""
    try:
        word = msgspec.json.decode(response.content).get("reason", "")
        reason = word if isinstance(word, str) and _REASON.fullmatch(word) else ""
    except (ValueError, AttributeError):
        pass
    return ClusterError(
        f"the API server refused {verb} {path} ({response.status_code}{' ' + reason if reason else ''})",
        remedy=_REMEDIES.get(response.status_code, "Nothing, if it passes: it is tried again."),
        status=response.status_code,
        reason=reason,
        retry_after=_seconds(response.headers.get("Retry-After", "")),
    )


_REMEDIES = {
    401: "Check the ServiceAccount or kubeconfig that this runs with: its token is not accepted.",
    403: "Grant the right to the ServiceAccount that this runs with (RBAC, and the policy that bounds it): see the "
    "manifests.",
}


def _seconds(text: str) -> float:
    return min(float(text), 300.0) if re.fullmatch(r"\d{1,6}", text, re.ASCII) else 0.0
