"""Which namespaces get the Secret, and which ServiceAccounts the reference to it.

An account is selected if it is and its namespace is: ``*`` in ``service-account`` is every account of the namespaces
in ``watch-namespace``, not of all namespaces (the documentation says both).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from .names import SWITCH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from acr_credential_provider.settings.pull_secrets import LabelRequirement, PullSecrets, Selector

    from .objects import Namespace, ServiceAccount

SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")


def selects_namespace(spec: PullSecrets, namespace: Namespace) -> bool:
    """True if *namespace* is to have the Secret."""
    if is_left_out(spec, namespace):
        return False
    return _is_selected(
        namespace.name, spec.namespaces, spec.namespace_selector, namespace.labels, namespace.annotations
    )


def is_left_out(spec: PullSecrets, namespace: Namespace) -> bool:
    """True if *namespace* is to have nothing from us, whatever it asks for."""
    return is_switched_off(namespace.labels, namespace.annotations) or _fits(namespace.name, spec.excluded_namespaces)


def selects_account(spec: PullSecrets, account: ServiceAccount) -> bool:
    """True if *account* is to have the reference, given that its namespace is selected."""
    return selects_account_named(spec, account.name, account.labels, account.annotations)


def selects_account_named(
    spec: PullSecrets, name: str, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> bool:
    """Return the same for an account that may not exist yet."""
    if is_switched_off(labels, annotations):
        return False
    return _is_selected(name, spec.service_accounts, spec.service_account_selector, labels, annotations)


def is_switched_off(labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
    """True if the object itself opts out."""
    return "disabled" in (labels.get(SWITCH), annotations.get(SWITCH))


def system_namespaces(spec: PullSecrets) -> list[str]:
    """Return the system namespaces that are selected: a login can spoil the pull of their public images."""
    return [
        name
        for name in SYSTEM_NAMESPACES
        if not _fits(name, spec.excluded_namespaces)
        and spec.namespace_selector is None
        and _fits(name, spec.namespaces or ("default",))
    ]


def _is_selected(
    name: str,
    patterns: Sequence[str],
    selector: Selector | None,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> bool:
    if not _fits(name, patterns or (("default",) if selector is None else ("*",))):
        return False
    return selector is None or _carries(selector, labels, annotations)


def _carries(selector: Selector, labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
    return (
        all(labels.get(key) == value for key, value in selector.match_labels.items())
        and all(annotations.get(key) == value for key, value in selector.match_annotations.items())
        and all(_holds(requirement, labels) for requirement in selector.match_expressions)
    )


def _holds(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    if requirement.operator == "In":
        return value in requirement.values
    if requirement.operator == "NotIn":
        return value not in requirement.values
    return (value is not None) == (requirement.operator == "Exists")


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(name == pattern or ("*" in pattern and _regex(pattern).fullmatch(name)) for pattern in patterns)


@lru_cache(maxsize=1024)
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")))
