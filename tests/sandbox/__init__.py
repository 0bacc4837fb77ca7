"""The ACR sandbox: Alibaba Cloud's side of every call, written from its documented protocol."""

from .server import AcrSandbox

__all__ = ["AcrSandbox"]
