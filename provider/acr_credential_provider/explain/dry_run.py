"""Walks the way of a pull without asking anyone."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from acr_credential_provider.cache.file_locks import FileLocks
from acr_credential_provider.cache.token_store import TokenStore
from acr_credential_provider.cloud.transport import Transport
from acr_credential_provider.fastpath.lookup import API_VERSIONS, ROLE_ANNOTATION, cache_key
from acr_credential_provider.fastpath.response_cache import ResponseCache, file_fingerprint
from acr_credential_provider.model.acr_hosts import SharedHost, recognise
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import CredentialProviderError, IdentityUnavailableError
from acr_credential_provider.model.image_reference import registry_of, scope_of
from acr_credential_provider.model.protocol import CredentialProviderRequest
from acr_credential_provider.settings import load
from acr_credential_provider.tokens.acquire import MACHINE_ID
from acr_credential_provider.tokens.endpoints import Tools, display_name
from acr_credential_provider.tokens.token_service import TokenService

from .cache_state import token_state, with_memos
from .candidates import NOWHERE, candidates, is_of_pods, of_the_node, roles_of
from .explanation import ASK_FIRST, FAILURE, NOTHING, TOKEN_OF_AN_ENTRY, Explanation, MatchedEntry
from .no_match import explain_no_match

if TYPE_CHECKING:
    from acr_credential_provider.cloud.transport import HttpRequest, HttpResponse
    from acr_credential_provider.settings import ProviderSettings, Registry, ServiceAccountIdentity


class WouldCallError(CredentialProviderError):
    """A pull would make a call here."""


class NoNetworkTransport(Transport):
    """Sends nothing."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """Raise `WouldCallError`, which names the call."""
        what = request.headers.get("x-acs-action", request.method)
        raise WouldCallError(f"{what} {request.url.split('?')[0]}", remedy="")


class _ReadOnlyStore(TokenStore):
    """Reads what pulls have kept, and adds nothing to it."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder if os.path.exists(f"{folder}/cache.db") else NOWHERE)

    def put(self, name: str, value: dict[str, Any], *, until: float) -> None:
        """Keep nothing."""


def explain(image: str, *, settings_path: str, cache: str) -> Explanation:
    """Return what a pull of *image* would meet on this node.

    Raises `InvalidImageError` or `ConfigurationError` when no pull would come that far.
    """
    where = scope_of(image)
    settings = load(settings_path)
    request = CredentialProviderRequest(API_VERSIONS[0], image)
    memos = ResponseCache(f"{cache}/memo")
    asked: list[str] = []
    tools = Tools(
        settings_path=settings_path,
        store_folder=f"{cache}/store",
        memos=memos,
        locks=FileLocks(NOWHERE),
        deadline=Deadline(60.0),
        patience=Deadline(0.0),
        say_stage=asked.append,
        transport=NoNetworkTransport,
    )
    with _ReadOnlyStore(tools.store_folder) as store:
        cloud = TokenService(settings, request=request, store=store, machine=file_fingerprint(MACHINE_ID), tools=tools)
        found = _found(cloud, settings, image, where)
    if found.unknown:  # an answer is remembered for each ServiceAccount, and there is none here
        return found
    digest = cache_key(settings_path, where, request.subject)
    return with_memos(found, memos, digest)


def _found(cloud: TokenService, settings: ProviderSettings, image: str, where: str) -> Explanation:
    host = registry_of(image)
    try:
        registry = cloud.match(where).registry
    except WouldCallError as call:
        return _ask_first(image, where, settings, call)
    except IdentityUnavailableError as error:
        pods = [n for n in candidates(where, settings.registries) if is_of_pods(settings.registries[n])]
        if not pods:
            return Explanation(image, host, FAILURE, error.problem, remedy=error.remedy)
        return _ask_as_pod(image, host, pods)
    except CredentialProviderError as error:
        return Explanation(image, host, FAILURE, error.problem, remedy=error.remedy)
    if registry is None:
        reason = explain_no_match(where, settings.registries)
        return Explanation(image, host, NOTHING, reason.why, remedy=reason.remedy, nearest=reason.nearest)
    return _covered(cloud, settings, image, where, registry)


