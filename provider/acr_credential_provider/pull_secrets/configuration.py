"""What the controller is told to do: an acr-configuration or native settings, live, and never worse than before.

An edit that can't be used, or breaks more than was broken, leaves what held before in force.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from acr_credential_provider import acr_configuration
from acr_credential_provider.errors import ConfigurationError
from acr_credential_provider.settings import (
    ProviderSettings,
    PullSecrets,
    judge,
    judge_conversion,
    judge_for,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from acr_credential_provider.acr_configuration import Role
    from acr_credential_provider.problem import Problem

NATIVE_KEYS = ("settings.yaml", "settings.json")
"""Keys of a ConfigMap that hold native settings."""
ROLES_CHANGED = "2023-04-03T00:00:00Z"
"""Clusters created from then on have the managed role (tokenMode auto)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a text means. *keys* are the contents of key files that stand in it, by path; *notes* are for operators."""

    settings: ProviderSettings | None
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def wanted(self) -> PullSecrets:
        """The section for the controller."""
        return (self.settings and self.settings.pull_secrets) or PullSecrets()


@dataclass(frozen=True, slots=True)
class InForce:
    """What holds: *text* is where it comes from. *outcome* is as in `Reporter.configuration`."""

    judged: Judged
    text: str = field(repr=False)
    outcome: str = "absent"
    problems: tuple[Problem, ...] = ()

    @property
    def settings(self) -> ProviderSettings | None:
        """The settings, None while there are none."""
        return self.judged.settings


ABSENT = InForce(Judged(None), "")


def succeed(held: InForce, text: str | None, *, role: Role, keys_directory: str) -> InForce:
    """Return what holds after *text* came (None: there is none any more), given what *held* before.

    A configuration that went away leaves the last one in force: whoever wants its work undone uninstalls.
    """
    if text is None:
        return InForce(held.judged, held.text, "kept" if held.settings else "absent", held.problems)
    judged = understood(text, role=role, keys_directory=keys_directory)
    # One entry that was broken before must not keep every later edit out.
    breaks_more = len(judged.problems) > len(held.judged.problems)
    if judged.settings is None or (held.settings is not None and breaks_more):
        return InForce(held.judged, held.text, "kept", judged.problems)
    return InForce(judged, text, "partly" if judged.problems else "loaded", judged.problems)


def understood(text: str, *, role: Role, keys_directory: str) -> Judged:
    """Return what *text* means for the controller."""
    if acr_configuration.is_one(text):
        conversion = acr_configuration.convert(text, place="controller", keys_directory=keys_directory, role=role)
        judged = judge_conversion(conversion)
        notes = tuple(str(each) for each in [*conversion.changes, *conversion.notes])
        if not isinstance(judged, ProviderSettings):
            return Judged(None, tuple(judged), notes)
        return Judged(judged, tuple(conversion.problems), notes, dict(conversion.secrets))
    judged = judge(text)
    if not isinstance(judged, ProviderSettings):
        return Judged(None, tuple(judged))
    problems = judge_for("controller", judged, text)
    return Judged(None if problems else judged, tuple(problems))


def text_of(data: Mapping[str, str] | None) -> str:
    """Return the text of a ConfigMap's *data*: native settings, or the manifest of an acr-configuration.

    Its lines are those of ``data`` as people write it, so that problems are found again.
    """
    data = data or {}
    for key in NATIVE_KEYS:
        if key in data:
            return data[key]
    lines = ["kind: ConfigMap", "data:"]
    for key, value in data.items():
        plain = value.rstrip("\n")
        if "\n" in value:
            lines += [f"  {json.dumps(key)}: |", *(f"    {line}".rstrip() for line in plain.split("\n"))]
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    text = "\n".join(lines) + "\n"
    return text if _says(text, data) else json.dumps({"kind": "ConfigMap", "data": dict(data)})


def _says(text: str, data: Mapping[str, str]) -> bool:
    """Say whether YAML finds the same in *text*, blanks at ends of lines aside."""
    try:
        found = yaml.load(text, Loader=yaml.CSafeLoader)["data"] or {}
    except (yaml.YAMLError, KeyError, TypeError, RecursionError, ValueError):
        return False
    return {key: _trimmed(str(value)) for key, value in found.items()} == {
        key: _trimmed(value) for key, value in data.items()
    }


def _trimmed(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip("\n").split("\n")]


def role_of(mode: str, created: str) -> Role:
    """Return who asks for entries that do not say so, by tokenMode *mode* and a cluster's birth, *created* (RFC 3339).

    >>> role_of("auto", "2023-04-02T23:59:59Z"), role_of("auto", "2023-04-03T00:00:00Z"), role_of("workerRole", "")
    ('nodeRole', 'managedRole', 'nodeRole')
    """
    if mode == "auto":
        return "managedRole" if created >= ROLES_CHANGED else "nodeRole"
    return "managedRole" if mode == "managedRole" else "nodeRole"


def write_keys(keys: Mapping[str, str]) -> None:
    """Put each of *keys* into its file, for us alone; raise `ConfigurationError` where that can't be done."""
    for path, content in keys.items():
        draft = f"{path}.draft"
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(
                draft, "w", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            ) as file:
                file.write(content)
            os.replace(draft, path)
        except OSError as error:
            problem = f"cannot keep an access key at {path}: {os.strerror(error.errno or 0)}"
        else:
            continue
        raise ConfigurationError(
            problem, remedy="Mount a writable volume (emptyDir, medium: Memory) at --keys-directory."
        )
