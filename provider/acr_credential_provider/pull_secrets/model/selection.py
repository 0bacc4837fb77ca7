"""Who is meant: which namespaces get the Secret, and which ServiceAccounts the reference to it. Pure.

An account is meant if its namespace is and it is: ``*`` in ``service-account`` is every account of the namespaces
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


def selects_namespace(wanted: PullSecrets, namespace: Namespace) -> bool:
    """Say whether *namespace* is to have the Secret."""
    if is_left_out(wanted, namespace):
        return False
    return _is_meant(
        namespace.name, wanted.namespaces, wanted.namespace_selector, namespace.labels, namespace.annotations
    )


def is_left_out(wanted: PullSecrets, namespace: Namespace) -> bool:
    """Say whether *namespace* is to have nothing from us, whoever asks for it."""
    return is_switched_off(namespace.labels, namespace.annotations) or _fits(namespace.name, wanted.excluded_namespaces)


def selects_account(wanted: PullSecrets, account: ServiceAccount) -> bool:
    """Say whether *account* is to have the reference, its namespace being meant."""
    return selects_account_named(wanted, account.name, account.labels, account.annotations)


def selects_account_named(
    wanted: PullSecrets, name: str, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> bool:
    """Say the same of an account that may not be there yet."""
    if is_switched_off(labels, annotations):
        return False
    return _is_meant(name, wanted.service_accounts, wanted.service_account_selector, labels, annotations)


def is_switched_off(labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
    """Say whether the object itself asks to be left alone."""
    return "disabled" in (labels.get(SWITCH), annotations.get(SWITCH))


def system_namespaces(wanted: PullSecrets) -> list[str]:
    """Return the system namespaces that are meant: a login can spoil the pull of their public images."""
    return [
        name
        for name in SYSTEM_NAMESPACES
        if not _fits(name, wanted.excluded_namespaces)
        and wanted.namespace_selector is None
        and _fits(name, wanted.namespaces or ("default",))
    ]


def _is_meant(
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
        and all(_holds(each, labels) for each in selector.match_expressions)
    )


def _holds(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    if requirement.operator == "In":
        return value in requirement.values
    if requirement.operator == "NotIn":
        return value not in requirement.values
    return (value is not None) == (requirement.operator == "Exists")


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(name == each or ("*" in each and _pattern(each).fullmatch(name)) for each in patterns)


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")))
