"""The versions of this program and its parts, from a file when it is frozen."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from typing import Any

from acr_credential_provider.version import NAME, VERSION

FILE = "build-info.json"


def build_info() -> dict[str, Any]:
    """Return version, commit, architecture, the versions of Python, OpenSSL, SQLite and the C library, and packages.

    All are texts except ``packages``, a dict of versions by name. The commit is "" when run from source.
    """
    folder = getattr(sys, "_MEIPASS", "")  # the files of a program that PyInstaller froze
    if folder:
        with open(os.path.join(folder, FILE), encoding="utf-8") as file:
            frozen: dict[str, Any] = json.load(file)
        return frozen
    import sqlite3  # noqa: PLC0415 - for one command
    import ssl  # noqa: PLC0415
    from importlib import metadata  # noqa: PLC0415

    required = [line for line in metadata.requires(NAME) or () if "extra ==" not in line]
    names = sorted(re.split("[^A-Za-z0-9._-]", line)[0] for line in required)
    return {
        "version": VERSION,
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "sqlite": sqlite3.sqlite_version,
        "cLibrary": " ".join(platform.libc_ver()),
        "commit": "",
        "packages": {name.lower(): metadata.version(name) for name in names},
    }
