"""The environment variables that no library of this process may see.

The frozen program's launcher (packaging/freeze/launcher.c) drops these, and those that the C library reads before any
Python runs. This module drops them for the program from source, before anything imports ssl, hashlib or sqlite3.
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

LEFT_OUT = (
    b"GCONV_PATH=",
    b"NLSPATH=",
    b"HOSTALIASES=",
    b"RESOLV_HOST_CONF=",
    b"LOCALDOMAIN=",
    b"RES_OPTIONS=",
    b"OPENSSL_",
    b"OSSL_",
    b"CTLOG_FILE=",
    b"RANDFILE=",
    b"QLOGDIR=",
    b"SSLKEYLOGFILE=",
    b"SSL_CERT_DIR=",
    b"SQLITE_",
    b"EXPAT_",
    b"LIBFFI_",
    b"PYTHONTZPATH=",
    b"PROMETHEUS_",
    b"prometheus_multiproc_dir=",
)
"""Their beginnings; SSL_CERT_FILE, which is documented, is none of them."""


def leave_out() -> None:
    """Remove them from this process, as C libraries see it and as Python does."""
    for name in [name for name in posix.environ if (name + b"=").startswith(LEFT_OUT)]:
        posix.unsetenv(name)
        del posix.environ[name]
        if "os" in sys.modules:  # which has made its own copy
            copy: MutableMapping[bytes, bytes] = sys.modules["os"].environb
            copy.pop(name, None)
