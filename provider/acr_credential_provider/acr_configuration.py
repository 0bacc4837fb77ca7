"""The ConfigMap ``acr-configuration`` of aliyun-acr-credential-helper, read as our own settings.

Every key gets a meaning, a note to whom it belongs, or a problem with its line and the
remedy. Accepted are the manifest (YAML or JSON), its ``data``, the list in
``acr-registry-info`` alone, and the JSON form of the managed edition. Key names and
meanings: Alibaba Cloud's documentation of both editions. No text of ours holds a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .loose_yaml import Change, Repairer, Spot, UnreadableError, flattened, parse
from .problem import Problem
from .registry import PersonalHost, is_region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Place = Literal["node", "controller"]
Role = Literal["nodeRole", "managedRole"]
_Switch = Literal["on", "off", "not set", "unreadable"]

API_VERSION = "aliyun-acr-credential-provider/v1"
USUAL_THRESHOLD = 900.0
_REGISTRIES = "acr-registry-info"

_DATA_KEYS = {  # spellings without "-", "_" and capitals -> the key as documented
    "serviceaccount": "service-account",
    "watchnamespace": "watch-namespace",
    "expiringthreshold": "expiring-threshold",
    "notifyemail": "notify-email",
    "acrapiversion": "acr-api-version",
    "acrregistryinfo": _REGISTRIES,
    "acrinstanceinfo": _REGISTRIES,
    "rrsa": "rrsa",
    "enablerrsa": "rrsa",
    "webhookconfiguration": "webhook-configuration",
    "acrregistry": "acr-registry",
    "tokenmode": "tokenMode",
}
_ENTRY_KEYS = {
    each.lower(): each
    for each in (
        "instanceId",
        "regionId",
        "domains",
        "assumeRoleARN",
        "expireDuration",
        "rrsaRoleARN",
        "rrsaOIDCProviderRoleARN",
        "customAccessKey",
        "customAccessKeySecret",
    )
}
_OTHER_KEYS = ("enable", "failure-policy", "timeout-seconds", "data", "kind", "apiVersion", "metadata")
_MANIFEST_KEYS = frozenset(  # of a ConfigMap, or of its metadata where the indentation went wrong
    [
        "apiVersion",
        "kind",
        "metadata",
        "data",
        "immutable",
        "binaryData",
        "status",
        "name",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "labels",
        "annotations",
        "managedFields",
        "generation",
    ]
)
_SPELLINGS = frozenset(
    {*_ENTRY_KEYS, *_DATA_KEYS, *_DATA_KEYS.values(), *_OTHER_KEYS, "acr_registry_info", "AcrInstanceInfo"}
)
_REPAIRER = Repairer(_SPELLINGS, opaque=frozenset({"customAccessKeySecret"}))
_ENTRY_REPAIRER = Repairer(frozenset(_ENTRY_KEYS), opaque=frozenset({"customAccessKeySecret"}))

_NATIVE = re.compile(
    r"\bProviderSettings\b|aliyun-acr-credential-provider/v|^\s*[\"']?registries[\"']?\s*:", re.MULTILINE
)
_OURS = re.compile(
    r"\bConfigMap\b|acr-(?:registry-info|configuration|api-version)|AcrInstanceInfo|watch-?namespace|expiring-?threshold"
    r"|instance-?id|webhook-?configuration|service-?account",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"[<>*]|(?:^|[-_./:])(x{3,}|y{3,}|z{3,})(?:$|[-_./:])|^cri-instanceid$|^instance\.(?:default|custom)\."
    r"|user\w*rolearn$|^acs:ram::[a-z]",
    re.IGNORECASE,
)
_ARNS = {  # of each kind, as the models want it
    "role": re.compile(r"acs:ram::\d{5,32}:role/[\w.-]{1,64}", re.ASCII),
    "oidc-provider": re.compile(r"acs:ram::\d{5,32}:oidc-provider/[\w.-]{1,128}", re.ASCII),
}
_ARTICLES = {"role": "a role", "oidc-provider": "an OIDC provider"}
_RRSA_KEYS = ("rrsaRoleARN", "rrsaOIDCProviderRoleARN")
_INSTANCE = re.compile(r"cri-[a-z0-9]{1,60}", re.ASCII)
_GO_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s))+", re.ASCII)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_TRUE, _FALSE = frozenset({"true", "yes", "on"}), frozenset({"false", "no", "off", ""})
_NAME = re.compile(r"[a-z0-9*]([a-z0-9.*-]{0,251}[a-z0-9*])?", re.ASCII)
KEY_MOVED = "the access key moved into files; delete it from the ConfigMap and renew it"
"""The change that a key in the text makes of it."""
_CONTROLLER = "belongs to the pull-secrets controller: a node's plugin answers for every pod on the node"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a registry of the document comes from: its name in the file, and its keys' names and lines."""

    name: str
    line: int
    keys: dict[str, tuple[str, int]]

    def of(self, native: str) -> tuple[str, int]:
        """Return the name and line of what became the field *native*."""
        key, line = self.keys.get(native, ("", self.line))
        return (f"{self.name}.{key}" if key else self.name), line


