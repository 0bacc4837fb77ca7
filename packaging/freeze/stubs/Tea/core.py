"""Stands in for Tea's first-generation transport: alibabacloud_credentials.credentials names it to refresh itself."""

from left_out import LeftOut


class TeaCore(LeftOut):
    """Named by alibabacloud_credentials.credentials."""
