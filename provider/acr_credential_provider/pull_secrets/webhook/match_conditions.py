"""The settings' selection as the API server can judge it without us: CEL conditions and label selectors.

Failure policy Fail may concern only those ServiceAccounts that the settings select: while no replica answers, the API
server has to know which these are.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acr_credential_provider.settings.pull_secrets import PullSecrets, Selector


def conditions(spec: PullSecrets) -> list[dict[str, str]]:
    """Return the matchConditions of the accounts that *spec* selects by name or by their annotations; [] for all."""
    namespaces = spec.namespaces or (("default",) if spec.namespace_selector is None else ("*",))
    accounts = spec.service_accounts or (("default",) if spec.service_account_selector is None else ("*",))
    excluded = [pattern for pattern in spec.excluded_namespaces if "*" in pattern]
    # A name that the API server is yet to make up (generateName) is absent, and an absent name would be an error.
    account = _fits("request.name", accounts)
    selector = spec.service_account_selector
    required = {
        "namespace": _fits("request.namespace", namespaces),
        "not-excluded": f"!({_fits('request.namespace', excluded)})" if excluded else "",
        "service-account": f'!has(request.name) || request.name == "" || {account}' if account else "",
        "annotations": " && ".join(_has(key, value) for key, value in _annotations(selector)),
    }
    return [{"name": name, "expression": expression} for name, expression in required.items() if expression]


def negated(required: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the matchConditions of all whom *required* does not match."""
    return [{"name": "not-selected", "expression": f"!({_all(required)})"}]


def label_selector(selector: Selector | None, *expressions: dict[str, Any]) -> dict[str, Any]:
    """Return *selector*'s labels, and *expressions*, as a LabelSelector of Kubernetes."""
    labels = dict(selector.match_labels) if selector is not None else {}
    required = [
        {"key": each.key, "operator": each.operator} | ({"values": list(each.values)} if each.values else {})
        for each in (selector.match_expressions if selector is not None else ())
    ]
    return ({"matchLabels": labels} if labels else {}) | {"matchExpressions": [*expressions, *required]}


def has_labels(selector: Selector | None) -> bool:
    """True if *selector* asks for labels."""
    return selector is not None and bool(selector.match_labels or selector.match_expressions)


def _all(required: Sequence[dict[str, str]]) -> str:
    return " && ".join(f"({condition['expression']})" for condition in required)


def _annotations(selector: Selector | None) -> list[tuple[str, str]]:
    return sorted(selector.match_annotations.items()) if selector is not None else []


def _has(key: str, value: str) -> str:
    name = json.dumps(key)
    found = f"object.metadata.annotations[{name}] == {json.dumps(value)}"
    return f"has(object.metadata.annotations) && {name} in object.metadata.annotations && {found}"


def _fits(variable: str, patterns: Sequence[str]) -> str:
    """Return the expression that is true if *variable* fits one of *patterns*; "" if each value does."""
    if any(set(pattern) == {"*"} for pattern in patterns):
        return ""
    names = [pattern for pattern in patterns if "*" not in pattern]
    parts = [f"{variable} in {json.dumps(names)}"] if names else []
    regex = regex_of(patterns)
    parts += [f"{variable}.matches({json.dumps(regex)})"] if regex else []
    return " || ".join(parts)


def regex_of(patterns: Sequence[str]) -> str:
    r"""Return the regular expression of the *patterns* that have an asterisk, for RE2; "" where none has.

    >>> regex_of(["default", "team-*", "*"])
    '^(team\\-.*|.*)$'
    """
    regexes = [".*".join(re.escape(part) for part in pattern.split("*")) for pattern in patterns if "*" in pattern]
    return f"^({'|'.join(regexes)})$" if regexes else ""
