"""Stands in for alibabacloud_gateway_spi.models; alibabacloud_tea_openapi.client imports the module alone."""
