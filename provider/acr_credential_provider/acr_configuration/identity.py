"""Who asks for an entry's registries, as native settings name it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .node_access import entry_error

if TYPE_CHECKING:
    from .conversion import Conversion, Target
    from .global_keys import Switch
    from .registry_info_entry import RegistryInfoEntry

KEY_MOVED = "the access key moved into files; delete it from the ConfigMap and renew it"
"""The change that a key in the text makes of it."""
_RRSA_KEYS = ("rrsaRoleARN", "rrsaOIDCProviderRoleARN")


class Identities:
    """Finds an entry's identity; *rrsa* says whether all entries are to use that.

    The documentation has three ways to another account's instance, and an entry has one of
    them: RRSA, a role that the node's own assumes, or the key of a user of that account.
    """

    def __init__(self, result: Conversion, wanted: Target, rrsa: Switch) -> None:
        self._result = result
        self._wanted = wanted
        self._rrsa = rrsa

    def of(self, entry: RegistryInfoEntry, label: str, *, is_personal: bool) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the key files to write and who asks, or raise `EntryError` if nobody can.

        Who asks is a native ``identity`` and, where a role is assumed, ``assumeRole``; *label* is in the files' names.
        """
        secrets, identity = self._identity(entry, label, is_personal=is_personal)
        asking: dict[str, Any] = {"identity": identity}
        if role := entry.text("assumeRoleARN"):
            asking["assumeRole"] = [{"roleArn": role} | _session(entry)]
        return secrets, asking

    def _identity(
        self, entry: RegistryInfoEntry, label: str, *, is_personal: bool
    ) -> tuple[dict[str, str], dict[str, str]]:
        key = entry.first_of("customAccessKey", "customAccessKeySecret")
        if self._rrsa == "unreadable":
            raise entry_error(entry.first, "depends on rrsa, which is wrong itself", "Correct rrsa.")
        if self._rrsa == "on":
            if key is not None:
                remedy = "Remove the key, or switch rrsa off: it leaves no other way."
                raise entry_error(entry.keys[key], "contradicts rrsa, which is enabled for all entries", remedy)
            return {}, self._by_rrsa(entry, is_personal=is_personal)
        self._check_rrsa_is_meant(entry)
        if key is None:
            self._note_useless_duration(entry)
            # The managed role may assume none: another account's instance is documented for the worker role alone.
            return {}, {"kind": "nodeRole" if entry.text("assumeRoleARN") else self._wanted.role}
        if entry.text("assumeRoleARN"):
            remedy = (
                "Keep one of the two: a key is of a user of the instance's own account, who assumes nothing. A user "
                "who does is for native settings: identity: {kind: accessKey, ...} with assumeRole."
            )
            raise entry_error(entry.keys["assumeRoleARN"], "and customAccessKey are two ways for one entry", remedy)
        self._note_useless_duration(entry)
        return self._by_key_files(entry, label)

    def _by_rrsa(self, entry: RegistryInfoEntry, *, is_personal: bool) -> dict[str, str]:
        """Return the identity of an *entry* while RRSA is on; raise `EntryError`: the node's role is no substitute."""
        role, provider = (entry.text(each) for each in _RRSA_KEYS)
        said = entry.first_of(*_RRSA_KEYS)
        asking = entry.keys[said] if said else entry.first
        if self._wanted.place == "node":
            hop = ", and assumeRole: [{roleArn: the one of assumeRoleARN}]" if entry.text("assumeRoleARN") else ""
            remedy = (
                "A kubelet has the tokens of its pods only (Kubernetes 1.34 and newer). In native settings, give the "
                "registry identity: {kind: serviceAccount, oidcProviderArn: the one of rrsaOIDCProviderRoleARN, roles: "
                "[{serviceAccounts: [NAMESPACE/NAME], roleName: ROLE}]}" + hop + "; ROLE must trust those "
                "ServiceAccounts (docs/identities.md). Or leave this instance to the controller."
            )
            raise entry_error(asking, "asks for RRSA, which cannot come along to a node", remedy)
        if is_personal:
            remedy = "Remove the entry, or switch rrsa off: RRSA is for instances of the Enterprise Edition."
            where = entry.keys.get("instanceId", entry.first)
            raise entry_error(where, "is of the Personal Edition, which RRSA cannot ask for", remedy)
        if not role or not provider:
            missing = _RRSA_KEYS[0] if not role else _RRSA_KEYS[1]
            remedy = f"Add {missing}, or switch rrsa off: it leaves no other way."
            raise entry_error(asking, f"has no {missing} beside it, and rrsa is enabled", remedy)
        self._result.note(
            asking[1],
            f"{asking[0]}: the token is the one that ack-pod-identity-webhook mounts; without it, add tokenFile",
        )
        identity = {"kind": "rrsa", "roleArn": role, "oidcProviderArn": provider}
        return identity if entry.text("assumeRoleARN") else identity | _session(entry)

    def _check_rrsa_is_meant(self, entry: RegistryInfoEntry) -> None:
        """Note RRSA's keys where it is switched off; raise `EntryError` where nobody says whether it is on."""
        for name, spot in (entry.keys[each] for each in _RRSA_KEYS if entry.text(each)):
            if self._rrsa == "off":
                self._result.note(spot, f"{name} is not in use: rrsa is switched off")
                continue
            remedy = "Add rrsa with enable: true beside acr-registry-info, or remove the key: it names who asks."
            raise entry_error((name, spot), "has no meaning while rrsa is not enabled", remedy)

    def _by_key_files(self, entry: RegistryInfoEntry, label: str) -> tuple[dict[str, str], dict[str, str]]:
        key_id, secret = entry.text("customAccessKey"), entry.text("customAccessKeySecret")
        if not (key_id and secret):
            found = entry.keys["customAccessKey" if key_id else "customAccessKeySecret"]
            raise entry_error(found, "is one half of an access key without the other", "Add the other half.")
        directory = self._wanted.keys_directory
        if not directory:
            remedy = "Run: settings convert FILE --keys-directory DIR. It writes the key into two files for root alone."
            raise entry_error(
                entry.keys["customAccessKey"], "stands in the file itself; keys are read from files only", remedy
            )
        files = [f"{directory}/{label}-access-key-{half}" for half in ("id", "secret")]
        taken = 2
        while files[0] in self._result.secrets:
            files = [f"{directory}/{label}-{taken}-access-key-{half}" for half in ("id", "secret")]
            taken += 1
        self._result.change(entry.keys["customAccessKey"][1], KEY_MOVED)
        identity = {"kind": "accessKey", "accessKeyIdFile": files[0], "accessKeySecretFile": files[1]}
        return dict(zip(files, (key_id, secret), strict=True)), identity

    def _note_useless_duration(self, entry: RegistryInfoEntry) -> None:
        if entry.text("expireDuration") and not entry.text("assumeRoleARN"):
            name, spot = entry.keys["expireDuration"]
            self._result.note(spot, f"{name} has no meaning without assumeRoleARN or RRSA")


def _session(entry: RegistryInfoEntry) -> dict[str, str]:
    """Return how long the last role's session lives, if the *entry* says so."""
    seconds = entry.text("expireDuration")
    return {"sessionDuration": f"{int(seconds)}s"} if seconds else {}
