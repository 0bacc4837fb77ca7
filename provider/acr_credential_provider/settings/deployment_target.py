"""Identities that do not work on a node, or in the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from pydantic.alias_generators import to_camel

from acr_credential_provider.model.config_problem import ConfigProblem

from .strict_yaml import line_of

if TYPE_CHECKING:
    from .runtime import ProviderSettings


def validate_for(target: str, settings: ProviderSettings, text: str) -> list[ConfigProblem]:
    """Return the problems of *settings*, read from *text*, on the *target*: ``node`` or ``controller``."""
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    problems = []
    for index, registry in enumerate(settings.registries):
        traits = registry.identity.traits
        steps: list[Any] = ["registries", index, "identity"]
        field = f"registries[{index}].identity"
        refusal = traits.not_on_node if target == "node" else traits.not_in_controller
        if refusal:
            why, alternative = refusal
            problem = f"{registry.identity.kind} does not work on a {target}: {why}"
            problems.append(ConfigProblem(line_of(root, [*steps, "kind"]), f"{field}.kind", problem, alternative))
        problems += [
            ConfigProblem(
                line_of(root, steps),
                f"{field}.{to_camel(name)}",
                "is missing: no webhook sets it in a kubelet's environment",
                "Add it, with a token file that something on this host renews; or use serviceAccount.",
            )
            for name in (traits.needed_on_node if target == "node" else ())
            if getattr(registry.identity, name) is None
        ]
    return problems
