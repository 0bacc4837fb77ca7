"""The checks of `explain`, in the order of a pull. None ends the others; each says why it is skipped."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from acr_credential_provider.cache.cache_dirs import is_there
from acr_credential_provider.cache.cache_folder import NOWHERE
from acr_credential_provider.console.checks import OK, CheckResult, CheckSkippedError, run_checks, warning
from acr_credential_provider.fastpath.lookup import API_VERSIONS, ROLE_ANNOTATION, cache_key
from acr_credential_provider.fastpath.response_cache import (
    FOREVER,
    TOKEN,
    ResponseCache,
    file_fingerprint,
    monotonic_now_for,
)
from acr_credential_provider.model.acr_hosts import SharedHost, recognise
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.errors import CacheUnsafeError, IdentityUnavailableError
from acr_credential_provider.model.protocol import CredentialProviderRequest
from acr_credential_provider.model.remedy import NONE, Remedy
from acr_credential_provider.model.resource_limits import explained
from acr_credential_provider.settings.identity_kinds import IMDS, OIDC
from acr_credential_provider.tokens.local_state import FailureCache

from .candidates import candidates, is_for_pods_only, role_rules, with_node_role
from .context import PullContext, load_settings
from .dry_run import ReadOnlyStore, WouldCallError, offline_token_service
from .no_match import no_match

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from acr_credential_provider.console.checks import Check, Outcome
    from acr_credential_provider.settings import Registry
    from acr_credential_provider.tokens.token_service import TokenService

NAME_HOSTS = Remedy(
    "HostsUnknown", "Name the hosts in domains and the region in region, and no pull has to ask for them."
)


class ExplainContext(PullContext):
    """One *image*, and the facts about its pull that the checks find without a call; raises `InvalidImageError`."""

    def __init__(self, image: str, *, settings_path: str, cache: str) -> None:
        super().__init__(image, settings_path=settings_path, cache=cache)
        self.request = CredentialProviderRequest(API_VERSIONS[0], image)
        self.resources = ExitStack()
        self.is_per_pod = False
        """Whether each ServiceAccount has an identity of its own."""
        self.first_call = ""
        """The call without which a pull does not know the registry entry or the region."""
        self.is_cached = False
        """Whether a pull is answered from the disk."""


def explain(image: str, *, settings_path: str, cache: str) -> list[CheckResult]:
    """Return the results of all checks for a pull of *image* on this node; raises `InvalidImageError`."""
    context = ExplainContext(image, settings_path=settings_path, cache=cache)
    with context.resources:
        return run_checks(_CHECKS, context, keep_going=True)


def check_cache_folder(context: ExplainContext) -> Outcome:
    """Check that a pull would use the cache folder."""
    try:
        if is_there(context.cache):
            return context.cache
        reason = "does not exist yet"
    except CacheUnsafeError as error:
        context.cache = NOWHERE
        return [warning(error.problem, remedy=error.remedy)]
    except OSError as error:
        reason = f"cannot be read: {explained(error, remedy=NONE).problem}"
    folder, context.cache = context.cache, NOWHERE
    raise CheckSkippedError(f"{folder} {reason}")


def check_registry_entry(context: ExplainContext) -> str:
    """Find the registry entry that serves the image."""
    registries = context.settings.registries
    try:
        registry = _token_service(context).match(context.scope, settings_path=context.settings_path).registry
    except WouldCallError as call:
        context.first_call = call.problem
        raise _unknown_hosts(registries, candidates(context.scope, registries)) from None
    except IdentityUnavailableError:
        indexes = [n for n in candidates(context.scope, registries) if is_for_pods_only(registries[n])]
        if not indexes:
            raise
        context.is_per_pod, context.first_call = True, "ListInstanceEndpoint, as the pod's ServiceAccount"
        raise _unknown_hosts(registries, indexes, ", and only a pod's ServiceAccount may ask ACR") from None
    if registry is None:
        raise no_match(context.scope, registries)
    context.known_registry = registry
    context.is_per_pod = registry.identity.traits.is_of_pods
    entry = f"{registry.source} ({display_name(registry)})"
    if context.host in registry.domains:
        return f"{entry} has {context.host}"
    if isinstance(recognise(context.host), SharedHost):
        return f"{entry} serves {context.scope}"
    return f"{entry} has {context.host}, as ACR listed for an earlier pull"


def check_identity(context: ExplainContext) -> str:
    """Describe the identity that a token is asked with."""
    identity = context.registry.identity
    files = identity.key_files
    if identity.traits.asks_cloud:
        registry = with_node_role(context.registry) if context.is_per_pod else context.registry
        try:
            context.known_route = _token_service(context).route(registry)
        except WouldCallError as call:
            context.first_call = call.problem
            raise CheckSkippedError("only a call shows the region", remedy=NAME_HOSTS) from None
        files = () if context.is_per_pod else context.known_route.source.files()
    return identity.kind + (f" from {', '.join(files)}" if files else "")


def check_roles(context: ExplainContext) -> Iterator[CheckResult]:
    """List the roles that are assumed, in order."""
    identity, chain = context.registry.identity, context.registry.assume_role
    rules = role_rules(identity) if identity.traits.is_of_pods else []
    if not (rules or chain):
        raise CheckSkippedError("no role is assumed")
    for line in (*rules, *(f"then {hop.role_arn}" for hop in chain)):
        yield CheckResult("", OK, line)


def check_endpoints(context: ExplainContext) -> str:
    """Name ACR's endpoints in order of trial."""
    source = "settings" if context.registry.region else "this node"
    return f"{', then '.join(context.route.endpoints)} in {context.route.region} (from {source})"


