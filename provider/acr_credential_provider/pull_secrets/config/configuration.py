"""What the controller is told to do: an acr-configuration or native settings, live, and never worse than before.

An edit that can't be used, breaks more than was broken, or takes everything away by mistake, leaves what held before in
force.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from acr_credential_provider import acr_configuration
from acr_credential_provider.files.atomic_write import write_private_atomically
from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.pull_secrets.model.content import Content, EntryLogins
from acr_credential_provider.pull_secrets.model.namespace_requests import content_for
from acr_credential_provider.pull_secrets.model.registry_names import entry_of
from acr_credential_provider.settings import ProviderSettings
from acr_credential_provider.settings.deployment_target import validate_for
from acr_credential_provider.settings.pull_secrets import PullSecrets
from acr_credential_provider.settings.validation import validate, validate_conversion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from acr_credential_provider.acr_configuration import Role
    from acr_credential_provider.pull_secrets.model.objects import Namespace

NATIVE_KEYS = ("settings.yaml", "settings.json")
"""Keys of a ConfigMap that hold native settings."""
UNDO = "To take all logins away, run pull-secrets uninstall."
MOST_NAMED = 5
NO_CONTENT = Content.of(b"")
_SURROGATES = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")
ROLES_CHANGED = "2023-04-03T00:00:00Z"
"""Clusters created from then on have the managed role (tokenMode auto)."""


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """What a text means. *keys* are the contents of key files that stand in it, by path; *notes* are for operators."""

    settings: ProviderSettings | None
    problems: tuple[ConfigProblem, ...] = ()
    notes: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def spec(self) -> PullSecrets:
        """The section for the controller."""
        return (self.settings and self.settings.pull_secrets) or PullSecrets()


@dataclass(frozen=True, slots=True)
class ActiveConfig:
    """What holds: *text* is where it comes from. *outcome* is as in `Reporter.configuration`."""

    parsed: ParsedConfig
    text: str = field(repr=False)
    outcome: str = "absent"
    problems: tuple[ConfigProblem, ...] = ()
    replaced: tuple[str, ...] = ()
    """What messages call the entries that were in force before, where none of them is in force any more."""
    may_pass: bool = False
    """Whether an edit was refused for what is in the cluster now, and may be taken later."""

    @property
    def settings(self) -> ProviderSettings | None:
        """The settings, None while there are none."""
        return self.parsed.settings


ABSENT = ActiveConfig(ParsedConfig(None), "")


def next_config(  # noqa: PLR0913 - what an edit is judged by
    held: ActiveConfig,
    text: str | None,
    *,
    role: Role,
    keys_directory: str,
    hidden: Iterable[str] = (),
    namespaces: Sequence[Namespace] | None = None,
) -> ActiveConfig:
    """Return what holds after *text* came (None: there is none any more), given what *held* before.

    *hidden* are the keys of the ConfigMap that hold no text, *namespaces* those of the cluster (None: unknown). A
    configuration that went away leaves the last one in force, and so does an edit that would leave nobody a login: an
    operator who wants the work undone uninstalls.
    """
    if text is None:
        return ActiveConfig(held.parsed, held.text, "last_good" if held.settings else "absent", held.problems)
    if missed := unreadable(hidden):
        return ActiveConfig(held.parsed, held.text, "last_good", missed)
    judged = parse(text, role=role, keys_directory=keys_directory)
    if judged.settings is None or held.settings is None:
        if judged.settings is None:
            return ActiveConfig(held.parsed, held.text, "last_good", judged.problems)
        return ActiveConfig(judged, text, "partial" if judged.problems else "loaded", judged.problems)
    kept = _entries(judged.settings)
    lost = {entry: name for entry, name in _entries(held.settings).items() if entry not in kept}
    mistakes = _mistakes(held.parsed, judged, judged.settings, list(lost.values()))
    blind = _selects_nothing(held.parsed, judged, namespaces) if not mistakes else ()
    # One entry that was broken before must not keep every later edit out.
    if mistakes or blind or len(judged.problems) > len(held.parsed.problems):
        problems = (*judged.problems, *mistakes, *blind)
        return ActiveConfig(held.parsed, held.text, "last_good", problems, may_pass=bool(blind))
    replaced = tuple(lost.values()) if len(lost) == len(_entries(held.settings)) else ()
    return ActiveConfig(judged, text, "partial" if judged.problems else "loaded", judged.problems, replaced)


def _entries(settings: ProviderSettings) -> dict[str, str]:
    """Return what messages call the entries of *settings*, by what their tokens are known by."""
    return {entry_of(each): display_name(each) for each in settings.registries}


def _mistakes(
    held: ParsedConfig, judged: ParsedConfig, settings: ProviderSettings, lost: list[str]
) -> tuple[ConfigProblem, ...]:
    """Return why an edit that no longer has the entries *lost* is taken for a mistake; nothing where it is not."""
    if not lost:
        return ()
    what = f"it would take away the logins of {_some(lost)}"
    if not any(each.instance_id or each.region or each.domains for each in settings.registries):
        return (
            ConfigProblem(
                1,
                "",
                f"the configuration names no instance, which means the Personal Edition at a first start only: {what}",
                f"Name the instances; for the Personal Edition, name its region. {UNDO}",
            ),
        )
    broken = Counter(map(_cause, judged.problems)) - Counter(map(_cause, held.problems))
    if broken:
        remedy = f"Correct what else is said of this edit, or take the entries out in an edit of its own. {UNDO}"
        return (ConfigProblem(1, "", f"an entry that worked is broken or gone: {what}", remedy),)
    return ()


def _cause(problem: ConfigProblem) -> tuple[str, str]:
    """Return a problem without its place, which moves when lines and entries above it come or go."""
    return re.sub(r"\[\d+\]", "[]", problem.field), problem.problem


def _selects_nothing(
    held: ParsedConfig, judged: ParsedConfig, namespaces: Sequence[Namespace] | None
) -> tuple[ConfigProblem, ...]:
    """Return why an edit that means none of the *namespaces* any more is taken for a mistake; nothing where not."""
    if namespaces is None:
        return ()
    before = _meant(held, namespaces)
    if not before or _meant(judged, namespaces):
        return ()
    what = f"mean none of the {len(namespaces)} that are here: it would take away the logins of {_some(before)}"
    remedy = f"Correct pullSecrets.namespaces and its selectors (watch-namespace). {UNDO}"
    return (ConfigProblem(1, "", f"the names and selectors of namespaces {what}", remedy),)


def _meant(judged: ParsedConfig, namespaces: Sequence[Namespace]) -> list[str]:
    """Return the names of the *namespaces* that are to have a Secret."""
    registries = judged.settings.registries if judged.settings is not None else ()
    entries = tuple(EntryLogins(each.instance_id, each.region or "", ()) for each in registries)
    return [
        each.name
        for each in namespaces
        if not each.terminating and content_for(each, judged.spec, NO_CONTENT, entries) is not None
    ]


def _some(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")


def unreadable(hidden: Iterable[str]) -> tuple[ConfigProblem, ...]:
    """Return what to say of the keys *hidden*, of those that are ours to read."""
    return tuple(
        ConfigProblem(
            1,
            key,
            "is under binaryData of the ConfigMap: its file is not in UTF-8",
            "Save the file as UTF-8 and make the ConfigMap anew.",
        )
        for key in sorted(hidden)
        if key in NATIVE_KEYS or acr_configuration.is_key(key)
    )


def parse(text: str, *, role: Role, keys_directory: str) -> ParsedConfig:
    """Return what *text* means for the controller."""
    if acr_configuration.is_one(text):
        conversion = acr_configuration.convert(text, place="controller", keys_directory=keys_directory, role=role)
        judged = validate_conversion(conversion)
        notes = tuple(str(each) for each in [*conversion.changes, *conversion.notes])
        if not isinstance(judged, ProviderSettings):
            return ParsedConfig(None, tuple(judged), notes)
        return ParsedConfig(judged, tuple(conversion.problems), notes, dict(conversion.secrets))
    judged = validate(text)
    if not isinstance(judged, ProviderSettings):
        return ParsedConfig(None, tuple(judged))
    problems = validate_for("controller", judged, text)
    return ParsedConfig(None if problems else judged, tuple(problems))


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
            lines += [f"  {_quoted(key)}: |", *(f"    {line}".rstrip() for line in plain.split("\n"))]
        else:
            lines.append(f"  {_quoted(key)}: {_quoted(value)}")
    text = "\n".join(lines) + "\n"
    return text if _says(text, data) else _quoted({"kind": "ConfigMap", "data": dict(data)})


def _quoted(value: object) -> str:
    """Return *value* as JSON that is YAML too: YAML has no pairs of surrogates."""
    return _SURROGATES.sub(lambda pair: f"\\U{ord(json.loads(chr(34) + pair[0] + chr(34))):08x}", json.dumps(value))


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
    """Write each of *keys* (content by path) into a file of mode 0600; raise `ConfigurationError` where that fails."""
    for path, content in keys.items():
        remedy = "Mount a writable volume (emptyDir, medium: Memory) at --keys-directory."
        write_private_atomically(path, content, remedy=remedy)
