"""The request of the kubelet's exec protocol; `response_cache.respond` writes the response.

Wire types: k8s.io/kubelet/pkg/apis/credentialprovider, versions v1, v1beta1 and v1alpha1.
"""

from __future__ import annotations

from acr_credential_provider.fastpath.cpython import parse_json
from acr_credential_provider.fastpath.lookup import API_VERSIONS, LARGEST_REQUEST, account_of, token_subject
from acr_credential_provider.version import NAME

from .errors import InvalidRequestError
from .remedy import Remedy

REMEDY = Remedy(
    "RequestInvalid",
    "Run this program as a kubelet credential provider, or try it by hand: "
    """echo '{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","""
    f""""image":"HOST/NAMESPACE/NAME"}}' | {NAME}""",
)


class CredentialProviderRequest:
    """One request of the kubelet.

    *subject* is the ServiceAccount in the pod's token, "" if the kubelet sent none. (Not a dataclass: processes that
    only wait would load `inspect`. It has no repr, which would show the token.)
    """

    __slots__ = ("annotations", "api_version", "image", "service_account_token", "subject")

    def __init__(
        self,
        api_version: str,
        image: str,
        service_account_token: str = "",
        annotations: dict[str, str] | None = None,
        subject: str = "",
    ) -> None:
        self.api_version = api_version
        self.image = image
        self.service_account_token = service_account_token
        self.annotations = annotations or {}
        self.subject = subject

    @classmethod
    def decode(cls, raw: bytes) -> CredentialProviderRequest:
        """Return the request in *raw*, or raise `InvalidRequestError`.

        Unknown fields are ignored, because a newer kubelet may send more.
        """
        document = _document(raw)
        kind, api_version = document.get("kind"), document.get("apiVersion")
        if kind != "CredentialProviderRequest":
            raise InvalidRequestError(f"stdin holds kind {_shown(kind)}, not CredentialProviderRequest", remedy=REMEDY)
        if api_version not in API_VERSIONS:
            raise InvalidRequestError(
                f"the request has apiVersion {_shown(api_version)}",
                remedy=Remedy(
                    "RequestInvalid",
                    f"Set the provider's apiVersion in the kubelet's CredentialProviderConfig to {API_VERSIONS[0]}.",
                ),
            )
        image = document.get("image")
        if not isinstance(image, str) or not image:
            raise InvalidRequestError("the request names no image", remedy=REMEDY)
        account = _account(document)
        if account is None:
            raise InvalidRequestError("the request's serviceAccount fields have the wrong type", remedy=REMEDY)
        return cls(str(api_version), image, *account, _subject(*account))


def _document(raw: bytes) -> dict[str, object]:
    if len(raw) > LARGEST_REQUEST:
        raise InvalidRequestError(f"stdin holds more than {LARGEST_REQUEST} bytes", remedy=REMEDY)
    try:
        document = parse_json(raw.decode())
    except ValueError:  # the text of these errors may quote a token
        document = None
    if not isinstance(document, dict):
        problem = "stdin is empty" if not raw.strip() else "stdin does not hold one JSON object"
        raise InvalidRequestError(problem, remedy=REMEDY)
    return document


def _account(document: dict[str, object]) -> tuple[str, dict[str, str]] | None:
    try:
        return account_of(document)
    except TypeError:
        return None


def _subject(token: str, annotations: dict[str, str]) -> str:
    try:
        return token_subject(token, annotations)
    except (ValueError, LookupError, TypeError):
        pass
    raise InvalidRequestError(
        "the request's serviceAccountToken is not a token of a Kubernetes ServiceAccount",
        remedy=Remedy(
            "ServiceAccountTokenInvalid",
            "Check the provider's tokenAttributes in the kubelet's CredentialProviderConfig.",
        ),
    )


def _shown(value: object) -> str:
    """Return *value* fit for one line of a log; only short names are shown."""
    return repr(value) if isinstance(value, str) and len(value) <= 100 else type(value).__name__
