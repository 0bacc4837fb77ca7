"""Stands in for the SDK's XML reader, and expat behind it: ACR and STS answer in JSON."""

from left_out import LeftOut


class XML(LeftOut):
    """Named by alibabacloud_tea_openapi.client."""
