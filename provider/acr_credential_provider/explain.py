"""Which answer an image would get, and why: read from the settings and this node's disk, nothing asked of anyone.

It walks the very code of a pull, with a transport that refuses to send and a store that
keeps nothing: where a pull would call out, it says whom.
"""

from __future__ import annotations

import difflib
import os
import re
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from . import coverage
from .acquire import MACHINE_ID
from .asking import Cloud
from .cloud.transport import Transport
from .deadline import Deadline
from .errors import CredentialProviderError, IdentityUnavailableError
from .hit import API_VERSIONS, ROLE_ANNOTATION, question
from .image import place_of, registry_of
from .locks import Locks
from .memo import FAILED, FOREVER, TOKEN, Memo, Memos, judge_time, stamp
from .protocol import CredentialProviderRequest
from .reach import Tools, called
from .registry import SYSTEM_NAMESPACES, EnterpriseHost, PersonalHost, SharedHost, recognise
from .settings import NodeRoleIdentity, load
from .store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .cloud.transport import HttpRequest, HttpResponse
    from .settings import ProviderSettings, Registry, ServiceAccountIdentity
    from .token import AuthorizationToken

TOKEN_OF_AN_ENTRY, NOTHING, ASK_FIRST, FAILURE = "token", "not covered", "ask first", "failure"
NOWHERE = "/dev/null"
MOST_ROLES = 20
"""Rules of ``roles`` that are listed; the settings may have thousands."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry of the settings that a host belongs to, and how its tokens are come by.

    *roles* says which role a pod's ServiceAccount would assume, a rule each; *chain* are the
    ARNs of the roles that are assumed after that, in order.
    """

    index: int
    instance: str
    region: str
    region_from: str  # "settings", or "this node's", known from an earlier pull
    identity: str
    files: tuple[str, ...]
    endpoints: tuple[str, ...]
    roles: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that this node remembers; *state* says what it is good for, *seconds* is until it isn't."""

    what: str
    state: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a pull of *image* would meet.

    *answer* is ``token``, ``not covered``, ``ask first`` (the settings alone cannot tell) or
    ``failure``. *would_ask* are the calls that a pull would make now, none when the cache has it.
    *unknown* is what only a pull for a real pod could tell.
    """

    image: str
    host: str
    answer: str
    why: str
    entry: Entry | None = None
    kept: tuple[Kept, ...] = ()
    would_ask: tuple[str, ...] = ()
    remedy: str = ""
    nearest: str = ""
    unknown: tuple[str, ...] = ()


class WouldAskError(CredentialProviderError):
    """A pull would make a call here."""


class _Silent(Transport):
    """Sends nothing."""

    def send(self, request: HttpRequest) -> HttpResponse:
        what = request.headers.get("x-acs-action", request.method)
        raise WouldAskError(f"{what} {request.url.split('?')[0]}", remedy="")


class _ReadOnlyStore(Store):
    """Reads what pulls have kept, and adds nothing to it."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder if os.path.exists(f"{folder}/cache.db") else NOWHERE)

    def put(self, name: str, value: dict[str, Any], *, until: float) -> None:
        """Keep nothing."""


def explain(image: str, *, settings_path: str, cache: str) -> Explanation:
    """Return what a pull of *image* would meet on this node.

    Raises `InvalidImageError` or `ConfigurationError` when no pull would come that far.
    """
    where = place_of(image)
    settings = load(settings_path)
    request = CredentialProviderRequest(API_VERSIONS[0], image)
    memos = Memos(f"{cache}/memo")
    asked: list[str] = []
    tools = Tools(
        settings_path=settings_path,
        store_folder=f"{cache}/store",
        memos=memos,
        locks=Locks(NOWHERE),
        deadline=Deadline(60.0),
        patience=Deadline(0.0),
        say_stage=asked.append,
        transport=_Silent,
    )
    with _ReadOnlyStore(tools.store_folder) as store:
        cloud = Cloud(settings, request=request, store=store, machine=stamp(MACHINE_ID), tools=tools)
        found = _found(cloud, settings, image, where)
    if found.unknown:  # an answer is remembered for each ServiceAccount, and there is none here
        return found
    digest = question(settings_path, where, request.asker)
    return _with_memos(found, memos, digest)


