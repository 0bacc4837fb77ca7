"""Whether a kubelet hands the plugin what pods' own identities need: their tokens, annotations, the right to ask."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from acr_credential_provider.console.checks import CheckSkippedError
from acr_credential_provider.fastpath.lookup import ROLE_ANNOTATION
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy

from .access_review import VERB, ReviewUnavailableError, may_ask_for_tokens
from .kubelet import RESTART_KUBELET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from acr_credential_provider.kubelet.credential_provider_config import Provider, TokenAttributes
    from acr_credential_provider.settings import Identity
    from acr_credential_provider.sources.oidc_token import OidcToken

    from .context import DoctorContext


def check_token_attributes(context: DoctorContext) -> str:
    """Check that the kubelet hands over what the pod's identity needs, and the token that was given."""
    identity = context.pod_identity
    token = _pod_token(context)
    account = f"of {token.namespace}/{token.name}, " if token else ""
    if context.known_provider is None:
        if token is None:
            raise CheckSkippedError("no kubelet")
        return f"{account}for {identity.audience}; no kubelet, so with all annotations that were given"
    providers = context.matching_providers
    provider = next((provider for provider in providers if provider.token), context.known_provider)
    forwarding = _check_provider(context, provider)
    without_token = next((provider for provider in providers if provider.token is None), None)
    if identity.static_pods == "nodeRole" and without_token is not None:
        # The kubelet runs every provider that matches; this one asks for each pod as if it had no ServiceAccount.
        raise ConfigurationError(
            f"{without_token.name} matches too and has no tokenAttributes, so with staticPods: nodeRole every pod gets "
            "the node's role, also one that is refused as itself",
            remedy=Remedy(
                "ProvidersOverlap",
                f"Take {context.host} out of matchImages of {without_token.name} in {without_token.file}, then: "
                f"{RESTART_KUBELET}; or set staticPods: deny in the settings.",
            ),
        )
    if context.pod is not None:
        context.annotations = forwarded_annotations(provider, context.pod.annotations)
    return f"{account}for {identity.audience}, {forwarding}"


def _pod_token(context: DoctorContext) -> OidcToken | None:
    """Return the pod's token as far as it can be judged without its keys, None without a pod; raise as a pull would."""
    identity = context.pod_identity
    if context.pod is None:
        return None
    from acr_credential_provider.sources.oidc_token import OidcToken  # noqa: PLC0415 - only with a token

    token = OidcToken.parse(context.pod.token)
    token.check(
        audience=identity.audience,
        issuer=identity.issuer,
        provider_arn=identity.oidc_provider_arn or "",
        now=time.time(),
    )
    return token


def _check_provider(context: DoctorContext, provider: Provider) -> str:
    """Return what *provider* forwards of annotations; raise `ConfigurationError` if it gets no token or no role."""
    identity = context.pod_identity
    entry = f"{provider.name} in {provider.file}"
    other = next((other for other in context.other_providers if other.token), None)
    if provider.token is None and other:
        raise ConfigurationError(
            f"the settings want the token of the pod's ServiceAccount, and {other.name}, the provider that has "
            "tokenAttributes, has no pattern in matchImages that matches",
            remedy=Remedy(
                "MatchImagesMissing",
                f'Add "{context.host}" to its matchImages in {other.file}, then: {RESTART_KUBELET}',
            ),
        )
    if provider.token is None:
        raise ConfigurationError(
            f"the settings want the token of the pod's ServiceAccount, and {entry} has no tokenAttributes",
            remedy=Remedy(
                "TokenAttributesMissing",
                f"Add tokenAttributes to {entry} (Kubernetes 1.34 or newer), with serviceAccountTokenAudience: "
                f"{identity.audience}, cacheType: ServiceAccount, requireServiceAccount: true and "
                f"optionalServiceAccountAnnotationKeys: [{ROLE_ANNOTATION}], then: {RESTART_KUBELET}",
            ),
        )
    if provider.token.audience != identity.audience:
        raise ConfigurationError(
            f"the kubelet asks for tokens for {provider.token.audience[:100]!r}, and the settings want "
            f"{identity.audience}",
            remedy=Remedy(
                "AudienceMismatch",
                f"Set serviceAccountTokenAudience: {identity.audience} in tokenAttributes of {entry}, "
                f"then: {RESTART_KUBELET}",
            ),
        )
    return _forwarding(provider.token, identity, entry)


def _forwarding(token: TokenAttributes, identity: Identity, entry: str) -> str:
    """Return which ServiceAccounts' annotations are forwarded; raise when no role could ever be found."""
    if ROLE_ANNOTATION in token.required:
        forwarding = f"for ServiceAccounts with the annotation {ROLE_ANNOTATION} alone"
    elif ROLE_ANNOTATION in token.optional:
        forwarding = f"with the annotation {ROLE_ANNOTATION}"
    elif identity.roles:  # a deliberate choice: editors of ServiceAccounts choose no roles
        forwarding = "without annotations: roles come from the settings alone"
    else:
        raise ConfigurationError(
            f"the kubelet does not pass the annotation {ROLE_ANNOTATION} on, and the settings name no roles",
            remedy=Remedy(
                "AnnotationNotPassed",
                f"Add {ROLE_ANNOTATION} to optionalServiceAccountAnnotationKeys in tokenAttributes of {entry}, "
                f"then: {RESTART_KUBELET}; or add roles to the identity in the settings.",
            ),
        )
    if token.is_required and identity.static_pods == "nodeRole":
        forwarding += ", not for static pods (requireServiceAccount: true)"
    return forwarding


def forwarded_annotations(provider: Provider, annotations: Mapping[str, str]) -> dict[str, str]:
    """Return those of *annotations* that the kubelet forwards; raise if it would not run *provider* for them."""
    token = provider.token
    if token is None:
        return {}
    missing = [key for key in token.required if key not in annotations]
    if missing:
        raise ConfigurationError(
            f"the kubelet runs {provider.name} for ServiceAccounts with the annotation {missing[0]} alone",
            remedy=Remedy(
                "AnnotationMissing",
                "Annotate the ServiceAccount with it; if it is annotated, pass it: --service-account-annotation "
                f"{missing[0]}=VALUE",
            ),
        )
    return {key: value for key, value in annotations.items() if key in (*token.required, *token.optional)}


def check_token_request_right(context: DoctorContext) -> str:
    """Ask the API server whether this node may request the pod's token, or without a pod every ServiceAccount's."""
    audience, token = context.pod_identity.audience, _pod_token(context)
    kubeconfig = context.kubelet.kubeconfig
    if not kubeconfig:
        raise CheckSkippedError("the kubelet's kubeconfig cannot be seen")
    account = {"namespace": token.namespace, "name": token.name} if token else {}
    owner = f"ServiceAccount {token.namespace}/{token.name}" if token else "every ServiceAccount"
    try:
        is_allowed = may_ask_for_tokens(kubeconfig, audience, **account)
    except ReviewUnavailableError as error:
        raise CheckSkippedError(str(error)) from None
    if not is_allowed:
        raise ConfigurationError(
            f"the API server gives this node no token of {owner} for {audience}, so the kubelet does not even run the "
            "plugin",
            remedy=Remedy(
                "AudienceNotGranted",
                f'Create a ClusterRole with apiGroups: [""], resources: [{audience}] and verbs: '
                f"[{VERB}], and a ClusterRoleBinding of it to the group system:nodes."
                + ("" if token else " If the right is given for single ServiceAccounts, try one with --token-file."),
            ),
        )
    return f"this node may ask for tokens of {owner} for {audience}"
