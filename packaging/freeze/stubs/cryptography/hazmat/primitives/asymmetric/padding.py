"""Stands in for cryptography's padding schemes."""

from left_out import LeftOut


class PKCS1v15(LeftOut):
    """Named by alibabacloud_tea_openapi.utils when it signs with RSA."""
