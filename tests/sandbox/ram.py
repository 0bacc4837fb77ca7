"""RAM's judgement: identity policies, role trust policies, session policies. Documents in, yes or no out.

Written from the policy language's documentation: version 1, Effect, Action, Resource,
Principal (RAM, Federated, Service) and Condition (StringEquals, StringLike and their
negations). What it does not know it refuses to judge, so that a test cannot pass by
accident.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STATEMENT = {"Effect", "Action", "Resource", "Principal", "Condition", "Sid"}
LARGEST = 2048
"""Characters of a session policy."""


class PolicyError(Exception):
    """The document is not a policy."""


@dataclass(frozen=True)
class Caller:
    """Who asks STS for a role: a RAM user or role of an account, or a token of an OIDC provider.

    *context* are the condition keys, such as ``oidc:sub`` and ``sts:ExternalId``.
    """

    account: str = ""
    arn: str = ""
    federated: str = ""
    context: Mapping[str, tuple[str, ...]] | None = None


def parse(text: str) -> dict[str, Any]:
    """Return the policy in *text*, or raise `PolicyError`."""
    try:
        document = json.loads(text)
    except ValueError:
        raise PolicyError("not JSON") from None
    check(document)
    return document


def check(document: Any) -> None:
    """Raise `PolicyError` unless *document* is a policy of a form that is known here."""
    if not isinstance(document, dict) or set(document) != {"Version", "Statement"} or document["Version"] != "1":
        raise PolicyError('a policy has "Version": "1" and a "Statement"')
    if not isinstance(document["Statement"], list) or not document["Statement"]:
        raise PolicyError("Statement is a list")
    for statement in document["Statement"]:
        if not isinstance(statement, dict) or not set(statement) <= STATEMENT:
            raise PolicyError("a statement has a member that is not known")
        if statement.get("Effect") not in ("Allow", "Deny") or not statement.get("Action"):
            raise PolicyError("a statement has an Effect and an Action")


def allows(policies: Iterable[Mapping[str, Any]], action: str, resource: str) -> bool:
    """Say whether identity *policies* together allow *action* on *resource*: one Allow, and no Deny."""
    effects = set()
    for policy in policies:
        check(policy)
        for statement in policy["Statement"]:
            if "Resource" not in statement:
                raise PolicyError("an identity policy's statement has a Resource")
            if statement.get("Condition"):
                raise PolicyError("conditions in identity policies are not known here")
            if _any(statement["Action"], action) and _any(statement["Resource"], resource):
                effects.add(statement["Effect"])
    return effects == {"Allow"}


def trusts(policy: Mapping[str, Any], caller: Caller, action: str = "sts:AssumeRole") -> bool:
    """Say whether the trust *policy* of a role lets *caller* assume it."""
    check(policy)
    effects = {
        statement["Effect"]
        for statement in policy["Statement"]
        if _any(statement["Action"], action)
        and _is_principal(statement.get("Principal") or {}, caller)
        and _holds(statement.get("Condition") or {}, caller.context or {})
    }
    return effects == {"Allow"}


def _is_principal(principal: Mapping[str, Any], caller: Caller) -> bool:
    if not set(principal) <= {"RAM", "Federated", "Service"}:
        raise PolicyError("a principal is RAM, Federated or Service")
    if caller.federated:
        return caller.federated in _list(principal.get("Federated", []))
    # RAM writes role names in ARNs in lower case.
    trusted = [arn.lower() for arn in _list(principal.get("RAM", []))]
    return f"acs:ram::{caller.account}:root" in trusted or caller.arn.lower() in trusted


def _holds(condition: Mapping[str, Any], context: Mapping[str, tuple[str, ...]]) -> bool:
    return all(
        _one_holds(operator, _list(wanted), context.get(key, ()))
        for operator, keys in condition.items()
        for key, wanted in keys.items()
    )


def _one_holds(operator: str, wanted: list[str], values: tuple[str, ...]) -> bool:
    if operator == "StringEquals":
        return any(value in wanted for value in values)
    if operator == "StringNotEquals":
        return not any(value in wanted for value in values)
    if operator == "StringLike":
        return any(_like(value, pattern) for value in values for pattern in wanted)
    if operator == "StringNotLike":
        return not any(_like(value, pattern) for value in values for pattern in wanted)
    raise PolicyError(f"the operator {operator} is not known here")


def _any(patterns: Any, text: str) -> bool:
    return any(_like(text, pattern) for pattern in _list(patterns))


def _like(text: str, pattern: str) -> bool:
    # fnmatch's brackets mean nothing in a policy.
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _list(value: Any) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise PolicyError("a text or a list of texts belongs there")
    return values
