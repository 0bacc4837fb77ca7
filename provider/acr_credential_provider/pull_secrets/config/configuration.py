"""The controller's configuration: an acr-configuration or native settings, and which edit of it becomes active.

An edit that cannot be used, breaks more than was broken, or takes everything away by mistake, leaves the last good
configuration active.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import yaml

from acr_credential_provider import acr_configuration
from acr_credential_provider.files.atomic_write import write_private_atomically
from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.settings.edits import UNDO, mistakes
from acr_credential_provider.settings.pull_secrets import PullSecrets
from acr_credential_provider.settings.verdict import judge

from .loss import NO_LOSS, InCluster, Loss, loss_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from acr_credential_provider.acr_configuration import Role
    from acr_credential_provider.settings import ProviderSettings
    from acr_credential_provider.settings.cluster_origin import ClusterOrigin

LOG = logging.getLogger(__name__)
NATIVE_KEYS = ("settings.yaml", "settings.json")
"""Keys of a ConfigMap that hold native settings."""
MOST_VALUES = 50_000
"""Of a text, in lines, and in keys and values. A thousand registries have some 30,000."""
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
    """The active configuration and its *text*. *outcome* is as in `Telemetry.configuration`."""

    parsed: ParsedConfig
    text: str = field(repr=False)
    outcome: str = "absent"
    problems: tuple[ConfigProblem, ...] = ()
    loss: Loss = NO_LOSS
    """What the last edit took away, or would have if it were not refused."""
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
    cluster: InCluster | None = None,
) -> ActiveConfig:
    """Return the active configuration after *text* (None: it was deleted), given the one that *held* before.

    *origin* limits what a ConfigMap may name; None is for a file. *hidden* are the keys of the ConfigMap that are not
    text, *cluster* is whom an edit concerns (None: unknown). A deleted configuration leaves the last one active, and so
    does an edit after which no namespace or no ServiceAccount has a login: an operator who wants that uninstalls.
    """
    if text is None:
        return ActiveConfig(held.parsed, held.text, "last_good" if held.settings else "absent", held.problems)
    if missed := unreadable(hidden):
        return ActiveConfig(held.parsed, held.text, "last_good", missed)
    parsed = parse(text, role=role, keys_directory=keys_directory, origin=origin)
    if parsed.settings is None:
        return ActiveConfig(held.parsed, held.text, "last_good", parsed.problems)
    loss = NO_LOSS if held.settings is None else loss_of(held.settings, parsed.settings, cluster)
    if held.settings is not None:
        refused = mistakes(held.parsed, parsed, str(loss))
        blind = _means_none(loss) if not refused else ()
        # One entry that was broken before must not keep every later edit out.
        if refused or blind or len(parsed.problems) > len(held.parsed.problems):
            problems = (*parsed.problems, *refused, *blind)
            return ActiveConfig(held.parsed, held.text, "last_good", problems, loss, may_pass=bool(blind))
    return ActiveConfig(parsed, text, "partial" if parsed.problems else "loaded", parsed.problems, loss)


def _means_none(loss: Loss) -> tuple[ConfigProblem, ...]:
    """Return why an edit that means none of the cluster's namespaces or ServiceAccounts is a mistake; empty if not."""
    if not loss.unserved:
        return ()
    problem = f"the names and selectors mean none of the {loss.unserved} that are here: it would take away {loss}"
    field, key = {
        "namespaces": ("namespaces", "watch-namespace"),
        "ServiceAccounts": ("serviceAccounts", "service-account"),
    }[loss.unserved]
    remedy = f"Correct pullSecrets.{field} and its selectors ({key}). {UNDO}"
    return (ConfigProblem(1, "", problem, Remedy("ChangeHeldBack", remedy)),)


def unreadable(hidden: Iterable[str]) -> tuple[ConfigProblem, ...]:
    """Return the problems with the keys *hidden*, of those that we would read."""
    return tuple(
        ConfigProblem(
            1,
            key,
            "is under binaryData of the ConfigMap: its file is not in UTF-8",
            Remedy("SettingsSyntax", "Save the file as UTF-8 and make the ConfigMap anew."),
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
        return ParsedConfig(
            None, (ConfigProblem(1, "", "has more values than any settings need", Remedy("SettingsTooLarge", remedy)),)
        )
    try:
        verdict = judge(text, place="controller", origin=origin, role=role, keys_directory=keys_directory)
    except Exception as error:
        LOG.exception("the configuration could not be read")
        problem = f"cannot be read: {type(error).__name__} in this program"
        return ParsedConfig(
            None,
            (
                ConfigProblem(
                    1, "", problem, Remedy("UnforeseenError", "Undo the last edit, and report this with the log.")
                ),
            ),
        )
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
        remedy = Remedy("FileUnusable", "Mount a writable volume (emptyDir, medium: Memory) at --keys-directory.")
        write_private_atomically(path, content, remedy=remedy)
