"""Imports the official SDKs without their environment variables and log output.

At import they read access keys, role ARNs and switches from ``ALIBABA_CLOUD_*``, and add handlers to their loggers that
write to stderr. But only our settings decide the identity, and the kubelet shows stderr to users.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

_SWITCHES = ("DEBUG",)  # DEBUG=sdk prints every header, security tokens included
_LOGGERS = ("credentials", "darabonba-core", "alibabacloud-tea")


@contextmanager
def sdk_import(environ: MutableMapping[str, str] | None = None) -> Iterator[None]:
    """Remove the variables that the SDKs read at import; at the end restore them and silence the SDKs' loggers.

    >>> import os
    >>> environ = {"DEBUG": "sdk", "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/x", "HOME": "/home/me"}
    >>> with sdk_import(environ):
    ...     sorted(environ)
    ['HOME']
    >>> sorted(environ)
    ['ALIBABA_CLOUD_ROLE_ARN', 'DEBUG', 'HOME']
    """
    environ = os.environ if environ is None else environ
    read_at_import = [name for name in environ if name in _SWITCHES or name.startswith("ALIBABA_CLOUD_")]
    aside = {name: environ.pop(name) for name in read_at_import}
    try:
        yield
    finally:
        environ.update(aside)
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            logger.handlers = [logging.NullHandler()]
            logger.propagate = False
            logger.disabled = True