def _covered(
    cloud: TokenService, settings: ProviderSettings, image: str, where: str, registry: Registry
) -> Explanation:
    host = registry_of(image)
    index = settings.registries.index(registry)
    if host in registry.domains:
        why = f"registries[{index}].domains has this host"
    elif isinstance(recognise(host), SharedHost):
        why = f"registries[{index}] is the Personal Edition of this host's region"
    else:
        why = f"ACR listed this host as one of {registry.instance_id}'s, as an earlier pull has kept"
    identity = registry.identity
    if identity.kind == "basicAuth":
        files = (identity.username_file, identity.password_file)
        entry = MatchedEntry(index, display_name(registry), "", "", identity.kind, files, ())
        return Explanation(image, host, TOKEN_OF_AN_ENTRY, why, entry)
    try:
        way = cloud.route(of_the_node(registry) if identity.kind == "serviceAccount" else registry)
    except WouldCallError as call:
        return _ask_first(image, where, settings, call, why=why)
    except CredentialProviderError as error:
        return Explanation(image, host, FAILURE, error.problem, remedy=error.remedy)
    entry = MatchedEntry(
        index=index,
        instance=display_name(registry),
        region=way.region,
        region_from="settings" if registry.region else "this node's",
        identity=identity.kind,
        files=way.source.files(),
        endpoints=way.endpoints,
        chain=tuple(hop.role_arn for hop in registry.assume_role),
    )
    if identity.kind == "serviceAccount":
        entry = replace(entry, roles=roles_of(identity))
        calls = _calls(registry, entry)
        return Explanation(image, host, TOKEN_OF_AN_ENTRY, why, entry, would_ask=calls, unknown=_unknown(identity))
    kept, would_ask = token_state(way.kept, way.failure, _calls(registry, entry))
    return Explanation(image, host, TOKEN_OF_AN_ENTRY, why, entry, kept=kept, would_ask=would_ask)


def _unknown(identity: ServiceAccountIdentity) -> tuple[str, ...]:
    return (
        f"which ServiceAccount the pod has, and its annotation {ROLE_ANNOTATION}",
        f"whether the role's trust policy takes the pod's token, by {identity.oidc_provider_arn}",
        "what this node has kept for that ServiceAccount: with it, less is asked, or nobody",
    )


def _ask_as_pod(image: str, host: str, indexes: list[int]) -> Explanation:
    entries = ", ".join(f"registries[{index}]" for index in indexes)
    return Explanation(
        image,
        host,
        ASK_FIRST,
        f"only ACR knows which hosts these entries have, since they name no domains: {entries}; and only a pod's "
        "ServiceAccount may ask it",
        would_ask=("ListInstanceEndpoint, as the pod's ServiceAccount",),
        remedy="Name the hosts in domains and the region in region, and no pull has to ask for them.",
        unknown=("which ServiceAccount the pod has, and its role",),
    )


def _calls(registry: Registry, entry: MatchedEntry) -> tuple[str, ...]:
    """Return the calls that a token of *registry* needs when this node has nothing yet."""
    identity = registry.identity
    calls = []
    if identity.kind == "nodeRole":
        calls = ["the metadata service, for the session of the node's role"]
    elif identity.kind == "serviceAccount":
        calls = ["STS, AssumeRoleWithOIDC of the ServiceAccount's role"]
    elif identity.kind == "rrsa":
        role = identity.role_arn or "the role that ALIBABA_CLOUD_ROLE_ARN names"
        calls = [f"STS, AssumeRoleWithOIDC of {role}, unless a session is kept"]
    calls += [f"STS, AssumeRole of {arn}, unless a session is kept" for arn in entry.chain]
    return (*calls, f"GetAuthorizationToken for {entry.instance} at {', else '.join(entry.endpoints)}")


def _ask_first(
    image: str, where: str, settings: ProviderSettings, call: WouldCallError, *, why: str = ""
) -> Explanation:
    """Explain that a pull would have to make *call* before anything is certain."""
    entries = [f"registries[{index}]" for index in candidates(where, settings.registries)]
    why = why or "only ACR knows which hosts these entries have, since they name no domains: " + ", ".join(entries)
    return Explanation(
        image,
        registry_of(image),
        ASK_FIRST,
        why,
        would_ask=(call.problem,),
        remedy="Name the hosts in domains and the region in region, and no pull has to ask for them.",
    )
