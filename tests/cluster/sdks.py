"""Alibaba Cloud's official SDKs for ECI and Auto Scaling: their models say which parameters a request has.

They are unpacked beside what else is built once, and not installed: what they need beside their models would be a dozen
packages that nothing here uses.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from . import parts

REQUIREMENTS = parts.SOURCES / "sdks.txt"


def folder() -> Path:
    """Return the folder that has the packages once they are fetched; another one for other versions."""
    return parts.cache_folder() / f"sdks-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]}"


def fetch() -> None:
    """Download and unpack the packages, each of exactly the bytes that the requirements name."""
    parts.cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parts.cache_folder(), prefix=".fetching-") as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--only-binary=:all:", "--dest", temporary, "--requirement", str(REQUIREMENTS)]
        subprocess.run(command, check=True)
        unpacked = Path(temporary) / "unpacked"
        for wheel in Path(temporary).glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(unpacked)
        unpacked.rename(folder())


if __name__ == "__main__" and not folder().exists():
    fetch()
