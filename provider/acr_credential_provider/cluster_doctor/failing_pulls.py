"""The pulls of a cluster that fail now, and what each of them would need. Values alone, none a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.acr_hosts import recognise
from acr_credential_provider.model.errors import InvalidImageError
from acr_credential_provider.model.image_reference import scope_of
from acr_credential_provider.pull_secrets.model.eci_annotations import requests_of
from acr_credential_provider.settings.registry_matching import candidates

from .snapshot import (
    SkippedError,
    is_controller,
    is_pull_secret,
    name_of,
    names_in,
    namespace_of,
    own_region,
    plugin_nodes,
    pull_secrets_of_accounts,
    settings_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from acr_credential_provider.settings import ProviderSettings, Registry

    from .snapshot import Cluster, Object

WAITING = frozenset({"ErrImagePull", "ImagePullBackOff"})
_PLAIN_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,500}", re.ASCII)
_MOST = 5
"""Pods of one cause that are named."""
UNREACHABLE, ABSENT, REFUSED = "unreachable", "absent", "refused"
_CAUSES = {  # the words of kubelets, container runtimes and Go's network stack, in the order of their say
    UNREACHABLE: re.compile(
        r"no such host|i/o timeout|dial tcp|connection (?:refused|reset)|TLS handshake|context deadline|x509|no route",
        re.IGNORECASE,
    ),
    REFUSED: re.compile(
        r"\b40[13]\b|unauthorized|forbidden|denied|insufficient_scope|authorization failed|authentication required",
        re.IGNORECASE,
    ),
    ABSENT: re.compile(r"not found|manifest unknown|name unknown|no such (?:image|manifest)", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull that fails now: which image, for whom, and the pull secrets that the Pod was made with."""

    namespace: str
    pod: str
    account: str
    image: str
    secrets: tuple[str, ...]
    node: str = ""
    cause: str = ""
    """What the runtime's words come to: `UNREACHABLE`, `REFUSED`, `ABSENT`, or "" for none of these."""
    asks_for: tuple[str, ...] = ()
    """The instances that the Pod names by ECI's annotation, as it writes them."""

    @property
    def shown_image(self) -> str:
        """The image fit for a line that may be pasted into a shell: whoever starts Pods writes it."""
        return self.image if _PLAIN_IMAGE.fullmatch(self.image) else self.image.partition("/")[0] + "/..."

    def __str__(self) -> str:
        """Return the Pod as kubectl names it."""
        return f"{self.namespace}/{self.pod}"


def failing_pulls(cluster: Cluster) -> list[Pull]:
    """Return the pulls that fail now."""
    if cluster.pods is None:
        raise SkippedError("this user may not list pods")
    found = []
    for pod in cluster.pods:
        spec = pod.get("spec") or {}
        secrets = names_in(spec.get("imagePullSecrets"))
        account, node = str(spec.get("serviceAccountName") or "default"), str(spec.get("nodeName") or "")
        annotations = (pod.get("metadata") or {}).get("annotations") or {}
        asks_for = tuple(map(str, requests_of(annotations).instances))
        found += [
            Pull(namespace_of(pod), name_of(pod), account, image, secrets, node, cause, asks_for)
            for image, cause in _waiting(pod)
        ]
    return found


def _waiting(pod: Object) -> Iterator[tuple[str, str]]:
    """Yield the images that *pod* waits for in vain, each with the cause; the words themselves are nobody's here."""
    status = pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in WAITING:
            words = str(waiting.get("message", ""))[:2000]
            cause = next((name for name, pattern in _CAUSES.items() if pattern.search(words)), "")
            yield str(container.get("image")), cause


def entries_for(pull: Pull, settings: ProviderSettings, own_region: str) -> list[Registry]:
    """Return the entries whose login the *pull* may need, in *own_region* where they name none."""
    try:
        where = scope_of(pull.image)
    except InvalidImageError:  # Docker Hub's short names: nobody's here
        return []
    system = recognise(where.partition("/")[0])
    return [
        each
        for each in candidates(where, settings.registries)
        if each.domains or (system is not None and (each.region or own_region or system.region) == system.region)
    ]


def is_covered(pull: Pull, cluster: Cluster) -> bool:
    """Say whether an entry is for the *pull*."""
    return bool(entries_for(pull, settings_of(cluster), own_region(cluster)))


def covered_pulls(cluster: Cluster) -> list[Pull]:
    """Return the failing pulls that an entry is for, on nodes that need a pull secret for them."""
    spared = plugin_nodes(cluster, "True")
    return [each for each in _of_an_entry(cluster) if each.node not in spared]


def pulls_by_plugin(cluster: Cluster) -> list[Pull]:
    """Return those of nodes whose kubelet asks the plugin, which needs no pull secret."""
    nodes = plugin_nodes(cluster, "True")
    return [each for each in _of_an_entry(cluster) if each.node in nodes]


def _of_an_entry(cluster: Cluster) -> list[Pull]:
    settings, own = settings_of(cluster), own_region(cluster)
    pulls = [each for each in failing_pulls(cluster) if each.cause != UNREACHABLE]  # no login helps those
    return [each for each in pulls if entries_for(each, settings, own)]


def unselected_pulls(cluster: Cluster) -> list[Pull]:
    """Return the covered pulls of Pods whose ServiceAccount is not to have the pull secret."""
    namespaces = {name_of(each): each for each in cluster.namespaces or ()}
    accounts = {(namespace_of(each), name_of(each)): each for each in cluster.accounts or ()}

    def is_selected(pull: Pull) -> bool:
        namespace: Object = namespaces.get(pull.namespace) or {"metadata": {"name": pull.namespace}}
        bare = {"metadata": {"name": pull.account, "namespace": pull.namespace}}
        return cluster.selects(namespace, accounts.get(account_of(pull)) or bare)

    return [each for each in covered_pulls(cluster) if not is_selected(each)]


def selected_pulls(cluster: Cluster) -> list[Pull]:
    """Return those of Pods whose ServiceAccount is to have the pull secret."""
    left_out = set(unselected_pulls(cluster))
    return [each for each in covered_pulls(cluster) if each not in left_out]


def pulls_without_ours(cluster: Cluster, *, is_own_list: bool) -> list[Pull]:
    """Return the pulls of Pods without our Secret: those whose workload chose the list itself, or the others."""
    accounts = pull_secrets_of_accounts(cluster)
    found = []
    for pull in selected_pulls(cluster):
        if any(is_pull_secret(each, cluster) for each in pull.secrets):
            continue
        # Admission copies the account's list into Pods that have none: such a list is no choice of the workload's.
        is_copied = set(pull.secrets) <= set(accounts.get(account_of(pull), ()))
        if is_copied != is_own_list:
            found.append(pull)
    return found


def is_of_interest(pod: Object) -> bool:
    """Say whether any check looks at *pod*: a controller's, or one that cannot pull. Most clusters have few."""
    return is_controller(pod) or any(_waiting(pod))


def grouped(pulls: Sequence[Pull], key: Callable[[Pull], Any]) -> dict[Any, list[Pull]]:
    """Return *pulls* by *key*, in order."""
    groups: dict[Any, list[Pull]] = {}
    for each in pulls:
        groups.setdefault(key(each), []).append(each)
    return groups


def some(pulls: Sequence[Pull]) -> str:
    """Return the Pods of *pulls*, no more than fit a line."""
    names = list(dict.fromkeys(map(str, pulls)))
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def account_of(pull: Pull) -> tuple[str, str]:
    """Return namespace and name of the Pod's ServiceAccount."""
    return pull.namespace, pull.account
