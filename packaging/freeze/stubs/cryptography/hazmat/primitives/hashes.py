"""Stands in for cryptography's hashes."""

from left_out import LeftOut


class SHA256(LeftOut):
    """Named by alibabacloud_tea_openapi.utils when it signs with RSA."""
