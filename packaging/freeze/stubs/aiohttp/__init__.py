"""Stands in for aiohttp: the SDK's asynchronous transport; ours is synchronous. It builds a TLS context at import."""

from left_out import LeftOut


class ClientResponse(LeftOut):
    """Named by darabonba.response and darabonba.utils.stream."""


class ClientSession(LeftOut):
    """Named by darabonba.utils.stream."""
