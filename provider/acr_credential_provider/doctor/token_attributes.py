"""Whether a kubelet hands the plugin what pods' own identities need: their tokens, annotations, the right to ask.

Each function says what it saw, or raises `CredentialProviderError` with what to change.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acr_credential_provider.console.checks import SkippedError
from acr_credential_provider.fastpath.lookup import ROLE_ANNOTATION
from acr_credential_provider.model.errors import ConfigurationError

from .access_review import VERB, ReviewUnavailableError, may_ask_for_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from acr_credential_provider.kubelet.credential_provider_config import Provider, TokenAttributes
    from acr_credential_provider.settings import Identity
    from acr_credential_provider.sources.oidc_token import OidcToken

RESTART_KUBELET = "systemctl restart kubelet"


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """Whom a pull is tried for: a ServiceAccount's *token*, as the kubelet would ask for it, and its *annotations*."""

    token: str = field(repr=False)
    annotations: Mapping[str, str] = field(default_factory=dict)


def check_pod_token(pod: PodIdentity | None, identity: Identity) -> OidcToken | None:
    """Return *pod*'s token as it can be judged without its keys, None without a pod; raise as a pull would."""
    if pod is None:
        return None
    from acr_credential_provider.sources.oidc_token import OidcToken  # noqa: PLC0415 - for those alone who have a token

    token = OidcToken.parse(pod.token)
    token.check(
        audience=identity.audience,
        issuer=identity.issuer,
        provider_arn=identity.oidc_provider_arn or "",
        now=time.time(),
    )
    return token


def check_attributes(
    identity: Identity,
    provider: Provider,
    *,
    beside: Iterable[Provider],
    not_matching: Iterable[Provider],
    host: str,
) -> str:
    """Say which tokens and annotations *provider*, the one for images on *host*, is handed.

    *beside* are all of ours that match these images, *not_matching* the others of ours.
    """
    where = f"{provider.name} in {provider.file}"
    other = next((each for each in not_matching if each.token), None)
    if provider.token is None and other:
        raise ConfigurationError(
            f"the settings want the token of the pod's ServiceAccount, and {other.name}, the provider that has "
            "tokenAttributes, has no pattern in matchImages that matches",
            remedy=f'Add "{host}" to its matchImages in {other.file}, then: {RESTART_KUBELET}',
        )
    if provider.token is None:
        raise ConfigurationError(
            f"the settings want the token of the pod's ServiceAccount, and {where} has no tokenAttributes",
            remedy=f"Add tokenAttributes to {where} (Kubernetes 1.34 or newer), with serviceAccountTokenAudience: "
            f"{identity.audience}, cacheType: ServiceAccount, requireServiceAccount: true and "
            f"optionalServiceAccountAnnotationKeys: [{ROLE_ANNOTATION}], then: {RESTART_KUBELET}",
        )
    if provider.token.audience != identity.audience:
        raise ConfigurationError(
            f"the kubelet asks for tokens for {provider.token.audience[:100]!r}, and the settings want "
            f"{identity.audience}",
            remedy=f"Set serviceAccountTokenAudience: {identity.audience} in tokenAttributes of {where}, "
            f"then: {RESTART_KUBELET}",
        )
    told = _passed_on(provider.token, identity, where)
    without = next((each for each in beside if each.token is None), None)
    if identity.static_pods == "nodeRole" and without is not None:
        # The kubelet runs every provider that matches; this one asks for each pod as if it had no ServiceAccount.
        raise ConfigurationError(
            f"{without.name} matches too and has no tokenAttributes, so with staticPods: nodeRole every pod gets "
            "the node's role, also one that is refused as itself",
            remedy=f"Take {host} out of matchImages of {without.name} in {without.file}, then: "
            f"{RESTART_KUBELET}; or set staticPods: deny in the settings.",
        )
    return f"for {identity.audience}, {told}"


def _passed_on(token: TokenAttributes, identity: Identity, where: str) -> str:
    """Say what becomes of ServiceAccounts' annotations; raise when no role could ever be found."""
    notes = []
    if ROLE_ANNOTATION in token.required:
        notes.append(f"for ServiceAccounts with the annotation {ROLE_ANNOTATION} alone")
    elif ROLE_ANNOTATION in token.optional:
        notes.append(f"with the annotation {ROLE_ANNOTATION}")
    elif identity.roles:  # a deliberate choice: who edits ServiceAccounts has no say
        notes.append("without annotations: roles come from the settings alone")
    else:
        raise ConfigurationError(
            f"the kubelet does not pass the annotation {ROLE_ANNOTATION} on, and the settings name no roles",
            remedy=f"Add {ROLE_ANNOTATION} to optionalServiceAccountAnnotationKeys in tokenAttributes of {where}, "
            f"then: {RESTART_KUBELET}; or add roles to the identity in the settings.",
        )
    if token.is_required and identity.static_pods == "nodeRole":
        notes.append("not for static pods (requireServiceAccount: true)")
    return ", ".join(notes)


def forwarded_annotations(provider: Provider, annotations: Mapping[str, str]) -> dict[str, str]:
    """Return those of a ServiceAccount's *annotations* that the kubelet hands on; raise when it would not even ask."""
    token = provider.token
    if token is None:
        return {}
    missing = [key for key in token.required if key not in annotations]
    if missing:
        raise ConfigurationError(
            f"the kubelet runs {provider.name} for ServiceAccounts with the annotation {missing[0]} alone",
            remedy=f"Annotate the ServiceAccount with it; if it has it, say so: --service-account-annotation "
            f"{missing[0]}=VALUE",
        )
    return {key: value for key, value in annotations.items() if key in (*token.required, *token.optional)}


def check_token_request_right(kubeconfig: str, identity: Identity, token: OidcToken | None) -> str:
    """Say that the node of *kubeconfig* may ask for *token*'s like, without one for those of every ServiceAccount.

    Raises `SkippedError` where the API server cannot be asked.
    """
    if not kubeconfig:
        raise SkippedError("the kubelet's kubeconfig is not to be seen")
    asked = {"namespace": token.namespace, "name": token.name} if token else {}
    whose = f"ServiceAccount {token.namespace}/{token.name}" if token else "every ServiceAccount"
    try:
        is_allowed = may_ask_for_tokens(kubeconfig, identity.audience, **asked)
    except ReviewUnavailableError as error:
        raise SkippedError(str(error)) from None
    if not is_allowed:
        raise ConfigurationError(
            f"the API server gives this node no token of {whose} for {identity.audience}, so the kubelet does not "
            "even run the plugin",
            remedy=f'Create a ClusterRole with apiGroups: [""], resources: [{identity.audience}] and verbs: '
            f"[{VERB}], and a ClusterRoleBinding of it to the group system:nodes."
            + ("" if token else " If the right is given for single ServiceAccounts, try one with --token-file."),
        )
    return f"this node may ask for tokens of {whose} for {identity.audience}"
