"""One entry of acr-registry-info as native registries: which instances, where they are, which hosts they have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.acr_hosts import PersonalHost, is_region
from acr_credential_provider.model.config_problem import ConfigProblem

from .conversion import SourceLocation
from .global_keys import USUAL_THRESHOLD
from .identity import Identities
from .keys import ENTRY_KEYS
from .node_access import PLACEHOLDER, EntryError, entry_error, named, placeholder, text_of, words_in
from .registry_info_entry import RegistryInfoEntry

if TYPE_CHECKING:
    from .conversion import Conversion, Target
    from .global_keys import GlobalKeys
    from .yaml_repair import LocatedNode

_ARNS = {  # of each kind, as the models want it
    "role": re.compile(r"acs:ram::\d{5,32}:role/[\w.-]{1,64}", re.ASCII),
    "oidc-provider": re.compile(r"acs:ram::\d{5,32}:oidc-provider/[\w.-]{1,128}", re.ASCII),
}
_ARTICLES = {"role": "a role", "oidc-provider": "an OIDC provider"}
_INSTANCE = re.compile(r"cri-[a-z0-9]{1,60}", re.ASCII)
_HOST_LIKE = re.compile(r"(?<![a-z0-9_-])[a-z0-9_-]+(?:\.[a-z0-9_-]+)+(?::\d{1,5})?", re.ASCII)
_BECAME = {
    "instanceId": "instanceId",
    "regionId": "region",
    "domains": "domains",
    "rrsaRoleARN": "identity",
    "customAccessKey": "identity",
    "assumeRoleARN": "assumeRole",
}


class Registries:
    """Makes registries of entries."""

    def __init__(self, result: Conversion, wanted: Target, beside: GlobalKeys) -> None:
        self._result = result
        self._threshold = beside.threshold
        self._identities = Identities(result, wanted, beside.rrsa)

    def of(self, name: str, spot: LocatedNode) -> list[dict[str, Any]]:
        """Return the native registries of one entry: none if it is wrong, several if it names several instances."""
        if not isinstance(spot.value, dict):
            remedy = "Write instanceId: ... with a space after the colon, the other keys below it."
            self._result.problems.append(ConfigProblem(spot.line, name, "is not an instance but a plain word", remedy))
            self._doubt(spot)
            return []
        before = len(self._result.problems)
        keys = named(spot.value, ENTRY_KEYS, f"{name}.", self._result)
        if len(self._result.problems) == before:
            try:
                return self._registries(RegistryInfoEntry.of(name, spot, keys))
            except EntryError as error:
                self._result.problems += error.problems
        self._doubt(spot)
        return []

    def _doubt(self, spot: LocatedNode) -> None:
        """Note what an entry that can't be used may have been for: nobody else may answer in its place."""
        words = " ".join(words_in(spot))
        self._result.quarantined_hosts |= set(_HOST_LIKE.findall(words.lower()))
        self._result.personal_quarantined |= "cri-" not in words

    def _registries(self, entry: RegistryInfoEntry) -> list[dict[str, Any]]:
        common: dict[str, Any] = {}
        if region := entry.text("regionId"):
            if not is_region(region):
                remedy = "Write the region's ID, for example cn-hangzhou."
                raise entry_error(entry.keys["regionId"], "is not the ID of a region", remedy)
            common["region"] = region
        if domains := self._domains(*entry.keys["domains"]) if "domains" in entry.keys else []:
            common["domains"] = domains
        instances = self._instances(entry, has_domains=bool(domains))
        _check_roles(entry)
        label = f"{instances[0] or 'personal'}-{region or 'own-region'}"
        secrets, asking = self._identities.of(entry, label, is_personal=not instances[0])
        common |= asking
        if self._threshold != USUAL_THRESHOLD:
            common["refreshBefore"] = f"{self._threshold:.0f}s"
        self._result.secrets |= secrets
        became = {native: (key, entry.keys[key][1].line) for key, native in _BECAME.items() if key in entry.keys}
        self._result.origins += [SourceLocation(entry.name, entry.spot.line, became)] * len(instances)
        return [({"instanceId": each} if each else {}) | common for each in instances]

    def _instances(self, entry: RegistryInfoEntry, *, has_domains: bool) -> list[str]:
        """Return the IDs of the instances, "" for the Personal Edition."""
        ids = [each.strip() for each in re.split("[,\uff0c]", entry.text("instanceId")) if each.strip()]
        if not ids:
            if "instanceId" not in entry.keys:
                self._result.change(entry.spot, f"{entry.name} without instanceId was read as the Personal Edition")
            return [""]
        found = entry.keys["instanceId"]
        if any(each.startswith("crpi-") for each in ids):
            remedy = (
                "This Personal Edition grants no temporary tokens: in native settings, add a registry with its domains "
                "and identity: {kind: basicAuth, usernameFile: ..., passwordFile: ...}."
            )
            raise entry_error(found, "is an instance of the new Personal Edition", remedy)
        if not all(_INSTANCE.fullmatch(each) for each in ids):
            remedy = 'Write the ID as the console shows it, cri-..., or "" for the Personal Edition.'
            raise entry_error(found, "is not the ID of an instance", remedy)
        if len(ids) > 1:
            if has_domains:
                remedy = "Write an entry of its own for each instance: domains belong to one."
                raise entry_error(found, "names several instances for the same domains", remedy)
            self._result.change(found[1], f"{entry.name} became {len(ids)} registries, one for each instance")
        return ids

    def _domains(self, name: str, spot: LocatedNode) -> list[str]:
        items = [spot]
        if isinstance(spot.value, list):
            self._result.change(spot, f"{name} is a list; it is documented as text with commas")
            items = spot.value
        hosts = []
        for item in items:
            for written in re.split("[,\uff0c]", text_of(name, item)):
                host = written.strip().strip("\"'").removeprefix("https://").removeprefix("http://").rstrip("/").lower()
                if host != written.strip():
                    self._result.change(
                        item, f"{name} holds more than bare hosts in lower case; only the hosts were taken"
                    )
                if not host:
                    continue
                if PLACEHOLDER.search(host):
                    raise EntryError(placeholder(name, item))
                if not re.fullmatch(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+(?::\d{1,5})?", host, re.ASCII):
                    remedy = "Write the hosts with commas between them, without https:// and path."
                    raise EntryError(ConfigProblem(item.line, name, "holds something that is not a host", remedy))
                if PersonalHost.recognise(host):
                    remedy = "In native settings, add a registry with this domain and identity kind login."
                    what = "has a domain of the new Personal Edition, which grants no temporary tokens"
                    raise EntryError(ConfigProblem(item.line, name, what, remedy))
                hosts.append(host)
        return list(dict.fromkeys(hosts))


def _check_roles(entry: RegistryInfoEntry) -> None:
    kinds = {"assumeRoleARN": "role", "rrsaRoleARN": "role", "rrsaOIDCProviderRoleARN": "oidc-provider"}
    for key, kind in kinds.items():
        if entry.text(key) and not _ARNS[kind].fullmatch(entry.text(key)):
            raise entry_error(
                entry.keys[key], f"is not the ARN of {_ARTICLES[kind]}", f"Write acs:ram::ACCOUNT:{kind}/NAME."
            )
    seconds = entry.text("expireDuration")
    if seconds and not (re.fullmatch(r"\d{1,9}", seconds, re.ASCII) and 3600 <= int(seconds) <= 43200):
        remedy = "Write seconds from 3600 to 43200, no more than the role's MaxSessionDuration."
        raise entry_error(entry.keys["expireDuration"], "is not a session's duration", remedy)
