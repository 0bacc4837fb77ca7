"""Stands in for how certifi finds its CA bundle: the same file, without importlib.resources and all that it imports."""

import os.path


def where():
    """Return the path of the CA bundle, which packaging's spec puts beside this module."""
    return os.path.join(os.path.dirname(__file__), "cacert.pem")


def contents():
    """Return the CA bundle as text."""
    with open(where(), encoding="ascii") as file:
        return file.read()
