"""Converts one entry of acr-registry-info into native registries: instances, regions, hosts, identities."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.acr_hosts import PersonalHost, is_region
from acr_credential_provider.model.config_problem import did_you_mean
from acr_credential_provider.model.regions import REGIONS, region_of_zone
from acr_credential_provider.model.remedy import Remedy

from .conversion import SourceLocation
from .global_keys import DEFAULT_THRESHOLD
from .identity import Identities
from .keys import ENTRY_KEYS
from .located_yaml import UnreadableError
from .node_access import HOST, PLACEHOLDER, NamedNode, hosts_in, known_keys, texts_in
from .registry_info_entry import RegistryInfoEntry

if TYPE_CHECKING:
    from .conversion import Conversion, Target
    from .global_keys import GlobalKeys

_ARNS = {  # by key: the form that the settings accept, and its name and pattern for messages
    "assumeRoleARN": (r"role/[\w.-]{1,64}", "a role", "role/NAME"),
    "rrsaRoleARN": (r"role/[\w.-]{1,64}", "a role", "role/NAME"),
    "rrsaOIDCProviderRoleARN": (r"oidc-provider/[\w.-]{1,128}", "an OIDC provider", "oidc-provider/NAME"),
}
_INSTANCE = re.compile(r"cri-[a-z0-9]{1,60}", re.ASCII)
_HOST = re.compile(HOST, re.ASCII)
_NATIVE_FIELDS = {
    "instanceId": "instanceId",
    "regionId": "region",
    "domains": "domains",
    "rrsaRoleARN": "identity",
    "customAccessKey": "identity",
    "assumeRoleARN": "assumeRole",
}


class Registries:
    """Converts entries into registries; *result* gets problems, changes, origins and key files."""

    def __init__(self, result: Conversion, target: Target, global_keys: GlobalKeys) -> None:
        self._result = result
        self._threshold = global_keys.threshold
        self._identities = Identities(result, target, global_keys.rrsa)

    def of_entry(self, entry: NamedNode) -> list[dict[str, Any]]:
        """Return the native registries of *entry*: one for each instance, none if the entry has a problem."""
        problems_before = len(self._result.problems)
        try:
            members = entry.readable().value
            if not isinstance(members, dict):
                remedy = "Write instanceId: ... with a space after the colon, the other keys below it."
                kind = "list" if isinstance(members, list) else "plain word"
                raise entry.invalid(f"is not an instance but a {kind}", Remedy("SettingsInvalid", remedy))
            keys = known_keys(members, ENTRY_KEYS, f"{entry.name}.", self._result)
            if len(self._result.problems) == problems_before:
                return self._registries(RegistryInfoEntry.parse(entry, keys))
        except UnreadableError as error:
            self._result.problems += error.problems
        # No other entry may answer for the hosts of this one.
        self._result.entry_problems += self._result.problems[problems_before:]
        hosts, is_personal = hosts_in(texts_in(entry.node))
        self._result.quarantined_hosts |= hosts
        self._result.personal_quarantined |= is_personal
        return []

    def _registries(self, entry: RegistryInfoEntry) -> list[dict[str, Any]]:
        common: dict[str, Any] = {}
        if region := entry.text("regionId"):
            if not is_region(region):
                remedy = f"{did_you_mean(region, REGIONS)}Write the region's ID, for example cn-hangzhou."
                raise entry.keys["regionId"].invalid("is not the ID of a region", Remedy("RegionInvalid", remedy))
            if of_zone := region_of_zone(region):
                raise entry.keys["regionId"].invalid(
                    "is a zone, not a region", Remedy("RegionInvalid", f"Write {of_zone}.")
                )
            common["region"] = region
        if domains := self._domains(entry.keys["domains"]) if "domains" in entry.keys else []:
            common["domains"] = domains
        instances = self._instances(entry, has_domains=bool(domains))
        _check_roles(entry)
        label = f"{instances[0] or 'personal'}-{region or 'own-region'}"
        secrets, identity = self._identities.identity_of(entry, label, is_personal=not instances[0])
        common |= identity
        if self._threshold != DEFAULT_THRESHOLD:
            common["refreshBefore"] = f"{self._threshold:.0f}s"
        self._result.secrets |= secrets
        sources = {
            native: (key, entry.keys[key].node.line) for key, native in _NATIVE_FIELDS.items() if key in entry.keys
        }
        self._result.origins += [SourceLocation(entry.name, entry.node.line, sources)] * len(instances)
        return [({"instanceId": instance} if instance else {}) | common for instance in instances]

    def _instances(self, entry: RegistryInfoEntry, *, has_domains: bool) -> list[str]:
        """Return the IDs of the instances, "" for the Personal Edition."""
        key = entry.keys.get("instanceId")
        if key is None:
            self._result.change(entry.node, f"{entry.name} without instanceId was read as the Personal Edition")
            return [""]
        ids = [word for _, word in key.words() if word]
        if any(instance.startswith("crpi-") for instance in ids):
            remedy = (
                "This Personal Edition grants no temporary tokens: in native settings, add a registry with its domains "
                "and identity: {kind: basicAuth, usernameFile: ..., passwordFile: ...}."
            )
            raise key.invalid(
                "is an instance of the new Personal Edition", Remedy("PersonalEditionHasNoTokens", remedy)
            )
        if not all(_INSTANCE.fullmatch(instance) for instance in ids):
            remedy = 'Write the ID as the console shows it, cri-..., or "" for the Personal Edition.'
            raise key.invalid("is not the ID of an instance", Remedy("InstanceIdInvalid", remedy))
        if len(ids) > 1:
            if has_domains:
                remedy = "Write an entry of its own for each instance: domains belong to one."
                raise key.invalid(
                    "names several instances for the same domains", Remedy("SettingsContradiction", remedy)
                )
            self._result.change(key.node, f"{entry.name} became {len(ids)} registries, one for each instance")
        return ids or [""]

    def _domains(self, key: NamedNode) -> list[str]:
        if isinstance(key.node.value, list):
            self._result.change(key.node, f"{key.name} is a list; it is documented as text with commas")
        hosts = []
        for item, word in key.words():
            host = word.strip("\"'").removeprefix("https://").removeprefix("http://").rstrip("/").lower()
            if host != word:
                change = f"{key.name} holds more than bare hosts in lower case; only the hosts were taken"
                self._result.change(item.node, change)
            if not host:
                continue
            if host.startswith("*."):
                raise item.invalid(
                    "holds a wildcard", Remedy("HostInvalid", "Write each host: a login is for hosts by name.")
                )
            if PLACEHOLDER.search(host):
                raise item.placeholder_error()
            if not _HOST.fullmatch(host):
                remedy = "Write the hosts with commas between them, without https:// and path."
                raise item.invalid("holds something that is not a host", Remedy("HostInvalid", remedy))
            if PersonalHost.recognise(host):
                problem = "has a domain of the new Personal Edition, which grants no temporary tokens"
                remedy = Remedy(
                    "PersonalEditionHasNoTokens",
                    "In native settings, add a registry with this domain and an identity of kind basicAuth.",
                )
                raise item.invalid(problem, remedy)
            hosts.append(host)
        return list(dict.fromkeys(hosts))


def _check_roles(entry: RegistryInfoEntry) -> None:
    for key, (pattern, kind, form) in _ARNS.items():
        arn = entry.text(key)
        if arn and not re.fullmatch(rf"acs:ram::\d{{5,32}}:{pattern}", arn, re.ASCII):
            raise entry.keys[key].invalid(
                f"is not the ARN of {kind}", Remedy("RoleInvalid", f"Write acs:ram::ACCOUNT:{form}.")
            )
    seconds = entry.text("expireDuration")
    if seconds and not (re.fullmatch(r"\d{1,9}", seconds, re.ASCII) and 3600 <= int(seconds) <= 43200):
        remedy = "Write seconds from 3600 to 43200, no more than the role's MaxSessionDuration."
        raise entry.keys["expireDuration"].invalid("is not a session's duration", Remedy("SettingsInvalid", remedy))