@dataclass(slots=True)
class Conversion:
    """An acr-configuration as native settings, and all that there is to say about it.

    *document* is in the form of ProviderSettings, None when nothing could be read. An entry
    with a problem is not in it; *origins* belong to the registries that are. *secrets* are
    the key files (path to content) that the document expects.
    """

    document: dict[str, Any] | None = None
    origins: list[Origin] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    notes: list[Change] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    doubtful_hosts: set[str] = field(default_factory=set)
    """Hosts of the entries that are not in the document."""
    personal_in_doubt: bool = False
    """Whether one of those entries may be of the Personal Edition."""

    def drop(self, index: int) -> None:
        """Take the registry *index* out of the document, and the key files that none is left to need."""
        if self.document is not None:
            dropped = self.document["registries"].pop(index)
            self.origins.pop(index)
            self.doubtful_hosts |= set(dropped.get("domains", ()))
            self.personal_in_doubt |= not dropped.get("instanceId")
            needed = {path for each in self.document["registries"] for path in each["identity"].values()}
            self.secrets = {path: secret for path, secret in self.secrets.items() if path in needed}


_HOST_LIKE = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+(?::\d{1,5})?", re.ASCII)


def _words(spot: Spot) -> Iterator[str]:
    """Yield every text in *spot*, whichever shape it has."""
    if isinstance(spot.value, dict):
        for key, inner in spot.value.items():
            yield str(key)
            yield from _words(inner)
    elif isinstance(spot.value, list):
        for inner in spot.value:
            yield from _words(inner)
    else:
        yield str(spot.value)


