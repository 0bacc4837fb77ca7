"""Stands in for requests, and urllib3, idna and charset_normalizer behind it: cloud/transport.py sends instead."""

from left_out import LeftOut

from . import adapters, status_codes

__all__ = ["PreparedRequest", "Session", "adapters", "status_codes"]


class PreparedRequest(LeftOut):
    """Named by darabonba.core."""


class Session(LeftOut):
    """Named by darabonba.core."""
