"""Freezes the programs with PyInstaller: what goes in, what stubs replace, the launcher in front."""
