"""Stands in for the SDK's own credential providers, and aiofiles and APScheduler behind them: sources/ are ours."""

from left_out import LeftOut


class StaticAKCredentialsProvider(LeftOut):
    """Named by alibabacloud_credentials.client."""


class StaticSTSCredentialsProvider(LeftOut):
    """Named by alibabacloud_credentials.client."""


class RamRoleArnCredentialsProvider(LeftOut):
    """Named by alibabacloud_credentials.client."""


class OIDCRoleArnCredentialsProvider(LeftOut):
    """Named by alibabacloud_credentials.client."""


class RsaKeyPairCredentialsProvider(LeftOut):
    """Named by alibabacloud_credentials.client."""


class EcsRamRoleCredentialsProvider(LeftOut):
    """Named by alibabacloud_credentials.client."""


class URLCredentialsProvider(LeftOut):
    """Named by alibabacloud_credentials.client."""


class DefaultCredentialsProvider(LeftOut):
    """Named by alibabacloud_credentials.client."""
