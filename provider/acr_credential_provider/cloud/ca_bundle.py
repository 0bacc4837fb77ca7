"""The CA certificates that TLS is verified against: found for each distribution, never done without."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache

from acr_credential_provider.fastpath.response_cache import file_fingerprint
from acr_credential_provider.files.root_reading import check_before_reading
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import limit_behind

from .transport_errors import NO_OPENSSL, REPAIR_OPENSSL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A frozen OpenSSL looks where its builder kept certificates, which is right on one distribution only.
KNOWN_PLACES = (
    "/etc/pki/tls/certs/ca-bundle.crt",  # Alibaba Cloud Linux, Anolis, RHEL, CentOS
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # the same family, newer
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, ContainerOS
    "/etc/ssl/cert.pem",  # Alpine
    "/var/lib/ca-certificates/ca-bundle.pem",  # SUSE
)

_INSTALL = Remedy(
    "CaBundleUnusable",
    "Install the ca-certificates package, or name a PEM file in the settings (caBundle) or SSL_CERT_FILE.",
)


def find_ca_bundle(
    configured: str | None, *, environ: Mapping[str, str] | None = None, known_places: Sequence[str] = KNOWN_PLACES
) -> str:
    """Return the path of the CA bundle: the settings' own, SSL_CERT_FILE, the distribution's, certifi's.

    A file that was named and is not there is an error: the next best one would verify
    against something that nobody chose. Root takes a named one only if nobody else can change it.
    """
    environ = os.environ if environ is None else environ
    named = configured or environ.get("SSL_CERT_FILE")
    if named:
        if not os.path.isfile(named):  # pathlib costs an import on every miss
            raise ConfigurationError(f"there is no CA bundle at {named}", remedy=_INSTALL)
        check_before_reading(named)
        return named
    for place in known_places:
        if os.path.isfile(place):
            return place
    bundled = _certifi()
    if not bundled:
        raise ConfigurationError(f"no CA bundle was found (looked at {', '.join(known_places)})", remedy=_INSTALL)
    return bundled


def tls_context(bundle: str) -> ssl.SSLContext:
    """Return a context that verifies chain and host name against *bundle*, TLS 1.2 or later.

    It is made once for each state of the file, because a distribution's 140 certificates take some 30 ms.
    """
    return _context_of(bundle, file_fingerprint(bundle))


@lru_cache(maxsize=2)
def _context_of(bundle: str, _fingerprint: str) -> ssl.SSLContext:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies by default
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    except (ssl.SSLError, ValueError):  # ValueError: a version that this OpenSSL was built without
        context = None
    if context is None:
        raise ConfigurationError(NO_OPENSSL, remedy=REPAIR_OPENSSL)
    try:
        context.load_verify_locations(cafile=bundle)
        limit, is_usable = None, True
    except OSError as error:  # ssl.SSLError too
        limit, is_usable = limit_behind(error), False
    if limit:
        raise ConfigurationError(f"the CA bundle {bundle} cannot be read: {limit.problem}", remedy=limit.remedy)
    if not is_usable:
        raise ConfigurationError(f"the CA bundle {bundle} holds no certificates that can be read", remedy=_INSTALL)
    return context


def _certifi() -> str:
    try:
        from certifi import where  # noqa: PLC0415  # the last resort, and not a dependency
    except ImportError:
        return ""
    return where()
