"""Stands in for pydantic's plug-in search, which reads every installed package's metadata: none is installed here."""


def get_plugins():
    """Return the plug-ins of this program: none."""
    return ()
