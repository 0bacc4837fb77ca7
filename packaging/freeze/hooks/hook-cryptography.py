"""Replaces the community hook, which ships OpenSSL's modules. The plugin has a stub, the controller the real."""

import os

from PyInstaller.utils.hooks import collect_submodules

from freeze.bundles import BUNDLES

hiddenimports = []
if "cryptography" in BUNDLES[os.environ["ACR_BUNDLE"]].real:
    # Its part in Rust imports by name.
    hiddenimports = ["_cffi_backend", *collect_submodules("cryptography")]
