"""What operators type, a file for each word that is more than a call."""

from .words import DOORS, run

__all__ = ["DOORS", "run"]
