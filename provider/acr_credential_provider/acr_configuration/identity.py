"""The identity of an entry: with which credential its registries are asked for tokens, as native settings have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.remedy import Remedy

if TYPE_CHECKING:
    from .conversion import Conversion, Target
    from .global_keys import Switch
    from .node_access import NamedNode
    from .registry_info_entry import RegistryInfoEntry

KEY_MOVED = "the access key moved into files; delete it from the ConfigMap and renew it"
"""The change that is reported for an access key in the text."""
_RRSA_KEYS = ("rrsaRoleARN", "rrsaOIDCProviderRoleARN")


class Identities:
    """Finds the identity of each entry; *rrsa* is the switch for all entries.

    The documentation has three ways to another account's instance, and an entry has one of them: RRSA, a role that
    the node's own role assumes, or the access key of a user of that account.
    """

    def __init__(self, result: Conversion, target: Target, rrsa: Switch) -> None:
        self._result = result
        self._target = target
        self._rrsa = rrsa

    def identity_of(
        self, entry: RegistryInfoEntry, label: str, *, is_personal: bool
    ) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the key files to write (path to content) and the native ``identity`` and ``assumeRole``.

        *label* is a part of the files' names. Raises `UnreadableError` if no identity fits.
        """
        secrets, identity = self._base_identity(entry, label, is_personal=is_personal)
        fields: dict[str, Any] = {"identity": identity}
        if role := entry.text("assumeRoleARN"):
            fields["assumeRole"] = [{"roleArn": role} | _session(entry)]
        return secrets, fields

    def _base_identity(
        self, entry: RegistryInfoEntry, label: str, *, is_personal: bool
    ) -> tuple[dict[str, str], dict[str, str]]:
        key = entry.first_of("customAccessKey", "customAccessKeySecret")
        if self._rrsa == "unreadable":
            raise entry.first.invalid(
                "depends on rrsa, which is wrong itself", Remedy("SettingsContradiction", "Correct rrsa.")
            )
        if self._rrsa == "on":
            if key is not None:
                remedy = "Remove the key, or switch rrsa off: it leaves no other way."
                raise key.invalid(
                    "contradicts rrsa, which is enabled for all entries", Remedy("SettingsContradiction", remedy)
                )
            return {}, self._rrsa_identity(entry, is_personal=is_personal)
        self._check_rrsa_is_meant(entry)
        assume_role = entry.first_of("assumeRoleARN")
        if assume_role is None and (duration := entry.first_of("expireDuration")):
            self._result.note(duration.node, f"{duration.name} has no meaning without assumeRoleARN or RRSA")
        if key is None:
            # The managed role may assume no other: another account's instance is documented for the worker role alone.
            return {}, {"kind": "nodeRole" if assume_role else self._target.role}
        if assume_role:
            remedy = (
                "Keep one of the two: a key is of a user of the instance's own account, who assumes nothing. A user "
                "who does is for native settings: identity: {kind: accessKey, ...} with assumeRole."
            )
            raise assume_role.invalid(
                "and customAccessKey are two ways for one entry", Remedy("SettingsContradiction", remedy)
            )
        return self._key_file_identity(entry, label)

    def _rrsa_identity(self, entry: RegistryInfoEntry, *, is_personal: bool) -> dict[str, str]:
        """Return the RRSA identity of *entry*, or raise `UnreadableError`: no other identity may take its place."""
        key = entry.first_of(*_RRSA_KEYS) or entry.first
        has_role = bool(entry.text("assumeRoleARN"))
        if self._target.place == "node":
            hop = ", and assumeRole: [{roleArn: the one of assumeRoleARN}]" if has_role else ""
            remedy = (
                "A kubelet has the tokens of its pods only (Kubernetes 1.34 and newer). In native settings, give the "
                "registry identity: {kind: serviceAccount, oidcProviderArn: the one of rrsaOIDCProviderRoleARN, roles: "
                "[{serviceAccounts: [NAMESPACE/NAME], roleName: ROLE}]}" + hop + "; ROLE must trust those "
                "ServiceAccounts (docs/identities.md). Or leave this instance to the controller."
            )
            raise key.invalid("asks for RRSA, which cannot come along to a node", Remedy("RrsaNotOnNodes", remedy))
        if is_personal:
            remedy = "Remove the entry, or switch rrsa off: RRSA is for instances of the Enterprise Edition."
            instance = entry.keys.get("instanceId", entry.first)
            raise instance.invalid(
                "is of the Personal Edition, which RRSA cannot ask for", Remedy("PersonalEditionHasNoTokens", remedy)
            )
        role, provider = (entry.text(name) for name in _RRSA_KEYS)
        if not role or not provider:
            missing = _RRSA_KEYS[0] if not role else _RRSA_KEYS[1]
            remedy = f"Add {missing}, or switch rrsa off: it leaves no other way."
            raise key.invalid(
                f"has no {missing} beside it, and rrsa is enabled", Remedy("SettingsFieldMissing", remedy)
            )
        note = "the token is the one that ack-pod-identity-webhook mounts; without it, add tokenFile"
        self._result.note(key.node, f"{key.name}: {note}")
        identity = {"kind": "rrsa", "roleArn": role, "oidcProviderArn": provider}
        return identity if has_role else identity | _session(entry)

    def _check_rrsa_is_meant(self, entry: RegistryInfoEntry) -> None:
        """Note RRSA's keys if the switch is off; raise `UnreadableError` if there is no switch."""
        for key in (entry.keys[name] for name in _RRSA_KEYS if entry.text(name)):
            if self._rrsa != "off":
                remedy = "Add rrsa with enable: true beside acr-registry-info, or remove the key: it names who asks."
                raise key.invalid("has no meaning while rrsa is not enabled", Remedy("SettingsContradiction", remedy))
            self._result.note(key.node, f"{key.name} is not in use: rrsa is switched off")

    def _key_file_identity(self, entry: RegistryInfoEntry, label: str) -> tuple[dict[str, str], dict[str, str]]:
        values = entry.text("customAccessKey"), entry.text("customAccessKeySecret")
        if not all(values):
            half: NamedNode = entry.keys["customAccessKey" if values[0] else "customAccessKeySecret"]
            raise half.invalid(
                "is one half of an access key without the other", Remedy("SettingsFieldMissing", "Add the other half.")
            )
        key = entry.keys["customAccessKey"]
        if not self._target.keys_directory:
            remedy = "Run: settings convert FILE --keys-directory DIR. It writes the key into two files for root alone."
            raise key.invalid(
                "stands in the file itself; keys are read from files only", Remedy("AccessKeyInText", remedy)
            )
        start = f"{self._target.keys_directory}/{label}"
        files = [f"{start}-access-key-{half}" for half in ("id", "secret")]
        number = 2
        while files[0] in self._result.secrets:
            files = [f"{start}-{number}-access-key-{half}" for half in ("id", "secret")]
            number += 1
        self._result.change(key.node, KEY_MOVED)
        identity = {"kind": "accessKey", "accessKeyIdFile": files[0], "accessKeySecretFile": files[1]}
        return dict(zip(files, values, strict=True)), identity


def _session(entry: RegistryInfoEntry) -> dict[str, str]:
    """Return the native sessionDuration of the last role, if *entry* has one."""
    seconds = entry.text("expireDuration")
    return {"sessionDuration": f"{int(seconds)}s"} if seconds else {}
