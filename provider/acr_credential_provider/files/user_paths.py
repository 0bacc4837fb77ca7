"""Where settings and cache of this user are: one answer for docker's helper, doctor, explain and the cache.

A kubelet's plugin does not ask here: it takes what its arguments say, or the node's.
"""

from __future__ import annotations

import os

from acr_credential_provider.fastpath.lookup import CACHE, SETTINGS, absolute
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.version import NAME

VARIABLES = {"--settings": "ACR_CREDENTIAL_PROVIDER_SETTINGS", "--cache": "ACR_CREDENTIAL_PROVIDER_CACHE"}
"""Environment variables in place of options, because clients of a credential helper pass none."""


def user_paths() -> dict[str, str]:
    """Return settings and cache of this user: of the environment, else the user's own, else the node's.

    Raises `ConfigurationError`.
    """
    paths = _own_paths()
    for option, variable in VARIABLES.items():
        path = os.environ.get(variable, "")
        try:
            paths |= {option: absolute(path)} if path else {}
        except (OSError, ValueError):
            raise ConfigurationError(
                f"{variable} is not a path that can be followed",
                remedy=Remedy("CommandLineInvalid", "Write it from / on."),
            ) from None
    return paths


def user_settings() -> str:
    """Return where a user's own settings are, whether there are any or not; "" for root, who has the node's."""
    home = os.environ.get("HOME", "")
    if os.geteuid() == 0 or not home.startswith("/"):
        return ""
    return f"{_base('XDG_CONFIG_HOME') or f'{home}/.config'}/{NAME}/settings.yaml"


def _own_paths() -> dict[str, str]:
    own = user_settings()
    if not own:
        return {"--settings": SETTINGS, "--cache": CACHE}
    cache = f"{_base('XDG_CACHE_HOME') or os.environ['HOME'] + '/.cache'}/{NAME}"
    # Settings for all users of a machine may lie where a node's do.
    is_nodes = not os.path.exists(own) and os.path.exists(SETTINGS)
    return {"--settings": SETTINGS if is_nodes else own, "--cache": cache}


def _base(variable: str) -> str:
    """Return the folder in *variable*, "" for a relative one, which the XDG specification ignores."""
    folder = os.environ.get(variable, "")
    return folder if folder.startswith("/") else ""
