"""Reads the settings file from disk, if no other user could have written it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from acr_credential_provider.fastpath.lookup import SETTINGS
from acr_credential_provider.files.root_reading import check_before_reading
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.own_places import is_ours
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import explained

from .verdict import judge

if TYPE_CHECKING:
    from .runtime import ProviderSettings

LARGEST = 1 << 20
"""Bytes. A settings file with a thousand registries has a quarter of this."""


def load(path: str) -> ProviderSettings:
    """Read and validate the settings file at *path*; raise `ConfigurationError`."""
    text = read(path)
    check_before_reading(path)
    return settings_in(text, path)


def settings_in(text: str, path: str) -> ProviderSettings:
    """Return the settings in *text*, which was read from *path*; raise `ConfigurationError`."""
    verdict = judge(text)
    if verdict.settings is not None:
        return verdict.settings
    first, more = verdict.problems[0], len(verdict.problems) - 1
    others = f" (and {more} more: see `settings validate {path}`)" if more else ""
    raise ConfigurationError(f"{path}, {first}{others}", remedy=first.remedy)


def read(path: str) -> str:
    """Return the text of *path*; raise `ConfigurationError` if another user but root could have written it."""
    is_users = os.geteuid() != 0 and not is_ours(path)
    owner = "you" if is_users else "root"
    remedy = Remedy(
        "SettingsUnreadable",
        f"Install the settings at {path}, owned by {owner} with mode 0600, or name another file with --settings.",
    )
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            data = file.read(LARGEST + 1) if stat.S_ISREG(status.st_mode) else None
    except OSError as error:
        reason, advice = explained(error, remedy=remedy)
        raise ConfigurationError(f"cannot read {path}: {reason}", remedy=advice) from None
    if data is None:
        raise ConfigurationError(f"{path} is not a regular file", remedy=remedy)
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        raise ConfigurationError(
            f"{path} can be changed by others than root",
            remedy=Remedy(
                "SettingsUnsafe",
                f"Run: chown root:root {path}; chmod 0600 {path}"
                if is_ours(path)
                else "Put the settings into a new file of root's with mode 0600, such as "
                f"{SETTINGS}, and name that with --settings. Leave {path} as it is."
                if not is_users
                else "Put the settings into a new file of your own with mode 0600, and name that with --settings.",
            ),
        )
    return decoded(data, path)


def decoded(data: bytes, path: str) -> str:
    """Return the text in *data*, which was read from *path* up to one byte more than `LARGEST`."""
    if len(data) > LARGEST:
        raise ConfigurationError(
            f"{path} is larger than 1 MiB", remedy=Remedy("SettingsTooLarge", "Leave out what this node does not use.")
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    raise ConfigurationError(f"{path} is not UTF-8 text", remedy=Remedy("SettingsSyntax", "Save it as UTF-8."))
