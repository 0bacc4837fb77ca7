"""What the error codes of Alibaba Cloud mean: a table, and rules for codes that are not in it. Imports nothing.

Loaded only once there is an error.
"""

from .lookup import CODES, ErrorCode, explain, find, kind_of
from .table import KINDS

__all__ = ["CODES", "KINDS", "ErrorCode", "explain", "find", "kind_of"]
