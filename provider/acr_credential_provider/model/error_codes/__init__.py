"""What the error codes of Alibaba Cloud mean: a table, and rules for codes that are not in it. Imports remedies alone.

Loaded only once there is an error.
"""

from .lookup import CODES, REMEDY_CODES, ErrorCode, explain, find, kind_of
from .table import KINDS

__all__ = ["CODES", "KINDS", "REMEDY_CODES", "ErrorCode", "explain", "find", "kind_of"]
