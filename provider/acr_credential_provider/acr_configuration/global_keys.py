"""The keys outside the registry list: what they set for all entries, and for the controller."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from acr_credential_provider.model.remedy import Remedy

from .keys import RRSA
from .located_yaml import LocatedNode, UnreadableError
from .node_access import NamedNode
from .yaml_repair import QUOTES

if TYPE_CHECKING:
    from acr_credential_provider.model.config_problem import ConfigProblem

    from .conversion import Conversion, Place

Switch = Literal["on", "off", "not set", "unreadable"]
DEFAULT_THRESHOLD = 900.0
_HALF_OF_A_TOKEN = 1800.0
_GO_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s))+", re.ASCII)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_TRUE, _FALSE = frozenset({"true", "yes", "on"}), frozenset({"false", "no", "off", ""})
_NAME = re.compile(r"[a-z0-9*]([a-z0-9.*-]{0,251}[a-z0-9*])?", re.ASCII)
_WEBHOOK = {
    "enable": re.compile("(true|yes|on|false|no|off)?", re.ASCII | re.IGNORECASE),
    "failure-policy": re.compile("(Ignore|Fail)?"),
    "timeout-seconds": re.compile(r"[1-9]|[12]\d|30", re.ASCII),
}
_CONTROLLER_KEYS = frozenset({"service-account", "watch-namespace", "webhook-configuration"})
_CONTROLLER_NOTE = "belongs to the pull-secrets controller: a node's plugin answers for every pod on the node"
_NOTES = {  # keys that change nothing
    "notify-email": "has no meaning: nothing here sends mail",
    "acr-registry": "(of 2019) has no meaning: the hosts are domains, or those that ACR lists for the instance",
    "tokenMode": "is a parameter of the add-on, not of the ConfigMap",
}


class GlobalKeys:
    """The meaning of those keys: *rrsa* is a switch, *threshold* in seconds, *pull_secrets* the native section."""

    def __init__(self, result: Conversion, place: Place) -> None:
        self._result = result
        self._place = place
        self.rrsa: Switch = "not set"
        self.threshold = DEFAULT_THRESHOLD
        self.pull_secrets: dict[str, Any] = {}

    def read(self, known: dict[str, NamedNode]) -> None:
        """Read the keys in *known* (by documented key). A problem with one does not hide the next."""
        readers = {
            "service-account": self._read_service_accounts,
            "watch-namespace": self._read_namespaces,
            "webhook-configuration": self._read_webhook,
            RRSA: self._read_rrsa,
            "expiring-threshold": self._read_threshold,
        }
        for key, named in known.items():
            if key in _NOTES:
                self._result.note(named.node, f"{named.name} {_NOTES[key]}")
            elif key == "acr-api-version":
                if named.node.value not in ("2018-12-01", "v1", ""):
                    self._result.note(named.node, f"{named.name} is not a known one; each edition's own API is used")
            elif key in _CONTROLLER_KEYS and self._place == "node":
                self._result.note(named.node, f"{named.name} {_CONTROLLER_NOTE}")
            elif key in readers:
                try:
                    readers[key](named)
                except UnreadableError as error:
                    self._report(key, error.problems)

    def _report(self, key: str, problems: tuple[ConfigProblem, ...]) -> None:
        """Report *problems* with *key*. On a node a note is enough, unless the key decides the identity."""
        if self._place == "controller" or key == RRSA:
            self._result.problems += problems
            return
        for problem in problems:
            node = LocatedNode(problem.line, "")
            self._result.note(
                node, f"{problem.field} {problem.problem}: the default is used in its place. {problem.remedy}"
            )

    def _read_service_accounts(self, key: NamedNode) -> None:
        if names := _names(key):
            self.pull_secrets["serviceAccounts"] = names

    def _read_namespaces(self, key: NamedNode) -> None:
        names = ["*" if name == "all" else name for name in _names(key)]
        if names:
            self.pull_secrets["namespaces"] = names
        if "*" in names or any(name.startswith("kube-") for name in names):
            self._result.note(
                key.node,
                f"{key.name} takes in system namespaces, whose public images a login can spoil; name your own instead",
            )

    def _read_webhook(self, key: NamedNode) -> None:
        admission: dict[str, Any] = {}
        for name, node in key.mapping(self._result).items():
            pattern, value = _WEBHOOK.get(name), NamedNode(f"{key.name}.{name}", node).readable().value
            if pattern is None or not isinstance(value, str) or not pattern.fullmatch(value):
                raise NamedNode(f"{key.name}.{name}" if pattern else key.name, node).invalid(
                    "is not as documented",
                    Remedy(
                        "SettingsInvalid",
                        "Write enable: true or false, failure-policy: Ignore or Fail, timeout-seconds: 1 to 30 "
                        "(no unit).",
                    ),
                )
            if name == "enable":
                admission["mode"] = "auto" if value.lower() in _TRUE else "none"
            elif name == "timeout-seconds":
                admission["timeoutSeconds"] = int(value)
            elif value:
                admission["failurePolicy"] = value
        self.pull_secrets["admission"] = admission

    def _read_rrsa(self, key: NamedNode) -> None:
        self.rrsa = "unreadable"  # until a word below is understood
        word = _switch_word(key.readable().value)
        if word is None:
            members = key.mapping(self._result)
            for name, node in members.items():
                if name != "enable":
                    remedy = "Write enable: true or enable: false, and nothing else."
                    raise NamedNode(key.name, node).invalid(
                        "holds another key than enable", Remedy("SettingsUnknownKey", remedy)
                    )
            word = _switch_word(NamedNode(key.name, members["enable"]).readable().value if members else "")
        if word is None:
            raise key.invalid(
                "is neither on nor off", Remedy("SettingsInvalid", "Write enable: true or enable: false.")
            )
        self.rrsa = "on" if word in _TRUE else "off" if word else "not set"

    def _read_threshold(self, key: NamedNode) -> None:
        text = key.text()
        if words := re.fullmatch(r"(\d+)\s*min(?:ute)?s?", text):
            text = words[1] + "m"
            self._result.change(key.node, f"{key.name} in min was read as in m")
        if not text:
            return
        if text == "0":  # as Go reads it
            text = "0s"
        if not _GO_DURATION.fullmatch(text):
            raise key.invalid(
                "is not a duration", Remedy("SettingsInvalid", "Write a duration with its unit: 15m, 900s or 1h30m.")
            )
        seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|m|s)", text))
        if seconds > 12 * 3600:
            raise key.invalid("is longer than 12h", Remedy("SettingsInvalid", "Write 15m, as documented."))
        self.threshold = float(int(seconds))
        if seconds > _HALF_OF_A_TOKEN:
            what = "is more than half of a token's life of one hour: tokens are renewed at half their life"
            self._result.note(key.node, f"{key.name} {what}")


def _names(key: NamedNode) -> list[str]:
    """Return the names in a list with commas, in lower case because the console writes ``Default``."""
    names = [name.lower() for _, word in key.words() if (name := word.strip("\"'" + QUOTES))]
    if not all(_NAME.fullmatch(name) for name in names):
        remedy = "Write names of the cluster with commas between them: default, or default,build."
        raise key.invalid("holds something that is not a name", Remedy("SettingsInvalid", remedy))
    return list(dict.fromkeys(names))


def _switch_word(value: object) -> str | None:
    """Return the word for on or off ("" for neither) in lower case, None if *value* is not such a word."""
    word = value.strip().lower() if isinstance(value, str) else None
    return word if word is None or word in _TRUE | _FALSE else None
