"""The keys beside the registries: what they say for all of them, and for the controller."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from acr_credential_provider.model.config_problem import ConfigProblem

from .keys import RRSA
from .node_access import EntryError, mapping_of, refuse_broken, text_of
from .yaml_repair import LocatedNode, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conversion import Conversion, Place
    from .node_access import Found

Switch = Literal["on", "off", "not set", "unreadable"]
USUAL_THRESHOLD = 900.0
_GO_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s))+", re.ASCII)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_TRUE, _FALSE = frozenset({"true", "yes", "on"}), frozenset({"false", "no", "off", ""})
_NAME = re.compile(r"[a-z0-9*]([a-z0-9.*-]{0,251}[a-z0-9*])?", re.ASCII)
_OF_THE_CONTROLLER = frozenset({"service-account", "watch-namespace", "webhook-configuration"})
_CONTROLLER = "belongs to the pull-secrets controller: a node's plugin answers for every pod on the node"


class GlobalKeys:
    """What those keys say: *rrsa* is switched, *threshold* is in seconds, *pull_secrets* is the controller's."""

    def __init__(self, result: Conversion, place: Place) -> None:
        self._result = result
        self._place = place
        self.rrsa: Switch = "not set"
        self.threshold = USUAL_THRESHOLD
        self.pull_secrets: dict[str, Any] = {}

    def read(self, known: dict[str, Found]) -> None:
        """Take in the keys that are *known*; what is wrong with one does not hide another."""
        meanings: dict[str, Callable[[str, LocatedNode], None]] = {
            "service-account": self._service_accounts,
            "watch-namespace": self._namespaces,
            "webhook-configuration": self._webhook,
            RRSA: self._switch_rrsa,
            "expiring-threshold": self._set_threshold,
            "notify-email": self._without_meaning,
            "acr-api-version": self._api_version,
            "acr-registry": self._legacy,
            "tokenMode": self._token_mode,
        }
        for key, (name, spot) in known.items():
            if key not in meanings:
                continue
            if self._place == "node" and key in _OF_THE_CONTROLLER:
                self._result.note(spot, f"{name} {_CONTROLLER}")
                continue
            try:
                meanings[key](name, spot)
            except EntryError as error:
                self._tell(key, error.problems)
            except UnreadableError as error:
                self._tell(key, (error.problem,))

    def _tell(self, key: str, problems: tuple[ConfigProblem, ...]) -> None:
        """Tell what is wrong with *key*: for a node a note will do, unless the key says who asks."""
        if self._place == "controller" or key == RRSA:
            self._result.problems += problems
            return
        for each in problems:
            self._result.note(
                LocatedNode(each.line, ""),
                f"{each.field} {each.problem}: what is usual is used in its place. {each.remedy}",
            )

    def _service_accounts(self, name: str, spot: LocatedNode) -> None:
        if names := self._names(name, spot):
            self.pull_secrets["serviceAccounts"] = names

    def _namespaces(self, name: str, spot: LocatedNode) -> None:
        names = ["*" if each == "all" else each for each in self._names(name, spot)]
        if names:
            self.pull_secrets["namespaces"] = names
        if "*" in names or any(each.startswith("kube-") for each in names):
            self._result.note(
                spot, f"{name} takes in system namespaces, whose public images a login can spoil; name your own instead"
            )

    def _names(self, name: str, spot: LocatedNode) -> list[str]:
        """Return the names in a list with commas, in lower case as the console's ``Default`` must be."""
        items = spot.value if isinstance(spot.value, list) else [spot]
        words = [word.strip().strip("\"'") for item in items for word in re.split("[,\uff0c]", text_of(name, item))]
        names = [word.lower() for word in words if word]
        if not all(_NAME.fullmatch(each) for each in names):
            remedy = "Write names of the cluster with commas between them: default, or default,build."
            raise EntryError(ConfigProblem(spot.line, name, "holds something that is not a name", remedy))
        return list(dict.fromkeys(names))

    def _without_meaning(self, name: str, spot: LocatedNode) -> None:
        self._result.note(spot, f"{name} has no meaning: nothing here sends mail")

    def _api_version(self, name: str, spot: LocatedNode) -> None:
        if spot.value not in ("2018-12-01", "v1", ""):
            self._result.note(spot, f"{name} is none of those that are known; each edition's own API is used")

    def _legacy(self, name: str, spot: LocatedNode) -> None:
        self._result.note(
            spot, f"{name} (of 2019) has no meaning: the hosts are domains, or what ACR lists for the instance"
        )

    def _token_mode(self, name: str, spot: LocatedNode) -> None:
        self._result.note(spot, f"{name} is a parameter of the add-on, not of the ConfigMap")

    def _webhook(self, name: str, spot: LocatedNode) -> None:
        members = mapping_of(name, spot, self._result)
        meaning: dict[str, Any] = {}
        for key, value in members.items():
            fits = {
                "enable": lambda text: text.lower() in _TRUE | _FALSE,
                "failure-policy": lambda text: text in ("Ignore", "Fail", ""),
                "timeout-seconds": lambda text: re.fullmatch(r"[1-9]|[12]\d|30", text) is not None,
            }.get(key)
            remedy = "Write enable: true or false, failure-policy: Ignore or Fail, timeout-seconds: 1 to 30 (no unit)."
            if fits is None or not isinstance(value.value, str) or not fits(value.value):
                raise EntryError(
                    ConfigProblem(value.line, f"{name}.{key}" if fits else name, "is not as documented", remedy)
                )
            if key == "enable":
                meaning["enabled"] = value.value.lower() in _TRUE
            elif key == "timeout-seconds":
                meaning["timeoutSeconds"] = int(value.value)
            elif value.value:
                meaning["failurePolicy"] = value.value
        self.pull_secrets["webhook"] = meaning

    def _switch_rrsa(self, name: str, spot: LocatedNode) -> None:
        self.rrsa = "unreadable"  # unless it turns out otherwise below
        refuse_broken(name, spot)
        value = spot.value
        if not (isinstance(value, str) and value.strip().lower() in _TRUE | _FALSE):
            members = mapping_of(name, spot, self._result)
            odd = next((key for key in members if key != "enable"), None)
            if odd is not None:
                remedy = "Write enable: true or enable: false, and nothing else."
                raise EntryError(ConfigProblem(members[odd].line, name, "holds another key than enable", remedy))
            value = members.get("enable", LocatedNode(spot.line, "")).value
        if not isinstance(value, str) or value.strip().lower() not in _TRUE | _FALSE:
            raise EntryError(
                ConfigProblem(spot.line, name, "is neither on nor off", "Write enable: true or enable: false.")
            )
        word = value.strip().lower()
        self.rrsa = "on" if word in _TRUE else "off" if word else "not set"

    def _set_threshold(self, name: str, spot: LocatedNode) -> None:
        text = text_of(name, spot)
        if text.endswith("min"):
            text = text.removesuffix("in")
            self._result.change(spot, f"{name} in min was read as in m")
        if not text:
            return
        if not _GO_DURATION.fullmatch(text):
            remedy = "Write a duration with its unit: 15m, 900s or 1h30m."
            raise EntryError(ConfigProblem(spot.line, name, "is not a duration", remedy))
        seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|m|s)", text))
        if not 0 <= seconds <= 12 * 3600:
            raise EntryError(ConfigProblem(spot.line, name, "is longer than 12h", "Write 15m, as documented."))
        self.threshold = float(int(seconds))
