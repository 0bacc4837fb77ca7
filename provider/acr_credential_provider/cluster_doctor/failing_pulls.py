"""The pulls of a cluster that fail now, each with the one cause that a pull meets first. None holds a secret."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from acr_credential_provider.explain.candidates import candidates
from acr_credential_provider.model.acr_hosts import recognise
from acr_credential_provider.model.errors import InvalidImageError
from acr_credential_provider.model.image_reference import scope_of
from acr_credential_provider.pull_secrets.model.eci_annotations import requests_of

from .snapshot import annotations_of, is_controller, listed, name_of, namespace_of, secret_names, spec_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .snapshot import Cluster, Object

Key = TypeVar("Key")
WAITING = frozenset({"ErrImagePull", "ImagePullBackOff"})
_PLAIN_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,500}", re.ASCII)
_MOST = 5
"""Pods of one cause that are named."""
NO_ENTRY, ON_PLUGIN_NODE, NOT_SELECTED = "no registry entry", "on a node with the plugin", "not selected"
OTHER_SECRETS, NO_SECRET = "secrets of the workload's own", "no pull secret"
UNREACHABLE, REFUSED, ABSENT, UNCLEAR = "unreachable", "refused", "absent", "unclear"
_MESSAGES = {  # of kubelets, container runtimes and Go's network stack; the first that fits
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
    """A pull that fails now: which image, for which Pod, and the pull secrets that the Pod was made with."""

    namespace: str
    pod: str
    account: str
    image: str
    secrets: tuple[str, ...]
    node: str
    symptom: str
    """`UNREACHABLE`, `REFUSED`, `ABSENT` or `UNCLEAR`, from the runtime's message."""
    instances: tuple[str, ...]
    """Those that the Pod names by ECI's annotation, as it writes them."""

    @property
    def host(self) -> str:
        """The registry's host."""
        return self.image.partition("/")[0]

    @property
    def shown_image(self) -> str:
        """The image as it may be pasted into a shell: any creator of Pods chooses it."""
        return self.image if _PLAIN_IMAGE.fullmatch(self.image) else f"{self.host}/..."

    def __str__(self) -> str:
        """Return the Pod as kubectl names it."""
        return f"{self.namespace}/{self.pod}"


def pulls_by(cluster: Cluster, cause: str, key: Callable[[Pull], Key]) -> dict[Key, list[Pull]]:
    """Return the failing pulls with *cause*, grouped by *key*; raise `CheckSkippedError`."""
    _ = cluster.settings
    groups: dict[Key, list[Pull]] = defaultdict(list)
    for pull, obstacle in _failing_pulls(cluster):
        if obstacle == cause:
            groups[key(pull)].append(pull)
    return groups


@lru_cache(maxsize=1)
def _failing_pulls(cluster: Cluster) -> list[tuple[Pull, str]]:
    """Return the pulls that fail now, each with its first obstacle."""
    pulls = [_pull(pod, image, symptom) for pod in listed(cluster.pods, "pods") for image, symptom in _waiting(pod)]
    return [(pull, _obstacle(pull, cluster)) for pull in pulls]


def _obstacle(pull: Pull, cluster: Cluster) -> str:
    try:
        is_served = bool(candidates(scope_of(pull.image), cluster.registries))
    except InvalidImageError:  # one of Docker Hub's short names
        return ""
    if not is_served:  # or of another vendor's registry
        return NO_ENTRY if recognise(pull.host) is not None else ""
    if pull.symptom == UNREACHABLE:  # no login helps
        return UNREACHABLE
    if cluster.plugin_conditions.get(pull.node, {}).get("status") == "True":
        return ON_PLUGIN_NODE
    if not cluster.is_selected(pull.namespace, pull.account):
        return NOT_SELECTED
    has_ours = any(map(cluster.is_pull_secret, pull.secrets))
    # Admission copies the account's list into Pods that have none: such a list was not chosen by the workload.
    is_copied = set(pull.secrets) <= set(cluster.account_secrets(pull.namespace, pull.account))
    return pull.symptom if has_ours else NO_SECRET if is_copied else OTHER_SECRETS


def is_relevant(pod: Object) -> bool:
    """True if any check looks at *pod*: a controller's, or one that cannot pull. Most clusters have few."""
    return is_controller(pod) or any(_waiting(pod))


def pod_names(pulls: Sequence[Pull]) -> str:
    """Return the Pods of *pulls*, no more than fit a line."""
    names = list(dict.fromkeys(map(str, pulls)))
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def _pull(pod: Object, image: str, symptom: str) -> Pull:
    return Pull(
        namespace_of(pod),
        name_of(pod),
        account=str(spec_of(pod).get("serviceAccountName") or "default"),
        image=image,
        secrets=secret_names(spec_of(pod).get("imagePullSecrets")),
        node=str(spec_of(pod).get("nodeName") or ""),
        symptom=symptom,
        instances=tuple(map(str, requests_of(annotations_of(pod)).instances)),
    )


def _waiting(pod: Object) -> Iterator[tuple[str, str]]:
    """Yield the images that *pod* waits for in vain, each with the symptom; the message itself is not kept."""
    status = pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in WAITING:
            message = str(waiting.get("message", ""))[:2000]
            symptom = next((name for name, pattern in _MESSAGES.items() if pattern.search(message)), UNCLEAR)
            yield str(container.get("image")), symptom
