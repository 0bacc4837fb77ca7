"""The CA certificates that TLS is verified against: found for each distribution, never done without."""

from __future__ import annotations

import os
import ssl

from acr_credential_provider.fastpath.cpython import verified_root
from acr_credential_provider.model.errors import ConfigurationError

from .transport_errors import NO_OPENSSL, REPAIR_OPENSSL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from acr_credential_provider.cache.trust_anchor_cache import TrustAnchorCache

# A frozen OpenSSL looks where its builder kept certificates, which is right on one distribution only.
KNOWN_PLACES = (
    "/etc/pki/tls/certs/ca-bundle.crt",  # Alibaba Cloud Linux, Anolis, RHEL, CentOS
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # the same family, newer
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, ContainerOS
    "/etc/ssl/cert.pem",  # Alpine
    "/var/lib/ca-certificates/ca-bundle.pem",  # SUSE
)

_SMALL = 16 * 1024
"""Bytes; some ten certificates."""
_INSTALL = "Install the ca-certificates package, or name a PEM file in the settings (caBundle) or SSL_CERT_FILE."


def find_ca_bundle(
    configured: str | None, *, environ: Mapping[str, str] | None = None, known_places: Sequence[str] = KNOWN_PLACES
) -> str:
    """Return the path of the CA bundle: the settings' own, SSL_CERT_FILE, the distribution's, certifi's.

    A file that was named and is not there is an error: the next best one would verify
    against something that nobody chose.
    """
    environ = os.environ if environ is None else environ
    named = configured or environ.get("SSL_CERT_FILE")
    if named:
        if not os.path.isfile(named):  # pathlib costs an import on every miss
            raise ConfigurationError(f"there is no CA bundle at {named}", remedy=_INSTALL)
        return named
    for place in known_places:
        if os.path.isfile(place):
            return place
    bundled = _certifi()
    if not bundled:
        raise ConfigurationError(f"no CA bundle was found (looked at {', '.join(known_places)})", remedy=_INSTALL)
    return bundled


class CaBundle:
    """TLS contexts that verify against *bundle*, whole only where that is needed.

    *roots*, if given, tells by which certificate of the bundle a host was verified last
    time. That one is loaded alone; when it is not enough any more, `widen` loads the rest.
    """

    def __init__(self, bundle: str, roots: TrustAnchorCache | None = None) -> None:
        self.bundle = bundle
        # A small bundle is loaded faster than a memo is read.
        self._roots = roots if roots is not None and os.path.getsize(bundle) > _SMALL else None
        self._whole: ssl.SSLContext | None = None

    def context_for(self, host: str) -> ssl.SSLContext:
        """Return a context for *host*, or raise `ConfigurationError` for a bundle that cannot be used."""
        if self._whole is None:
            root = self._roots.get(host) if self._roots is not None else ""
            narrow = _context_of(root) if root else None
            if narrow is not None:
                return narrow
            self.widen()
        return self._whole or tls_context(self.bundle)

    def widen(self) -> bool:
        """Trust the whole bundle from now on; return False when it was so already."""
        if self._whole is not None:
            return False
        self._whole = tls_context(self.bundle)
        return True

    def learn(self, host: str, connection: ssl.SSLSocket) -> None:
        """Remember what *host* was just verified by, if it took the whole bundle."""
        if self._roots is not None and connection.context is self._whole:
            root = verified_root(connection)
            if root:
                self._roots.put(host, root)


def tls_context(bundle: str) -> ssl.SSLContext:
    """Return a context that verifies chain and host name against *bundle*, TLS 1.2 or later."""
    context = _verifying()
    try:
        context.load_verify_locations(cafile=bundle)
        is_usable = True
    except OSError:  # ssl.SSLError too
        is_usable = False
    if not is_usable:
        raise ConfigurationError(f"the CA bundle {bundle} holds no certificates that can be read", remedy=_INSTALL)
    return context


def _context_of(certificate: str) -> ssl.SSLContext | None:
    context = _verifying()
    try:
        context.load_verify_locations(cadata=certificate)
    except (OSError, ValueError):  # not what was written
        return None
    return context


def _verifying() -> ssl.SSLContext:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies by default
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    except (ssl.SSLError, ValueError):  # ValueError: a version that this OpenSSL was built without
        context = None
    if context is None:
        raise ConfigurationError(NO_OPENSSL, remedy=REPAIR_OPENSSL)
    return context


def _certifi() -> str:
    try:
        from certifi import where  # noqa: PLC0415  # the last resort, and not a dependency
    except ImportError:
        return ""
    return where()
