"""Reads what `node install` is given: the bundle and the settings."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

from acr_credential_provider.console.command_line import STDIN, STDIN_NAME
from acr_credential_provider.console.output import errors_in
from acr_credential_provider.fastpath.lookup import SETTINGS
from acr_credential_provider.model.own_places import is_ours
from acr_credential_provider.model.remedy import NONE, Remedy
from acr_credential_provider.model.resource_limits import explained

from acr_node_config.hostfs import host_exec
from acr_node_config.hostfs.host_reader import LARGEST
from acr_node_config.install import bundle as bundles
from acr_node_config.install.requests import InstallRequest
from acr_node_config.kubelet_config.provider_entries import NAME
from acr_node_config.model.errors import RefusedError
from acr_node_config.model.placement import Wanted
from acr_node_config.placement.profiles import place

if TYPE_CHECKING:
    import argparse

    from acr_node_config.hostfs.host_files import HostFiles


def install_request(options: argparse.Namespace, host: HostFiles) -> InstallRequest:
    """Read the bundle and the settings of *options*; the program itself tells the images of the settings."""
    bundle = bundles.read(options.bundle or bundles.own_folder())
    path = options.settings or host.outside(SETTINGS)
    content = settings_at(path)
    wanted = Wanted(options.profile, options.bin_dir or "", options.config or "", options.flags_in)
    return InstallRequest(
        bundle,
        match_images(f"{bundle.source}/{NAME}", content, path),
        lambda facts: place(facts, options.mode, wanted),
        content if options.settings else None,
        options.mode,
        options.retry,
    )


def match_images(program: str, content: bytes, path: str) -> dict[str, Any]:
    """Return the output of ``settings match-images`` of *program*; raise `RefusedError` with its error.

    It gets the *content* that was read from *path*, because the file may change meanwhile.
    """
    words = [program, "settings", "match-images", STDIN, "--output", "json"]
    ended = host_exec.run(host_exec.Command(words, is_ours=True), stdin=content, seconds=30.0)
    try:
        document = json.loads(ended.stdout) if ended.returncode == 0 else None
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    found = errors_in(ended.stderr.replace(STDIN_NAME.encode(), path.encode()))
    problem, remedy = found[0] if found else (f"{path} is not usable", NONE)
    raise RefusedError(problem, remedy=remedy or Remedy("SettingsInvalid", f"See {NAME} settings validate {path}."))


def settings_at(path: str) -> bytes:
    """Return the content of the settings file at *path*; raise `RefusedError` if others could have written it.

    It is read once, so that the same bytes are validated and installed.
    """
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            content = file.read(LARGEST + 1) if stat.S_ISREG(status.st_mode) else None
    except OSError as error:
        problem, remedy = explained(
            error, remedy=Remedy("SettingsUnreadable", "Name the settings' file with --settings.")
        )
    else:
        if content is None:
            raise RefusedError(
                f"{path} is not a regular file",
                remedy=Remedy("SettingsUnreadable", "Name the settings' file with --settings."),
            )
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
            raise RefusedError(
                f"{path} can be changed by others than root",
                remedy=Remedy(
                    "SettingsUnsafe",
                    f"Run: chown root:root {path}; chmod 0600 {path}"
                    if is_ours(path)
                    else f"Put the settings into a new file of root's with mode 0600, and name that with --settings. "
                    f"Leave {path} as it is.",
                ),
            )
        return content
    raise RefusedError(f"{path} cannot be read: {problem}", remedy=remedy)
