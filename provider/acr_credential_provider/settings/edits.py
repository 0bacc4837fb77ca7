"""What an edit takes away from the settings in force, and when that is taken for a mistake.

The controller and `settings validate --replacing`, which the node's agent runs, judge edits here.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .runtime import ProviderSettings, Registry

MOST_NAMED = 5
UNDO = "To take all logins away, run kubectl acr uninstall; on a node, node uninstall."


class Judged(Protocol):
    """A text that was judged, such as a `Verdict`."""

    @property
    def settings(self) -> ProviderSettings | None:
        """The settings, None if nothing is usable."""

    @property
    def problems(self) -> tuple[ConfigProblem, ...]:
        """What is wrong with the text."""


def lost_logins(before: Iterable[Registry], after: Iterable[Registry]) -> tuple[str, ...]:
    """Return the names of what has logins by *before* and none by *after*: entries, and domains where entries stay."""
    after = tuple(after)
    kept = {key for registry in after for key in _keys(registry)} | {name for each in after for name in each.domains}
    lost: dict[str, None] = {}
    for registry in before:
        if _asks_cloud(registry) and kept.isdisjoint(_keys(registry)):
            lost[display_name(registry)] = None
        else:
            lost.update(dict.fromkeys(domain for domain in registry.domains if domain not in kept))
    return tuple(lost)


def is_all_lost(before: Iterable[Registry], after: Iterable[Registry]) -> bool:
    """True if *after* has no entry of *before*."""
    kept = {key for registry in after for key in _keys(registry)}
    return kept.isdisjoint(key for registry in before for key in _keys(registry))


def mistakes(before: Judged, after: Judged, lost: str) -> tuple[ConfigProblem, ...]:
    """Return why an edit that takes *lost* away (in words, "" for nothing) is a mistake; empty if it is none."""
    if not lost or after.settings is None:
        return ()
    if not any(registry.instance_id or registry.region or registry.domains for registry in after.settings.registries):
        return (
            ConfigProblem(
                1,
                "",
                "the configuration names no instance, which means the Personal Edition at a first start only: "
                f"it would take away {lost}",
                Remedy("ChangeHeldBack", f"Name the instances; for the Personal Edition, name its region. {UNDO}"),
            ),
        )
    if Counter(map(_cause, after.problems)) - Counter(map(_cause, before.problems)):
        remedy = f"Correct what else is said of this edit, or take them away in an edit of its own. {UNDO}"
        return (
            ConfigProblem(
                1, "", f"something is newly broken, and it would take away {lost}", Remedy("ChangeHeldBack", remedy)
            ),
        )
    return ()


def some(names: Sequence[str]) -> str:
    """Return the first of *names*, and how many more there are.

    >>> some(["a", "b"]), some(list("abcdefg"))
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _keys(registry: Registry) -> Sequence[object]:
    """Return what *registry* is known by. One with a user and a password may be known by its domains alone."""
    if _asks_cloud(registry):
        return [(registry.instance_id, registry.region, frozenset(registry.namespaces))]
    return registry.domains


def _asks_cloud(registry: Registry) -> bool:
    return registry.identity.traits.asks_cloud or not registry.domains


def _cause(problem: ConfigProblem) -> tuple[str, str]:
    """Return a problem without its position, which moves when lines and entries above it come or go."""
    return re.sub(r"\[\d+\]", "[]", problem.field), problem.problem
