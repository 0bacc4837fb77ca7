"""Docker's credential helper protocol: the same logins for docker, podman, buildah, skopeo and nerdctl.

Those run ``docker-credential-NAME get`` with a server on stdin; a symlink of that name to
this program is all they need. Protocol: github.com/docker/docker-credential-helpers, where
an error is what stdout holds when the exit code is not 0.

Clients name a host and never an image. On the Personal Edition's shared hosts that is too little to choose a
login if entries of the settings name their namespaces there: the helper answers "not found", and the client goes on
without one.
"""

from __future__ import annotations

import json
import os
import signal
import time

from acr_credential_provider.fastpath.lookup import (
    API_VERSIONS,
    log_hit,
    lookup,
    read_request,
    write_all,
)
from acr_credential_provider.files.user_paths import user_paths
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.version import VERSION

from .run import get_credentials
from .watchdog import OutputClosedError, ResponseWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from acr_credential_provider.model.errors import CredentialProviderError

NOT_FOUND = "credentials not found in native keychain"
"""The protocol's own words; clients compare them and go on without a login."""
NO_SERVER = "no credentials server URL"
"""The same, for an empty request."""
READERS = ("get", "store", "erase")
"""The verbs whose clients write to stdin. All of it is read, because a closed pipe would end the client."""
BACKSTOP = 1.0
"""Seconds beyond the deadline."""
WITHOUT_NAMESPACE = "//any"
"""The path of an image that asks for a host as a whole (`registry_matching.match`). No kubelet sends such a path."""
USAGE = "usage: docker-credential-aliyun-acr get|list|store|erase|version"


def main(arguments: list[str], *, started: float, seconds: float) -> int:
    """Carry out the verb in *arguments*; return the exit code. Takes its paths from the environment."""
    try:
        options = user_paths()
    except ConfigurationError as error:
        return _refuse(f"error: {error.coded}\nremedy: {error.remedy}")
    return run(arguments[0] if len(arguments) == 1 else "", options, started=started, seconds=seconds)


def run(verb: str, options: dict[str, str], *, started: float, seconds: float) -> int:
    """Carry out *verb*; return the exit code. *options* and the times are as in `run.get_credentials`."""
    stdin = _read(started, seconds) if verb in READERS else b""
    if verb == "get":
        return _get(stdin, options, started=started, seconds=seconds)
    if verb == "list":
        _write("{}")  # hosts are not known before a client names them
        return 0
    if verb == "store":
        return _refuse(
            "this helper gets its logins from ACR by itself and stores none: no `login` is needed for that registry"
        )
    if verb == "erase":
        return 0  # after `logout`: there is nothing of the user's to forget
    if verb == "version":
        _write(f"docker-credential-aliyun-acr (aliyun-acr-credential-provider) {VERSION}")
        return 0
    return _refuse(USAGE)


def registry_at(server: str) -> str:
    r"""Return the ``host[:port]`` of a server as clients write it, "" when there is none.

    >>> [registry_at(server) for server in ("https://acr.example.com:5000/v2/", "acr.example.com", " \n")]
    ['acr.example.com:5000', 'acr.example.com', '']
    """
    server = server.strip()
    for scheme in ("https://", "http://"):
        server = server.removeprefix(scheme)
    return server.partition("/")[0].lower()


class _HelperResponseWriter(ResponseWriter):
    """Stdout, with the kubelet's response rewritten as the helper's."""

    def __init__(self, server: str) -> None:
        super().__init__()
        self._server = server

    def __call__(self, answer: bytes) -> None:
        login = next(iter(json.loads(answer)["auth"].values()), None)  # for one host
        if login is None:
            self.code = 1
            super().__call__(NOT_FOUND.encode() + b"\n")
            return
        document = {"ServerURL": self._server, "Username": login["username"], "Secret": login["password"]}
        super().__call__(json.dumps(document, separators=(",", ":")).encode() + b"\n")

    def report(self, error: CredentialProviderError) -> None:
        """Write *error* to stdout, where clients look for it."""
        _write(f"error: {error.coded}\nremedy: {error.remedy}")


def _get(raw: bytes, options: dict[str, str], *, started: float, seconds: float) -> int:
    server = raw.decode("utf-8", "replace").strip()
    host = registry_at(server)
    if not host:
        return _refuse(NO_SERVER)
    if not _may_be_ours(host):
        return _refuse(NOT_FOUND)
    document = {"kind": "CredentialProviderRequest", "apiVersion": API_VERSIONS[0], "image": host + WITHOUT_NAMESPACE}
    request = json.dumps(document).encode()
    writer = _HelperResponseWriter(server)
    hit = lookup(request, options)
    if hit is None:
        return get_credentials(request, options, started=started, seconds=seconds, writer=writer)
    response, entry = hit
    try:
        writer(response)
    except OutputClosedError:
        return 1
    log_hit(entry, started)
    return writer.code


def _may_be_ours(host: str) -> bool:
    """True if *host* can be a registry at all; the answer for any other is "not found"."""
    return ("." in host or ":" in host) and not any(character.isspace() or character in "@%?#\\" for character in host)


def _read(started: float, seconds: float) -> bytes:
    """Return the client's stdin, which must end within *seconds*; nothing when it is closed."""
    signal.signal(signal.SIGALRM, _stdin_hangs)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return read_request()
    except OSError:
        return b""
    finally:
        # From here on the kernel ends us where nothing else can: at a disk that hangs, at a stdout that is not read.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, max(started + seconds + BACKSTOP - time.monotonic(), 1.0))


def _stdin_hangs(_signal_number: int, _frame: object) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(1)  # for a stdout that is not read either
    _write(
        "error: what the client writes to stdin did not end [StdinNotClosed]\n"
        "remedy: close stdin after it, as docker does"
    )
    os._exit(1)


def _refuse(words: str) -> int:
    _write(words)
    return 1


def _write(text: str) -> None:
    try:
        write_all(text.encode("utf-8", "backslashreplace") + b"\n")
    except OSError:
        return
