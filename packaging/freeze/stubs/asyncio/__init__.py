"""Stands in for the standard library's asyncio: the SDK awaits it in the asynchronous half that we never call."""

from left_out import left_out

sleep = left_out("asyncio.sleep")