def check_response_cache(context: ExplainContext) -> str:
    """Describe the cached response, which is served before anything else."""
    entries = ResponseCache(f"{context.cache}/memo")
    try:
        entry = entries.read(entries.path(_cache_key(context), "memo"))
    except (OSError, ValueError):
        return "empty"
    if not entry.is_valid_for(_cache_key(context)):
        return "outdated: a file that it depended on has changed"
    now = monotonic_now_for(entry)
    if now >= entry.expires_at:
        return "expired"
    if now >= entry.refresh_at:
        return f"due: used while it is refreshed ({entry.expires_at - now:.0f} s)"
    context.is_cached = True
    content = "a token" if entry.kind == TOKEN else f"that it is {entry.kind}".replace("-", " ")
    return f"fresh: {content}" + ("" if entry.refresh_at >= FOREVER else f" ({entry.refresh_at - now:.0f} s)")


def check_token_store(context: ExplainContext) -> str:
    """Describe the stored token of the registry entry."""
    token, now = context.route.stored, time.time()
    if context.is_per_pod:
        raise CheckSkippedError("each ServiceAccount has a token of its own")
    if token is None or not token.is_valid(now):
        return "empty"
    if token.needs_refresh(now):
        return f"due: used while it is refreshed ({token.expires_at - now:.0f} s)"
    context.is_cached = True
    return f"fresh ({token.refresh_at - now:.0f} s)"


def check_failure_cache(context: ExplainContext) -> Iterator[CheckResult]:
    """Show the failures that a pull gets for some seconds instead of calling again."""
    of_host = _failures(context).get(_cache_key(context))
    of_token = context.known_route.failure if context.known_route else None
    failures = {failure.problem: failure for failure in (of_token, of_host) if failure is not None}
    for problem, failure in failures.items():
        context.is_cached = True
        seconds = failure.cool_down or 0.0
        yield warning(f"a pull fails for {seconds:.0f} s without a call: {problem}", remedy=failure.remedy)


def check_cloud_calls(context: ExplainContext) -> Iterator[CheckResult]:
    """List the calls that a pull would make now."""
    _ = context.settings
    calls = [] if context.is_cached else [context.first_call] if context.first_call else _calls(context)
    for call in calls or ["none"]:
        yield CheckResult("", OK, call)


def check_pod(context: ExplainContext) -> str:
    """List the unknowns: only a pull for a pod shows them."""
    identity = context.pod_identity
    raise CheckSkippedError(
        f"only a pull for a pod shows its ServiceAccount and annotation {ROLE_ANNOTATION}, whether the role's trust "
        f"policy accepts its token ({identity.oidc_provider_arn}), and what is cached for it"
    )


_CHECKS: tuple[Check[ExplainContext], ...] = (
    ("settings", load_settings),
    ("cache folder", check_cache_folder),
    ("registry entry", check_registry_entry),
    ("identity", check_identity),
    ("RAM roles", check_roles),
    ("ACR endpoint", check_endpoints),
    ("response cache", check_response_cache),
    ("token store", check_token_store),
    ("failure cache", check_failure_cache),
    ("cloud calls", check_cloud_calls),
    ("pod", check_pod),
)


def _token_service(context: ExplainContext) -> TokenService:
    store = context.resources.enter_context(ReadOnlyStore(f"{context.cache}/store"))
    return offline_token_service(context.settings, context.request, store, _failures(context))


def _failures(context: ExplainContext) -> FailureCache:
    fingerprints = (file_fingerprint(context.settings_path),)
    return FailureCache(ResponseCache(f"{context.cache}/memo"), fingerprints, read_only=True)


def _unknown_hosts(registries: Sequence[Registry], indexes: list[int], more: str = "") -> CheckSkippedError:
    entries = ", ".join(registries[index].source for index in indexes)
    return CheckSkippedError(f"only ACR knows the hosts of {entries}: no domains are set{more}", remedy=NAME_HOSTS)


def _cache_key(context: ExplainContext) -> str:
    _ = context.settings
    if context.is_per_pod:
        raise CheckSkippedError("each ServiceAccount has an entry of its own")
    return cache_key(context.settings_path, context.scope, context.request.subject)


def _calls(context: ExplainContext) -> list[str]:
    """Return the calls that a token needs when this node has nothing cached."""
    registry, route = context.known_registry, context.known_route
    if registry is None or route is None:  # not served, or a login in files
        return []
    identity = registry.identity
    calls = []
    if identity.traits.session_from == IMDS:
        calls = ["the metadata service, for the session of the node's role"]
    elif identity.traits.is_of_pods:
        calls = ["STS, AssumeRoleWithOIDC of the ServiceAccount's role"]
    elif identity.traits.session_from == OIDC:
        role = identity.role_arn or "the role that ALIBABA_CLOUD_ROLE_ARN names"
        calls = [f"STS, AssumeRoleWithOIDC of {role}, unless a session is kept"]
    calls += [f"STS, AssumeRole of {hop.role_arn}, unless a session is kept" for hop in registry.assume_role]
    return [*calls, f"GetAuthorizationToken for {display_name(registry)} at {', else '.join(route.endpoints)}"]
