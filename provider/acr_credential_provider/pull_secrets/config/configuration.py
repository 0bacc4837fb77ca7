"""The controller's configuration: an acr-configuration or native settings, and which edit of it becomes active.

An edit that cannot be used, breaks more than was broken, or takes everything away by mistake, leaves the last good
configuration active.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import yaml

from acr_credential_provider import acr_configuration
from acr_credential_provider.files.atomic_write import write_private_atomically
from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.pull_secrets.model.content import Content, EntryLogins
from acr_credential_provider.pull_secrets.model.namespace_requests import content_for
from acr_credential_provider.pull_secrets.model.registry_names import entry_of
from acr_credential_provider.settings.pull_secrets import PullSecrets
from acr_credential_provider.settings.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from acr_credential_provider.acr_configuration import Role
    from acr_credential_provider.pull_secrets.model.objects import Namespace
    from acr_credential_provider.settings import ProviderSettings
    from acr_credential_provider.settings.cluster_origin import ClusterOrigin

LOG = logging.getLogger(__name__)
NATIVE_KEYS = ("settings.yaml", "settings.json")
"""Keys of a ConfigMap that hold native settings."""
MOST_VALUES = 50_000
"""Of a text, in lines, and in keys and values. A thousand registries have some 30,000."""
UNDO = "To take all logins away, run pull-secrets uninstall."
MOST_NAMED = 5
NO_CONTENT = Content.of(b"")
_SURROGATES = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")
ROLES_CHANGED = "2023-04-03T00:00:00Z"
"""Clusters created from then on have the managed role (tokenMode auto)."""


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """A parsed text. *keys* are the contents of key files in it, by path; *notes* are for operators."""

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
    """The active configuration and its *text*. *outcome* is as in `Reporter.configuration`."""

    parsed: ParsedConfig
    text: str = field(repr=False)
    outcome: str = "absent"
    problems: tuple[ConfigProblem, ...] = ()
    replaced: tuple[str, ...] = ()
    """Names of the entries that were active before, if none of them is any more."""
    may_pass: bool = False
    """Whether an edit was refused because of what is in the cluster now, and may be taken later."""

    @property
    def settings(self) -> ProviderSettings | None:
        """The settings, None while there are none."""
        return self.parsed.settings


ABSENT = ActiveConfig(ParsedConfig(None), "")


def next_config(  # noqa: PLR0913 - what an edit is parsed by
    held: ActiveConfig,
    text: str | None,
    *,
    role: Role,
    keys_directory: str,
    origin: ClusterOrigin | None,
    hidden: Iterable[str] = (),
    namespaces: Sequence[Namespace] | None = None,
) -> ActiveConfig:
    """Return the active configuration after *text* (None: it was deleted), given the one that *held* before.

    *origin* limits what a ConfigMap may name; None is for a file. *hidden* are the keys of the ConfigMap that are not
    text, *namespaces* those of the cluster (None: unknown). A deleted configuration leaves the last one active, and so
    does an edit after which no namespace has a login: an operator who wants that uninstalls.
    """
    if text is None:
        return ActiveConfig(held.parsed, held.text, "last_good" if held.settings else "absent", held.problems)
    if missed := unreadable(hidden):
        return ActiveConfig(held.parsed, held.text, "last_good", missed)
    parsed = parse(text, role=role, keys_directory=keys_directory, origin=origin)
    if parsed.settings is None or held.settings is None:
        if parsed.settings is None:
            return ActiveConfig(held.parsed, held.text, "last_good", parsed.problems)
        return ActiveConfig(parsed, text, "partial" if parsed.problems else "loaded", parsed.problems)
    kept = _entries(parsed.settings)
    lost = {entry: name for entry, name in _entries(held.settings).items() if entry not in kept}
    mistakes = _mistakes(held.parsed, parsed, parsed.settings, list(lost.values()))
    blind = _selects_nothing(held.parsed, parsed, namespaces) if not mistakes else ()
    # One entry that was broken before must not keep every later edit out.
    if mistakes or blind or len(parsed.problems) > len(held.parsed.problems):
        problems = (*parsed.problems, *mistakes, *blind)
        return ActiveConfig(held.parsed, held.text, "last_good", problems, may_pass=bool(blind))
    replaced = tuple(lost.values()) if len(lost) == len(_entries(held.settings)) else ()
    return ActiveConfig(parsed, text, "partial" if parsed.problems else "loaded", parsed.problems, replaced)


def _entries(settings: ProviderSettings) -> dict[str, str]:
    """Return the names of the entries of *settings*, by the keys of their tokens."""
    return {entry_of(registry): display_name(registry) for registry in settings.registries}


def _mistakes(
    held: ParsedConfig, parsed: ParsedConfig, settings: ProviderSettings, lost: list[str]
) -> tuple[ConfigProblem, ...]:
    """Return why an edit that drops the entries *lost* is taken for a mistake; empty if it is not."""
    if not lost:
        return ()
    what = f"it would take away the logins of {_some(lost)}"
    if not any(registry.instance_id or registry.region or registry.domains for registry in settings.registries):
        return (
            ConfigProblem(
                1,
                "",
                f"the configuration names no instance, which means the Personal Edition at a first start only: {what}",
                f"Name the instances; for the Personal Edition, name its region. {UNDO}",
            ),
        )
    broken = Counter(map(_cause, parsed.problems)) - Counter(map(_cause, held.problems))
    if broken:
        remedy = f"Correct what else is said of this edit, or take the entries out in an edit of its own. {UNDO}"
        return (ConfigProblem(1, "", f"an entry that worked is broken or gone: {what}", remedy),)
    return ()


def _cause(problem: ConfigProblem) -> tuple[str, str]:
    """Return a problem without its position, which moves when lines and entries above it come or go."""
    return re.sub(r"\[\d+\]", "[]", problem.field), problem.problem


def _selects_nothing(
    held: ParsedConfig, parsed: ParsedConfig, namespaces: Sequence[Namespace] | None
) -> tuple[ConfigProblem, ...]:
    """Return why an edit that selects none of the *namespaces* any more is taken for a mistake; empty if it is not."""
    if namespaces is None:
        return ()
    before = _selected(held, namespaces)
    if not before or _selected(parsed, namespaces):
        return ()
    what = f"mean none of the {len(namespaces)} that are here: it would take away the logins of {_some(before)}"
    remedy = f"Correct pullSecrets.namespaces and its selectors (watch-namespace). {UNDO}"
    return (ConfigProblem(1, "", f"the names and selectors of namespaces {what}", remedy),)


def _selected(parsed: ParsedConfig, namespaces: Sequence[Namespace]) -> list[str]:
    """Return the names of the selected *namespaces*."""
    registries = parsed.settings.registries if parsed.settings is not None else ()
    entries = tuple(EntryLogins(registry.instance_id, registry.region or "", ()) for registry in registries)
    return [
        namespace.name
        for namespace in namespaces
        if not namespace.terminating and content_for(namespace, parsed.spec, NO_CONTENT, entries) is not None
    ]


def _some(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")


def unreadable(hidden: Iterable[str]) -> tuple[ConfigProblem, ...]:
    """Return the problems with the keys *hidden*, of those that we would read."""
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


def parse(text: str, *, role: Role, keys_directory: str, origin: ClusterOrigin | None) -> ParsedConfig:
    """Return *text* as the controller understands it; *origin* as in `next_config`. Never raises.

    A round that an odd text ends renews no token, so a mistake of this program in reading it is a problem of the text.
    """
    if _has_too_many_values(text):
        remedy = f"Write at most {MOST_VALUES} lines, and as many keys and values."
        return ParsedConfig(None, (ConfigProblem(1, "", "has more values than any settings need", remedy),))
    try:
        verdict = judge(text, place="controller", origin=origin, role=role, keys_directory=keys_directory)
    except Exception as error:
        LOG.exception("the configuration could not be read")
        problem = f"cannot be read: {type(error).__name__} in this program"
        return ParsedConfig(None, (ConfigProblem(1, "", problem, "Undo the last edit, and report this with the log."),))
    notes = tuple(map(str, [*verdict.changes, *verdict.notes]))
    return ParsedConfig(verdict.settings, verdict.problems, notes, verdict.key_files)


def _has_too_many_values(text: str) -> bool:
    """True if *text* has more lines, or more keys and values, than `MOST_VALUES`: each problem with one takes time."""
    if text.count("\n") > MOST_VALUES:
        return True
    try:
        events = islice(yaml.parse(text, Loader=yaml.CSafeLoader), MOST_VALUES + 1)
        return sum(1 for _ in events) > MOST_VALUES
    except (yaml.YAMLError, ValueError):  # told of by who reads it
        return False


def text_of(data: Mapping[str, str] | None) -> str:
    """Return the text of a ConfigMap's *data*: native settings, or the manifest of an acr-configuration.

    Its lines are those of ``data`` as people write it, so that line numbers fit.
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
    return text if _is_yaml_of(text, data) else _quoted({"kind": "ConfigMap", "data": dict(data)})


def _quoted(value: object) -> str:
    """Return *value* as JSON that is YAML too: YAML has no pairs of surrogates."""
    return _SURROGATES.sub(lambda pair: f"\\U{ord(json.loads(chr(34) + pair[0] + chr(34))):08x}", json.dumps(value))


def _is_yaml_of(text: str, data: Mapping[str, str]) -> bool:
    """True if *text* is YAML for *data*, blanks at ends of lines aside."""
    try:
        parsed = yaml.load(text, Loader=yaml.CSafeLoader)["data"] or {}
    except (yaml.YAMLError, KeyError, TypeError, RecursionError, ValueError):
        return False
    return {key: _trimmed(str(value)) for key, value in parsed.items()} == {
        key: _trimmed(value) for key, value in data.items()
    }


def _trimmed(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip("\n").split("\n")]


def role_of(mode: str, created: str) -> Role:
    """Return the identity of entries that name none, by tokenMode *mode* and when the cluster was *created* (RFC 3339).

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
