"""Makes the same file in several folders one file with several names: `python -m dist.hardlink FOLDER...`.

The plugin's and the controller's bundle have a Python, an OpenSSL and a C library in common, a third of both. Layers of
images keep hard links, and so do nodes' disks.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path


def link_equal_files(folders: list[Path]) -> int:
    """Link what is equal in content and mode below *folders*; return how many bytes that spares."""
    first: dict[tuple[str, int], Path] = {}
    spared = 0
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.is_symlink() or not file.is_file():
                continue
            status = file.stat()
            same = first.setdefault((hashlib.sha256(file.read_bytes()).hexdigest(), status.st_mode), file)
            if same is file or same.samefile(file):
                continue
            link = file.with_name(f".{file.name}.link")
            os.link(same, link)
            link.replace(file)
            spared += status.st_size
    return spared


if __name__ == "__main__":
    print(f"{link_equal_files([Path(word) for word in sys.argv[1:]]) / 1e6:.1f} MB spared")
