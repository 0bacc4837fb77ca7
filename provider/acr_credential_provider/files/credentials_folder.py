"""The folder in which the keys of the credentials Secret are files."""

from __future__ import annotations

import re

FOLDER = "/etc/aliyun-acr-credential-provider/credentials"
"""Where settings find the Secret's files: FOLDER/KEY, for each of its keys."""
KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}", re.ASCII)
"""The name of a key that becomes a file. It has one spelling, so two names are two files."""