class _WrongError(Exception):
    """An entry cannot become a registry, for the reasons in `problems`."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__()
        self.problems = problems


def is_one(text: str) -> bool:
    """Say whether *text* is meant as an acr-configuration, however broken, and not as our own settings."""
    return _NATIVE.search(text) is None and _OURS.search(text) is not None


def convert(text: str, *, place: Place = "node", keys_directory: str = "", role: Role = "nodeRole") -> Conversion:
    """Read *text*, for the node's plugin or for the controller (*place*).

    Access keys that stand in it are to be written into files below *keys_directory* (an
    absolute path); without one, entries with keys are problems. Entries that say nothing of who asks
    have the identity *role*: which one a controller has is no matter of the ConfigMap (tokenMode).
    """
    result = Conversion()
    try:
        data = _data(text, result)
        _Reader(result, place, keys_directory, role).read(data)
    except UnreadableError as error:
        result.document = None
        result.problems.append(error.problem)
    return result


def _data(text: str, result: Conversion) -> dict[str, Spot]:
    """Return the keys of the ConfigMap, whatever stands around them; raise `UnreadableError`."""
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    if text.lstrip()[:1] not in ("{", "["):
        text, changes = _REPAIRER.repair(text)
        result.changes += changes
        text = _without_metadata(text)
    root = parse(text)
    if isinstance(root.value, list):
        return {_REGISTRIES: root}
    if not isinstance(root.value, dict):
        what = "the file is empty" if root.value == "" else "the file is not a ConfigMap"
        raise UnreadableError(Problem(root.line, "", what, "Write the manifest of acr-configuration, or its data."))
    members = root.value
    kind = members.get("kind")
    if kind is not None and kind.value != "ConfigMap":
        raise UnreadableError(
            Problem(kind.line, "kind", "is not ConfigMap", "Give the manifest of acr-configuration alone.")
        )
    if kind is None and "data" not in members:
        return members
    data = members.get("data")
    inner = data.value if data is not None else ""
    beside = {key: spot for key, spot in members.items() if key not in _MANIFEST_KEYS}
    if isinstance(inner, dict):
        return {**inner, **beside}
    if inner == "" and beside:
        result.changes.append(Change(data.line if data else 1, "keys at the indentation of data: were read as its own"))
        return beside
    if inner == "":
        return {}
    raise UnreadableError(Problem(data.line if data else 1, "data", "is not a mapping", "Indent its keys below data:."))


def _without_metadata(text: str) -> str:
    """Return *text* with the metadata blank: nothing of it matters here, and its indentation is often broken."""
    lines = text.split("\n")
    base = next((len(line) - len(line.lstrip()) for line in lines if line.strip() and line.lstrip()[0] != "#"), 0)
    inside = False
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if inside and line.strip() and indent <= base:
            inside = False
        if inside:
            lines[number] = ""
        inside = inside or (indent == base and re.fullmatch(r"metadata:\s*(?:#.*)?", line.strip()) is not None)
    return "\n".join(lines)


class _Reader:
    """Gives each key its meaning."""

    def __init__(self, result: Conversion, place: Place, keys_directory: str, role: Role) -> None:
        self._result = result
        self._place = place
        self._role = role
        self._keys_directory = keys_directory.rstrip("/")
        self._pull_secrets: dict[str, Any] = {}
        self._rrsa: _Switch = "not set"
        self._threshold = USUAL_THRESHOLD

    def read(self, data: dict[str, Spot]) -> None:
        """Fill the result from the keys of the ConfigMap."""
        known = self._named(data, _DATA_KEYS, "")
        meanings: dict[str, Callable[[str, Spot], None]] = {
            "service-account": self._service_accounts,
            "watch-namespace": self._namespaces,
            "webhook-configuration": self._webhook,
            "rrsa": self._switch_rrsa,
            "expiring-threshold": self._set_threshold,
            "notify-email": self._without_meaning,
            "acr-api-version": self._api_version,
            "acr-registry": self._legacy,
            "tokenMode": self._token_mode,
        }
        for key, (name, spot) in known.items():
            if key in meanings:
                try:
                    meanings[key](name, spot)
                except _WrongError as error:
                    self._result.problems += error.problems
        name, info = known.get(_REGISTRIES, (_REGISTRIES, Spot(1, "")))
        self._result.document = {
            "apiVersion": API_VERSION,
            "kind": "ProviderSettings",
            "registries": [each for entry in self._entries(name, info) for each in self._registries(*entry)],
        }
        if self._place == "controller":
            # What is documented as the usual value; and system namespaces are as good as any other there.
            usual = {"serviceAccounts": ["default"], "namespaces": ["default"], "excludedNamespaces": []}
            self._result.document["pullSecrets"] = usual | self._pull_secrets
        if any(each["identity"]["kind"] == "nodeRole" for each in self._result.document["registries"]):
            self._note(
                info, "entries without a key of their own start from the RAM role of the node (tokenMode workerRole)"
            )

    def _named(self, found: dict[str, Spot], keys: dict[str, str], prefix: str) -> dict[str, tuple[str, Spot]]:
        """Return the members by documented key, each with its full name in the file."""
        named: dict[str, tuple[str, Spot]] = {}
        for spelled, spot in found.items():
            key = keys.get(re.sub(r"[-_\s]", "", spelled).lower())
            if key is None:
                shown = spelled if re.fullmatch(r"[\w.-]{1,40}", spelled, re.ASCII) else "a key"
                if not spelled.isascii():
                    why = "is translated or holds characters that are not ASCII", "Write the key as documented."
                else:
                    why = (
                        "is not a key of acr-configuration",
                        f"Correct its spelling or remove it: {', '.join(keys.values())}.",
                    )
                self._result.problems.append(Problem(spot.line, prefix + shown, *why))
            elif key in named:
                self._result.problems.append(
                    Problem(spot.line, prefix + spelled, f"repeats {named[key][0]}", "Keep one.")
                )
            else:
                if spelled != key and prefix:
                    self._change(spot, f"{prefix}{spelled} was read as {key}")
                named[key] = prefix + key, spot
        return named

    # The keys beside the registries.
    def _service_accounts(self, name: str, spot: Spot) -> None:
        if self._place == "node":
            self._note(spot, f"{name} {_CONTROLLER}")
        elif names := self._names(name, spot):
            self._pull_secrets["serviceAccounts"] = names

    def _namespaces(self, name: str, spot: Spot) -> None:
        if self._place == "node":
            self._note(spot, f"{name} {_CONTROLLER}")
            return
        names = ["*" if each == "all" else each for each in self._names(name, spot)]
        if names:
            self._pull_secrets["namespaces"] = names
        if "*" in names or any(each.startswith("kube-") for each in names):
            self._note(
                spot, f"{name} takes in system namespaces, whose public images a login can spoil; name your own instead"
            )

    def _names(self, name: str, spot: Spot) -> list[str]:
        """Return the names in a list with commas, in lower case as the console's ``Default`` must be."""
        items = spot.value if isinstance(spot.value, list) else [spot]
        words = [word.strip().strip("\"'") for item in items for word in re.split("[,\uff0c]", self._text(name, item))]
        names = [word.lower() for word in words if word]
        if not all(_NAME.fullmatch(each) for each in names):
            remedy = "Write names of the cluster with commas between them: default, or default,build."
            raise _WrongError(Problem(spot.line, name, "holds something that is not a name", remedy))
        return list(dict.fromkeys(names))

    def _without_meaning(self, name: str, spot: Spot) -> None:
        self._note(spot, f"{name} has no meaning: nothing here sends mail")

    def _api_version(self, name: str, spot: Spot) -> None:
        if spot.value not in ("2018-12-01", "v1", ""):
            self._note(spot, f"{name} is none of those that are known; each edition's own API is used")

    def _legacy(self, name: str, spot: Spot) -> None:
        self._note(spot, f"{name} (of 2019) has no meaning: the hosts are domains, or what ACR lists for the instance")

    def _token_mode(self, name: str, spot: Spot) -> None:
        self._note(spot, f"{name} is a parameter of the add-on, not of the ConfigMap")

    def _webhook(self, name: str, spot: Spot) -> None:
        members = self._mapping(name, spot)
        meaning: dict[str, Any] = {}
        for key, value in members.items():
            fits = {
                "enable": lambda text: text.lower() in _TRUE | _FALSE,
                "failure-policy": lambda text: text in ("Ignore", "Fail", ""),
                "timeout-seconds": lambda text: re.fullmatch(r"[1-9]|[12]\d|30", text) is not None,
            }.get(key)
            remedy = "Write enable: true or false, failure-policy: Ignore or Fail, timeout-seconds: 1 to 30 (no unit)."
            if fits is None or not isinstance(value.value, str) or not fits(value.value):
                raise _WrongError(
                    Problem(value.line, f"{name}.{key}" if fits else name, "is not as documented", remedy)
                )
            if key == "enable":
                meaning["enabled"] = value.value.lower() in _TRUE
            elif key == "timeout-seconds":
                meaning["timeoutSeconds"] = int(value.value)
            elif value.value:
                meaning["failurePolicy"] = value.value
        if self._place == "node":
            self._note(spot, f"{name} {_CONTROLLER}")
        else:
            self._pull_secrets["webhook"] = meaning

    def _switch_rrsa(self, name: str, spot: Spot) -> None:
        self._rrsa = "unreadable"  # unless it turns out otherwise below
        value = spot.value
        if not (isinstance(value, str) and value.strip().lower() in _TRUE | _FALSE):
            members = self._mapping(name, spot)
            odd = next((key for key in members if key != "enable"), None)
            if odd is not None:
                remedy = "Write enable: true or enable: false, and nothing else."
                raise _WrongError(Problem(members[odd].line, name, "holds another key than enable", remedy))
            value = members.get("enable", Spot(spot.line, "")).value
        if not isinstance(value, str) or value.strip().lower() not in _TRUE | _FALSE:
            raise _WrongError(Problem(spot.line, name, "is neither on nor off", "Write enable: true or enable: false."))
        word = value.strip().lower()
        self._rrsa = "on" if word in _TRUE else "off" if word else "not set"

    def _set_threshold(self, name: str, spot: Spot) -> None:
        text = self._text(name, spot)
        if text.endswith("min"):
            text = text.removesuffix("in")
            self._change(spot, f"{name} in min was read as in m")
        if not text:
            return
        if not _GO_DURATION.fullmatch(text):
            remedy = "Write a duration with its unit: 15m, 900s or 1h30m."
            raise _WrongError(Problem(spot.line, name, "is not a duration", remedy))
        seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|m|s)", text))
        if not 0 <= seconds <= 12 * 3600:
            raise _WrongError(Problem(spot.line, name, "is longer than 12h", "Write 15m, as documented."))
        self._threshold = float(int(seconds))

    # The registries.
    def _entries(self, name: str, info: Spot) -> list[tuple[str, Spot]]:
        """Return each entry of acr-registry-info with its name."""
        if isinstance(info.value, str):
            info = self._unfolded(name, info)
        elif name == _REGISTRIES and info.line > 1:
            self._note(info, f"{name} is a list of its own here; in a ConfigMap of the API server it must be text (|)")
        if isinstance(info.value, dict):
            self._change(info, f"{name} has no dash: read as one entry")
            info = Spot(info.line, [info])
        if info.value == "":
            self._change(info, f"{name} is empty: read as the Personal Edition of this node's own region")
            return [(name, Spot(info.line, {"instanceId": info}))]
        if isinstance(info.value, list):
            return [(f"{name}[{index}]", entry) for index, entry in enumerate(info.value)]
        self._result.problems.append(
            Problem(info.line, name, "is not a list", "Start each instance with - instanceId: ...")
        )
        return []

    def _unfolded(self, name: str, info: Spot) -> Spot:
        """Return what the text of acr-registry-info holds; raise `UnreadableError`."""
        text = str(info.value)
        first_line = info.inner or info.line
        if text.lstrip()[:1] in ("{", "["):
            return parse(text, first_line=first_line)
        text, changes = _REPAIRER.repair(text, first_line=first_line)
        self._result.changes += changes
        text = self._with_its_first_dash(text, first_line)
        try:
            found = parse(text, first_line=first_line)
            is_flat = isinstance(found.value, str) or (
                isinstance(found.value, list) and all(isinstance(each.value, dict) for each in found.value)
            )
            if is_flat and (found.value == "" or not isinstance(found.value, str)):
                return found
        except UnreadableError as error:
            unreadable: UnreadableError | None = error
        else:
            unreadable = None
        flat = flattened(text, _ENTRY_REPAIRER)
        if flat is None:
            if unreadable is not None:
                raise unreadable
            return found
        repaired = parse(flat, first_line=first_line)
        what = "dashes and indentation were read as a list of instances"
        self._change(repaired, f"{name}: {what}")
        return repaired

    def _with_its_first_dash(self, text: str, first_line: int) -> str:
        """Return *text* with ``#-instanceId`` in force where the lines after it would else belong to nothing."""
        lines = text.split("\n")
        live = [number for number, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
        parts = _ENTRY_REPAIRER.parts(lines[live[0]]) if live else None
        if parts is None or parts[0] or parts[1].lower() == "instanceid":
            return text
        for above in range(live[0] - 1, -1, -1):
            if found := re.fullmatch(r"(\s*)#\s*(-\s*instanceId\s*:.*)", lines[above], re.IGNORECASE):
                lines[above] = found[1] + found[2]
                self._result.changes.append(Change(first_line + above, "#- before instanceId was read as a dash"))
                return _REPAIRER.repair("\n".join(lines))[0]
        return text

    def _registries(self, name: str, entry: Spot) -> list[dict[str, Any]]:
        """Return the native registries of one *entry*: none if it is wrong, several if it names several instances."""
        if not isinstance(entry.value, dict):
            remedy = "Write instanceId: ... with a space after the colon, the other keys below it."
            self._result.problems.append(Problem(entry.line, name, "is not an instance but a plain word", remedy))
            self._doubt(entry)
            return []
        before = len(self._result.problems)
        keys = self._named(entry.value, _ENTRY_KEYS, f"{name}.")
        if len(self._result.problems) == before:
            try:
                return self._entry(name, entry, keys)
            except _WrongError as error:
                self._result.problems += error.problems
        self._doubt(entry)
        return []

    def _doubt(self, entry: Spot) -> None:
        """Note what an *entry* that can't be used may have been for: nobody else may answer in its place."""
        words = " ".join(_words(entry))
        self._result.doubtful_hosts |= set(_HOST_LIKE.findall(words.lower()))
        self._result.personal_in_doubt |= "cri-" not in words

    def _entry(self, name: str, entry: Spot, keys: dict[str, tuple[str, Spot]]) -> list[dict[str, Any]]:
        texts = {key: self._text(*found) for key, found in keys.items() if key != "domains"}
        self._check_placeholders(keys, texts)
        common: dict[str, Any] = {}
        if region := texts.get("regionId"):
            if not is_region(region):
                remedy = "Write the region's ID, for example cn-hangzhou."
                raise self._wrong(keys["regionId"], "is not the ID of a region", remedy)
            common["region"] = region
        if domains := self._domains(*keys["domains"]) if "domains" in keys else []:
            common["domains"] = domains
        instances = self._instances(name, entry, keys, texts, has_domains=bool(domains))
        self._check_roles(keys, texts)
        label = f"{instances[0] or 'personal'}-{region or 'own-region'}"
        secrets, common["identity"] = self._identity(entry, keys, texts, label, is_personal=not instances[0])
        if role := texts.get("assumeRoleARN"):
            common["assumeRole"] = [{"roleArn": role} | self._session(texts)]
        if self._threshold != USUAL_THRESHOLD:
            common["refreshBefore"] = f"{self._threshold:.0f}s"
        self._result.secrets |= secrets
        origin = Origin(
            name,
            entry.line,
            {native: (key, keys[key][1].line) for key, native in _BECAME.items() if key in keys},
        )
        self._result.origins += [origin] * len(instances)
        return [({"instanceId": each} if each else {}) | common for each in instances]

    def _instances(
        self, name: str, entry: Spot, keys: dict[str, tuple[str, Spot]], texts: dict[str, str], *, has_domains: bool
    ) -> list[str]:
        ids = [each.strip() for each in re.split("[,\uff0c]", texts.get("instanceId", "")) if each.strip()]
        if not ids:
            if "instanceId" not in keys:
                self._change(entry, f"{name} without instanceId was read as the Personal Edition")
            return [""]
        if any(each.startswith("crpi-") for each in ids):
            remedy = (
                "This Personal Edition grants no temporary tokens: in native settings, add a registry with its domains "
                "and identity: {kind: login, usernameFile: ..., passwordFile: ...}."
            )
            raise self._wrong(keys["instanceId"], "is an instance of the new Personal Edition", remedy)
        if not all(_INSTANCE.fullmatch(each) for each in ids):
            remedy = 'Write the ID as the console shows it, cri-..., or "" for the Personal Edition.'
            raise self._wrong(keys["instanceId"], "is not the ID of an instance", remedy)
        if len(ids) > 1:
            if has_domains:
                remedy = "Write an entry of its own for each instance: domains belong to one."
                raise self._wrong(keys["instanceId"], "names several instances for the same domains", remedy)
            self._change(keys["instanceId"][1], f"{name} became {len(ids)} registries, one for each instance")
        return ids

    def _domains(self, name: str, spot: Spot) -> list[str]:
        items = [spot]
        if isinstance(spot.value, list):
            self._change(spot, f"{name} is a list; it is documented as text with commas")
            items = spot.value
        hosts = []
        for item in items:
            for written in re.split("[,\uff0c]", self._text(name, item)):
                host = written.strip().strip("\"'").removeprefix("https://").removeprefix("http://").rstrip("/").lower()
                if host != written.strip():
                    self._change(item, f"{name} holds more than bare hosts in lower case; only the hosts were taken")
                if not host:
                    continue
                if _PLACEHOLDER.search(host):
                    raise _WrongError(_placeholder(name, item))
                if not re.fullmatch(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+(?::\d{1,5})?", host, re.ASCII):
                    remedy = "Write the hosts with commas between them, without https:// and path."
                    raise _WrongError(Problem(item.line, name, "holds something that is not a host", remedy))
                if PersonalHost.recognise(host):
                    remedy = "In native settings, add a registry with this domain and identity kind login."
                    what = "has a domain of the new Personal Edition, which grants no temporary tokens"
                    raise _WrongError(Problem(item.line, name, what, remedy))
                hosts.append(host)
        return list(dict.fromkeys(hosts))

    def _identity(
        self, entry: Spot, keys: dict[str, tuple[str, Spot]], texts: dict[str, str], label: str, *, is_personal: bool
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return the key files to write and the native identity of an *entry*; raise `_WrongError` if it has none.

        The documentation has three ways to another account's instance, and an entry has one of
        them: RRSA, a role that the node's own assumes, or the key of a user of that account.
        """
        key = next((each for each in ("customAccessKey", "customAccessKeySecret") if texts.get(each)), None)
        if self._rrsa == "unreadable":
            raise self._wrong(_first(entry, keys), "depends on rrsa, which is wrong itself", "Correct rrsa.")
        if self._rrsa == "on":
            if key is not None:
                remedy = "Remove the key, or switch rrsa off: it leaves no other way."
                raise self._wrong(keys[key], "contradicts rrsa, which is enabled for all entries", remedy)
            return {}, self._rrsa_identity(entry, keys, texts, is_personal=is_personal)
        self._check_rrsa_is_meant(keys, texts)
        if key is None:
            self._note_useless_duration(keys, texts)
            # The managed role may assume none: another account's instance is documented for the worker role alone.
            return {}, {"kind": "nodeRole" if texts.get("assumeRoleARN") else self._role}
        if texts.get("assumeRoleARN"):
            remedy = (
                "Keep one of the two: a key is of a user of the instance's own account, who assumes nothing. A user "
                "who does is for native settings: identity: {kind: accessKey, ...} with assumeRole."
            )
            raise self._wrong(keys["assumeRoleARN"], "and customAccessKey are two ways for one entry", remedy)
        self._note_useless_duration(keys, texts)
        return self._key_files(keys, texts, label)

    def _rrsa_identity(
        self, entry: Spot, keys: dict[str, tuple[str, Spot]], texts: dict[str, str], *, is_personal: bool
    ) -> dict[str, str]:
        """Return the identity of an *entry* while RRSA is on; raise `_WrongError`: the node's role is no substitute."""
        role, provider = texts.get("rrsaRoleARN"), texts.get("rrsaOIDCProviderRoleARN")
        asking = next((keys[each] for each in _RRSA_KEYS if texts.get(each)), _first(entry, keys))
        if self._place == "node":
            hop = ", and assumeRole: [{roleArn: the one of assumeRoleARN}]" if texts.get("assumeRoleARN") else ""
            remedy = (
                "A kubelet has the tokens of its pods only (Kubernetes 1.34 and newer). In native settings, give the "
                "registry identity: {kind: serviceAccount, oidcProviderArn: the one of rrsaOIDCProviderRoleARN, roles: "
                "[{serviceAccounts: [NAMESPACE/NAME], roleName: ROLE}]}" + hop + "; ROLE must trust those "
                "ServiceAccounts (docs/identities.md). Or leave this instance to the controller."
            )
            raise self._wrong(asking, "asks for RRSA, which cannot come along to a node", remedy)
        if is_personal:
            remedy = "Remove the entry, or switch rrsa off: RRSA is for instances of the Enterprise Edition."
            where = keys.get("instanceId", _first(entry, keys))
            raise self._wrong(where, "is of the Personal Edition, which RRSA cannot ask for", remedy)
        if not role or not provider:
            missing = _RRSA_KEYS[0] if not role else _RRSA_KEYS[1]
            remedy = f"Add {missing}, or switch rrsa off: it leaves no other way."
            raise self._wrong(asking, f"has no {missing} beside it, and rrsa is enabled", remedy)
        self._note(
            asking[1],
            f"{asking[0]}: the token is the one that ack-pod-identity-webhook mounts; without it, add tokenFile",
        )
        identity = {"kind": "rrsa", "roleArn": role, "oidcProviderArn": provider}
        return identity if texts.get("assumeRoleARN") else identity | self._session(texts)

    def _check_rrsa_is_meant(self, keys: dict[str, tuple[str, Spot]], texts: dict[str, str]) -> None:
        """Note RRSA's keys where it is switched off; raise `_WrongError` where nobody says whether it is on."""
        for name, spot in (keys[each] for each in _RRSA_KEYS if texts.get(each)):
            if self._rrsa == "off":
                self._note(spot, f"{name} is not in use: rrsa is switched off")
                continue
            remedy = "Add rrsa with enable: true beside acr-registry-info, or remove the key: it names who asks."
            raise self._wrong((name, spot), "has no meaning while rrsa is not enabled", remedy)

    def _key_files(
        self, keys: dict[str, tuple[str, Spot]], texts: dict[str, str], label: str
    ) -> tuple[dict[str, str], dict[str, str]]:
        key_id, secret = texts.get("customAccessKey", ""), texts.get("customAccessKeySecret", "")
        if not (key_id and secret):
            found = keys["customAccessKey" if key_id else "customAccessKeySecret"]
            raise self._wrong(found, "is one half of an access key without the other", "Add the other half.")
        if not self._keys_directory:
            remedy = "Run: settings convert FILE --keys-directory DIR. It writes the key into two files for root alone."
            raise self._wrong(
                keys["customAccessKey"], "stands in the file itself; keys are read from files only", remedy
            )
        files = [f"{self._keys_directory}/{label}-access-key-{half}" for half in ("id", "secret")]
        taken = 2
        while files[0] in self._result.secrets:
            files = [f"{self._keys_directory}/{label}-{taken}-access-key-{half}" for half in ("id", "secret")]
            taken += 1
        self._change(keys["customAccessKey"][1], KEY_MOVED)
        identity = {"kind": "accessKey", "accessKeyIdFile": files[0], "accessKeySecretFile": files[1]}
        return dict(zip(files, (key_id, secret), strict=True)), identity

    def _session(self, texts: dict[str, str]) -> dict[str, str]:
        """Return how long the last role's session lives, if the entry says so."""
        seconds = texts.get("expireDuration")
        return {"sessionDuration": f"{int(seconds)}s"} if seconds else {}

    def _note_useless_duration(self, keys: dict[str, tuple[str, Spot]], texts: dict[str, str]) -> None:
        if texts.get("expireDuration") and not texts.get("assumeRoleARN"):
            name, spot = keys["expireDuration"]
            self._note(spot, f"{name} has no meaning without assumeRoleARN or RRSA")

    def _check_roles(self, keys: dict[str, tuple[str, Spot]], texts: dict[str, str]) -> None:
        kinds = {"assumeRoleARN": "role", "rrsaRoleARN": "role", "rrsaOIDCProviderRoleARN": "oidc-provider"}
        for key, kind in kinds.items():
            if texts.get(key) and not _ARNS[kind].fullmatch(texts[key]):
                raise self._wrong(
                    keys[key], f"is not the ARN of {_ARTICLES[kind]}", f"Write acs:ram::ACCOUNT:{kind}/NAME."
                )
        seconds = texts.get("expireDuration", "")
        if seconds and not (re.fullmatch(r"\d{1,9}", seconds, re.ASCII) and 3600 <= int(seconds) <= 43200):
            remedy = "Write seconds from 3600 to 43200, no more than the role's MaxSessionDuration."
            raise self._wrong(keys["expireDuration"], "is not a session's duration", remedy)

    def _check_placeholders(self, keys: dict[str, tuple[str, Spot]], texts: dict[str, str]) -> None:
        wrong = [_placeholder(*keys[key]) for key, text in texts.items() if text and _PLACEHOLDER.search(text)]
        if wrong:
            raise _WrongError(*wrong)

    # What all of them use.
    def _mapping(self, name: str, spot: Spot) -> dict[str, Spot]:
        value = spot.value
        if isinstance(value, str):
            text, changes = _REPAIRER.repair(value, first_line=spot.inner or spot.line)
            self._result.changes += changes
            value = parse(text, first_line=spot.inner or spot.line).value
        if value == "":
            return {}
        if not isinstance(value, dict):
            raise _WrongError(Problem(spot.line, name, "is not a mapping", "Write key: value lines below it."))
        return value

    def _text(self, name: str, spot: Spot) -> str:
        if not isinstance(spot.value, str):
            raise _WrongError(Problem(spot.line, name, "is not text", "Write one value on the line of the key."))
        return spot.value.strip()

    def _wrong(self, found: tuple[str, Spot], problem: str, remedy: str) -> _WrongError:
        return _WrongError(Problem(found[1].line, found[0], problem, remedy))

    def _change(self, spot: Spot, what: str) -> None:
        self._result.changes.append(Change(spot.line, what))

    def _note(self, spot: Spot, what: str) -> None:
        self._result.notes.append(Change(spot.line, what))


_BECAME = {
    "instanceId": "instanceId",
    "regionId": "region",
    "domains": "domains",
    "rrsaRoleARN": "identity",
    "customAccessKey": "identity",
    "assumeRoleARN": "assumeRole",
}


def _first(entry: Spot, keys: dict[str, tuple[str, Spot]]) -> tuple[str, Spot]:
    """Return the first of an *entry*'s *keys*: what is said of the entry as a whole is said there."""
    return next(iter(keys.values()), (_REGISTRIES, entry))


def _placeholder(name: str, spot: Spot) -> Problem:
    remedy = "Write your own value there, or remove the key or the whole entry."
    return Problem(spot.line, name, "still holds the placeholder of a sample", remedy)
