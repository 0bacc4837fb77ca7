"""What does not work on a node, or in the controller, and what does instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from pydantic.alias_generators import to_camel

from acr_credential_provider.model.config_problem import ConfigProblem

from .identities import RrsaIdentity
from .strict_yaml import line_of

if TYPE_CHECKING:
    from .models import ProviderSettings

PLACES = ("node", "controller")
_NOT_AT = {  # place and kind -> why not, and what works there instead
    ("node", "managedRole"): ("the kubelet may not read that Secret", "Use nodeRole or serviceAccount."),
    ("node", "addonSecret"): (
        "the kubelet may not read that Secret",
        "Use accessKey, with its values in files that only root can read.",
    ),
    ("node", "profile"): ("it is for people at a shell", "Use nodeRole, serviceAccount or accessKey."),
    ("controller", "serviceAccount"): ("only the kubelet has the pods' tokens", "Use rrsa."),
    ("controller", "profile"): ("it is for people at a shell", "Use rrsa or managedRole."),
}
_RRSA_FIELDS = ("role_arn", "oidc_provider_arn", "token_file")


def validate_for(place: str, settings: ProviderSettings, text: str) -> list[ConfigProblem]:
    """Return what *settings*, read from *text*, ask for that a *place* (one of `PLACES`) cannot hold."""
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    problems = []
    for index, registry in enumerate(settings.registries):
        identity = registry.identity
        steps: list[Any] = ["registries", index, "identity"]
        field = f"registries[{index}].identity"
        refusal = _NOT_AT.get((place, identity.kind))
        if refusal:
            why, alternative = refusal
            problem = f"{identity.kind} does not work on a {place}: {why}"
            problems.append(ConfigProblem(line_of(root, [*steps, "kind"]), f"{field}.kind", problem, alternative))
        elif place == "node" and isinstance(identity, RrsaIdentity):
            problems += [
                ConfigProblem(
                    line_of(root, steps),
                    f"{field}.{to_camel(name)}",
                    "is missing: no webhook sets it in a kubelet's environment",
                    "Add it, with a token file that something on this host renews; or use serviceAccount.",
                )
                for name in _RRSA_FIELDS
                if getattr(identity, name) is None
            ]
    return problems
