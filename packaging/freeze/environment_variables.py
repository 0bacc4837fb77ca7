"""Every environment variable that the frozen programs' parts read, and what becomes of it.

The launcher (launcher.c) drops what leads a library to code, files, servers or names that nobody configured here. A
test compares this table with the parts themselves: with what they ask for while they run, with the sources of all
Python modules in the bundles, and with the C library's own list. So a new variable of a newer library is noticed.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Effect(Enum):
    """What becomes of a variable."""

    DROPPED = "the launcher drops it"
    DOCUMENTED = "it is part of how this program is used"
    SET_ASIDE = "cloud/sdk_guard.py hides it while the SDKs are imported; nothing of them reads it later"
    HARMLESS = "it changes nothing that matters"


class Variable(NamedTuple):
    """A *name* (with ``*`` at its end: all that begin so), who reads it, and why its effect is right."""

    name: str
    reader: str
    effect: Effect
    reason: str = ""

    def covers(self, name: str) -> bool:
        """True if *name* is this variable."""
        return name.startswith(self.name[:-1]) if self.name.endswith("*") else name == self.name


_DROPPED = {
    "glibc": {
        "LD_*": "code",
        "GCONV_PATH": "code",
        "LOCPATH": "files",
        "NLSPATH": "files",
        "GLIBC_TUNABLES": "memory",
        "GETCONF_DIR": "programs",
        "MALLOC_*": "memory, a file to write",
        "HOSTALIASES": "names of hosts",
        "RESOLV_HOST_CONF": "names of hosts",
        "LOCALDOMAIN": "names of hosts: a domain that is tried behind each",
        "RES_OPTIONS": "names of hosts: how long and how often a server is asked",
        "TZ": "a file, before Python's first line",
        "TZDIR": "files",
    },
    "OpenSSL": {
        "OPENSSL_*": "code, files",
        "OSSL_*": "files",
        "CTLOG_FILE": "a file",
        "RANDFILE": "a file",
        "QLOGDIR": "files to write",
        "SSLKEYLOGFILE": "keys of sessions, in the clear; read by Python too",
        "SSL_CERT_DIR": "authorities; the documented one is SSL_CERT_FILE",
    },
    "SQLite, expat, libffi": {
        "SQLITE_*": "temporary files",
        "EXPAT_*": "output for debugging",
        "LIBFFI_*": "temporary files that are executed",
    },
    "Python": {
        "PYTHON*": "code, files, output (PYTHONTZPATH is read although the interpreter is isolated)",
        "_PYTHON_*": "code: the name of a module",
        "__PYVENV_LAUNCHER__": "the path of the program",
    },
    "prometheus_client": {
        "PROMETHEUS_*": "a folder to write, forms of names",
        "prometheus_multiproc_dir": "a folder to write",
    },
    "PyInstaller": {"_PYI_*": "where the program is", "PYINSTALLER_*": "how it starts"},
}
_DOCUMENTED = {
    "SSL_CERT_FILE": "the CA bundle",
    "HTTPS_PROXY": "the proxy",
    "https_proxy": "the proxy",
    "NO_PROXY": "hosts without a proxy",
    "no_proxy": "hosts without a proxy",
    "ACR_CREDENTIAL_PROVIDER_*": "the docker helper's paths, the log",
    "ALIBABA_CLOUD_ROLE_ARN": "RRSA",
    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "RRSA",
    "ALIBABA_CLOUD_OIDC_TOKEN_FILE": "RRSA",
    "ALIBABA_CLOUD_STS_ENDPOINT": "RRSA",
    "HOME": "the docker helper's settings of a user",
    "XDG_CONFIG_HOME": "the same",
    "XDG_CACHE_HOME": "the same",
    "KUBECONFIG": "which cluster a command talks to",
    "KUBERNETES_SERVICE_HOST": "the same, in a Pod",
    "KUBERNETES_SERVICE_PORT": "the same, in a Pod",
    "NODE_NAME": "given by the chart",
    "POD_NAMESPACE": "given by the chart",
    "OWN_IMAGE": "given by the chart",
    "DBUS_SYSTEM_BUS_ADDRESS": "the systemd of the installer, which runs as root for root",
    "DBUS_SESSION_BUS_ADDRESS": "the same library; the session bus is not used",
}
_HARMLESS = {
    "PATH": "programs are run by paths that are checked first",
    "TMPDIR": "temporary files of Python and SQLite are kept in memory or in the cache folder",
    "TMP": "as TMPDIR",
    "TEMP": "as TMPDIR",
    "LANG": "the program sets no locale",
    "LANGUAGE": "as LANG",
    "LC_*": "as LANG",
    "POSIXLY_CORRECT": "getopt is not used",
    "IFS": "wordexp is not used",
    "I18NPATH": "localedef is not used",
    "DATEMSK": "getdate is not used",
    "MSGVERB": "fmtmsg is not used",
    "SEV_LEVEL": "fmtmsg is not used",
    "GMON_OUTPUT_PREFIX": "nothing is profiled",
    "HESIOD_CONFIG": "no such name service is part of the bundle",
    "HES_DOMAIN": "no such name service is part of the bundle",
    "NIS_DEFAULTS": "no such name service is part of the bundle",
    "NIS_GROUP": "no such name service is part of the bundle",
    "NIS_PATH": "no such name service is part of the bundle",
    "HTTP_PROXY": "plain http goes to the metadata service alone, never by a proxy",
    "http_proxy": "as HTTP_PROXY",
    "ALL_PROXY": "not read by what sends",
    "COLUMNS": "the width of --help",
    "LINES": "as COLUMNS",
    "DEB_PYTHON_INSTALL_LAYOUT": "nothing is installed",
    "SOURCE_DATE_EPOCH": "nothing is compiled",
    "PYDANTIC_PRIVATE_ALLOW_UNHANDLED_SCHEMA_TYPES": "no JSON schema is written",
    "PYDANTIC_*": "plugins are left out of the build",
    "ALIBABA_CLOUD_USER_AGENT": "set aside too",
    "BROWSER": "no browser is opened",
    "DISPLAY": "as BROWSER",
    "WAYLAND_DISPLAY": "as BROWSER",
    "GNOME_DESKTOP_SESSION_ID": "as BROWSER",
    "KDE_FULL_SESSION": "as BROWSER",
    "TERM": "as BROWSER",
    "REQUEST_METHOD": "a program for CGI would have it",
    "APPDATA": "Windows",
    "COMSPEC": "Windows",
    "HOMEDRIVE": "Windows",
    "HOMEPATH": "Windows",
    "PATHEXT": "Windows",
    "PROCESSOR_ARCHITECTURE": "Windows",
    "PROCESSOR_ARCHITEW6432": "Windows",
    "PROCESSOR_IDENTIFIER": "Windows",
    "PROGRAMFILES": "Windows",
    "LIBPATH": "AIX",
}
VARIABLES = (
    *(
        Variable(name, reader, Effect.DROPPED, reason)
        for reader, names in _DROPPED.items()
        for name, reason in names.items()
    ),
    *(Variable(name, "ours", Effect.DOCUMENTED, reason) for name, reason in _DOCUMENTED.items()),
    Variable("DEBUG", "darabonba", Effect.SET_ASIDE, "DEBUG=sdk prints every header"),
    Variable("ALIBABA_CLOUD_*", "alibabacloud_credentials", Effect.SET_ASIDE, "keys, roles, files and switches"),
    *(Variable(name, "libraries", Effect.HARMLESS, reason) for name, reason in _HARMLESS.items()),
)