def _found(cloud: Cloud, settings: ProviderSettings, image: str, where: str) -> Explanation:
    host = registry_of(image)
    try:
        registry = cloud.coverage(where).registry
    except WouldAskError as call:
        return _ask_first(image, where, settings, call)
    except IdentityUnavailableError as error:
        pods = [n for n in candidates(where, settings.registries) if is_of_pods(settings.registries[n])]
        if not pods:
            return Explanation(image, host, FAILURE, error.problem, remedy=error.remedy)
        return _ask_as_pod(image, host, pods)
    except CredentialProviderError as error:
        return Explanation(image, host, FAILURE, error.problem, remedy=error.remedy)
    if registry is None:
        reason = why_not(where, settings.registries)
        return Explanation(image, host, NOTHING, reason.why, remedy=reason.remedy, nearest=reason.nearest)
    return _covered(cloud, settings, image, where, registry)


def _covered(cloud: Cloud, settings: ProviderSettings, image: str, where: str, registry: Registry) -> Explanation:
    host = registry_of(image)
    index = settings.registries.index(registry)
    if host in registry.domains:
        why = f"registries[{index}].domains has this host"
    elif isinstance(recognise(host), SharedHost):
        why = f"registries[{index}] is the Personal Edition of this host's region"
    else:
        why = f"ACR listed this host as one of {registry.instance_id}'s, as an earlier pull has kept"
    identity = registry.identity
    if identity.kind == "login":
        files = (identity.username_file, identity.password_file)
        entry = Entry(index, called(registry), "", "", identity.kind, files, ())
        return Explanation(image, host, TOKEN_OF_AN_ENTRY, why, entry)
    try:
        way = cloud.way(of_the_node(registry) if identity.kind == "serviceAccount" else registry)
    except WouldAskError as call:
        return _ask_first(image, where, settings, call, why=why)
    except CredentialProviderError as error:
        return Explanation(image, host, FAILURE, error.problem, remedy=error.remedy)
    entry = Entry(
        index=index,
        instance=called(registry),
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
    kept, would_ask = _token_state(way.kept, way.failure, _calls(registry, entry))
    return Explanation(image, host, TOKEN_OF_AN_ENTRY, why, entry, kept=kept, would_ask=would_ask)


def is_of_pods(registry: Registry) -> bool:
    """Say whether nobody but a pod's ServiceAccount, by its token, can ask ACR for *registry*."""
    return registry.identity.kind == "serviceAccount" and registry.identity.static_pods == "deny"


def of_the_node(registry: Registry) -> Registry:
    """Return *registry* as if the node asked: where ACR is does not depend on who asks, and needs no pod."""
    return registry.model_copy(update={"identity": NodeRoleIdentity(kind="nodeRole"), "assume_role": ()})


def roles_of(identity: ServiceAccountIdentity) -> tuple[str, ...]:
    """Return which ServiceAccounts get which role, a rule a line, in the order in which the rules are tried."""
    roles = f"{identity.oidc_provider_arn.partition(':oidc-provider/')[0]}:role/"
    rules = [f"{', '.join(rule.service_accounts)}: {roles}{rule.role_name}" for rule in identity.roles]
    left_out = [f"({len(rules) - MOST_ROLES} more rules)"] if len(rules) > MOST_ROLES else []
    said = {"deny": "refused", "nodeRole": "the node's role"}
    return (
        *rules[:MOST_ROLES],
        *left_out,
        f"{'others' if rules else 'all'}: {roles}NAME, with NAME from their annotation {ROLE_ANNOTATION}",
        f"without one: {said[identity.without_role]}",
        f"pods without a token: {said[identity.static_pods]}",
    )


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


def _calls(registry: Registry, entry: Entry) -> tuple[str, ...]:
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
    image: str, where: str, settings: ProviderSettings, call: WouldAskError, *, why: str = ""
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


def candidates(where: str, registries: Sequence[Registry]) -> list[int]:
    """Return the indexes of the entries that *where* (`hit.place`) may belong to, as far as the settings tell."""
    system = recognise(where.partition("/")[0])
    return [
        registries.index(each)
        for each in coverage.candidates(where, registries)
        if each.domains or (system is not None and (each.region or system.region) == system.region)
    ]


def _token_state(
    kept: AuthorizationToken | None, failure: CredentialProviderError | None, calls: tuple[str, ...]
) -> tuple[tuple[Kept, ...], tuple[str, ...]]:
    """Return what the store has of the entry's token, and which of *calls* a pull would make: all, or none."""
    now = time.time()
    if kept is None or not kept.is_alive(now):
        found, needs_call = [Kept("token in the store", "none")], True
    elif kept.is_due(now):
        found, needs_call = [Kept("token in the store", "due: given out while it is renewed", kept.dead_at - now)], True
    else:
        found, needs_call = [Kept("token in the store", "fresh", kept.due_at - now)], False
    if failure is not None:
        found.append(Kept("failure of a moment ago", f"told instead of asking again: {failure.problem}"))
    return tuple(found), () if not needs_call or failure is not None else calls


def _with_memos(found: Explanation, memos: Memos, digest: str) -> Explanation:
    """Add what the fast lane would find: it comes before everything else."""
    answer, failure = _read(memos, digest, "memo"), _read(memos, digest, FAILED)
    kept = [_memo_state(answer, digest)]
    would_ask = found.would_ask
    if answer is not None and kept[0].state.startswith("fresh"):
        would_ask = ()
    if failure is not None and failure.is_true_of(digest) and judge_time(failure) < failure.dead:
        problem = failure.answer.split("\n")[1:2]
        seconds = failure.dead - judge_time(failure)
        kept.append(Kept("failure of this host", f"told instead of asking again: {''.join(problem)}", seconds))
        would_ask = ()
    return replace(found, kept=(*kept, *found.kept), would_ask=would_ask)


def _read(memos: Memos, digest: str, suffix: str) -> Memo | None:
    try:
        return memos.read(memos.path(digest, suffix))
    except (OSError, ValueError):
        return None


def _memo_state(memo: Memo | None, digest: str) -> Kept:
    what = "answer of this host"
    if memo is None:
        return Kept(what, "none")
    if memo.digest != digest:
        return Kept(what, "another question's: not used")
    if not memo.is_true_of(digest):
        return Kept(what, "outdated: a file that it depended on has changed")
    now = judge_time(memo)
    if now >= memo.dead:
        return Kept(what, "dead")
    if now >= memo.due:
        return Kept(what, "due: given out while it is renewed", memo.dead - now)
    kind = "a token" if memo.kind == TOKEN else f"that it is {memo.kind}".replace("-", " ")
    return Kept(what, f"fresh: {kind}", None if memo.due >= FOREVER else memo.due - now)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why no entry covers a host, what to do if one should, and which entry comes nearest."""

    why: str
    remedy: str
    nearest: str = ""


_NOT_OURS = "Nothing, if this is no registry of yours: such hosts get an empty answer and are pulled without a login."


def why_not(where: str, registries: Sequence[Registry]) -> Reason:
    """Say why none of *registries* covers *where* (`hit.place`): the most telling reason that applies."""
    host, _, namespace = where.partition("/")
    owner = {domain: index for index, each in enumerate(registries) for domain in each.domains}
    spelled = _spelled_otherwise(host, owner)
    if spelled:
        return Reason(
            f"{host} is not {spelled}, letter by letter (case, dot at the end, port)",
            f"Write the image as {spelled}/..., or add {host.lower()} to domains of registries[{owner[spelled]}].",
            f"registries[{owner[spelled]}]",
        )
    system = recognise(host)
    if isinstance(system, EnterpriseHost):
        return _enterprise_reason(host, system, registries, owner)
    if isinstance(system, SharedHost):
        return _shared_reason(host, system, namespace, registries)
    if isinstance(system, PersonalHost):
        return Reason(
            f"{host} is a Personal Edition instance of its own, which grants no tokens, and no entry names it",
            f"Add an entry with domains: [{host}] and identity: kind: login, or move to the Enterprise Edition.",
            _nearest(host, owner),
        )
    if host.rpartition(":")[0].lower().endswith(".aliyuncs.com") or host.lower().endswith(".aliyuncs.com"):
        return Reason(
            f"{host} ends like a host of Alibaba Cloud, but has not the form of a registry of ACR",
            "Compare it with the domains in the console (Enterprise: NAME-registry[-vpc].REGION.cr.aliyuncs.com).",
            _nearest(host, owner),
        )
    return Reason(
        f"{host} is in no entry's domains, and only those and hosts that ACR has listed get tokens",
        f"If it is a custom domain of an instance, add it to that entry's domains. {_NOT_OURS}",
        _nearest(host, owner),
    )


def _shared_reason(host: str, system: SharedHost, namespace: str, registries: Sequence[Registry]) -> Reason:
    if namespace in SYSTEM_NAMESPACES:
        return Reason(f"the images in {namespace} on {host} are Alibaba Cloud's own, and public", _NOT_OURS)
    personal = [(index, each) for index, each in enumerate(registries) if not each.instance_id]
    here = [index for index, each in personal if each.region in (None, system.region)]
    if here:
        return Reason(
            f"the Personal Edition entries in {system.region} have other namespaces or domains than {host}/{namespace}",
            f"If {namespace} is this account's, add it to namespaces of that entry. {_NOT_OURS}",
            ", ".join(f"registries[{index}]" for index in here),
        )
    return Reason(
        f"no entry is for the Personal Edition in {system.region}, the region of {host}",
        f"Add an entry without instanceId and with region: {system.region}. {_NOT_OURS}",
        ", ".join(f"registries[{index}]" for index, _ in personal),
    )


def _enterprise_reason(
    host: str, enterprise: EnterpriseHost, registries: Sequence[Registry], owner: Mapping[str, int]
) -> Reason:
    editions = [(index, each) for index, each in enumerate(registries) if each.instance_id]
    in_region = [index for index, each in editions if each.region in (None, enterprise.region)]
    limited = [index for index in in_region if registries[index].domains]
    if not in_region:
        regions = sorted({each.region for each in registries if each.region})
        same_name = [
            f"registries[{index}] has {domain}"
            for domain, index in owner.items()
            if (other := EnterpriseHost.recognise(domain)) and other.instance_name == enterprise.instance_name
        ]
        return Reason(
            f"no entry is in {enterprise.region}, the region of {host}; there are entries in {', '.join(regions)}",
            "Correct region: in the entry of that instance, or add an entry for the one in this region.",
            "; ".join(same_name) or _nearest(host, owner),
        )
    if len(limited) == len(in_region):
        listed = ", ".join(f"registries[{index}]" for index in limited)
        return Reason(
            f"the entries in {enterprise.region} name their domains, and {host} is not among them ({listed})",
            f"Add {host} to domains of the entry of that instance.",
            _nearest(host, owner) or f"registries[{limited[0]}]",
        )
    return Reason(
        f"ACR does not list {host} as a host of any entry in {enterprise.region}, as an earlier pull has kept",
        "Check the instance's name and that this entrance (public or VPC) is on; to ask again: cache clear.",
        _nearest(host, owner) or f"registries[{in_region[0]}]",
    )


def _spelled_otherwise(host: str, owner: Mapping[str, int]) -> str:
    """Return the domain that *host* would be if case, a last dot or the port did not count."""
    bare = re.sub(r":[0-9]+$", "", host.lower()).rstrip(".")
    return next((domain for domain in owner if re.sub(r":[0-9]+$", "", domain) == bare), "")


def _nearest(host: str, owner: Mapping[str, int]) -> str:
    close = difflib.get_close_matches(host, list(owner)[:1000], n=1, cutoff=0.75)
    return f"registries[{owner[close[0]]}] has {close[0]}" if close else ""


def document(found: Explanation) -> dict[str, Any]:
    """Return *found* as the JSON that ``--output json`` prints: camelCase, no empty members."""
    plain = asdict(found)
    return {_camel(name): _plain(value) for name, value in plain.items() if value not in ("", None, ())}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_camel(name): _plain(each) for name, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return round(value) if isinstance(value, float) else value


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(each.title() for each in rest)


def text(found: Explanation) -> str:
    """Return *found* as lines for a terminal."""
    lines = [f"image     {found.image}", f"answer    {found.answer}", f"why       {found.why}"]
    entry = found.entry
    if entry is not None:
        files = f" ({', '.join(entry.files)})" if entry.files else ""
        lines += [
            f"entry     registries[{entry.index}]: {entry.instance}",
            f"identity  {entry.identity}{files}",
            *(f"role      {rule}" for rule in entry.roles),
            *(f"then role {arn}" for arn in entry.chain),
        ]
        if entry.endpoints:  # a login asks nobody
            lines += [
                f"region    {entry.region} (from {entry.region_from})",
                f"endpoints {', then '.join(entry.endpoints)}",
            ]
    if found.nearest:
        lines.append(f"nearest   {found.nearest}")
    for kept in found.kept:
        left = "" if kept.seconds is None else f" ({kept.seconds:.0f} s)"
        lines.append(f"kept      {kept.what}: {kept.state}{left}")
    lines += [f"would ask {call}" for call in found.would_ask] or ["would ask nobody"]
    lines += [f"unknown   {each}" for each in found.unknown]
    if found.remedy:
        lines.append(f"remedy    {found.remedy}")
    return "\n".join(lines)
