"""Stands in for alibabacloud_gateway_spi.client."""

from left_out import LeftOut


class Client(LeftOut):
    """Named by alibabacloud_tea_openapi.client."""
