"""Translates failures between this node and the cloud into our own errors.

The texts of foreign exceptions can quote requests and responses, so none is passed on: a failure is recognised by its
class, its errno or OpenSSL's verify code.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl

from acr_credential_provider.model.acr_hosts import (
    EnterpriseHost,
    PersonalHost,
    SharedHost,
    recognise,
    region_in_service,
)
from acr_credential_provider.model.errors import CloudUnreachableError
from acr_credential_provider.model.regions import about_region
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import limit_behind

from .dial import NameLookupTimeoutError

CHECK_NETWORK = Remedy(
    "NetworkUnreachable",
    "Check this node's routes, security groups and firewalls to that host, or set a proxy in the settings.",
)
CHECK_DNS = Remedy("NameResolutionFailed", "Check /etc/resolv.conf and that this node can reach its DNS servers.")
CHECK_CLOCK = Remedy("ClockWrong", "Correct this node's clock (chrony or ntp).")
CHECK_MIDDLEBOX = Remedy(
    "ConnectionIntercepted",
    "Something between this node and Alibaba Cloud answered in its place (a proxy or a captive portal): "
    "check HTTPS_PROXY, NO_PROXY and the proxy in the settings.",
)

_NOT_TRUSTED = {18, 19, 20, 21}  # X509_V_ERR_*: self-signed, self-signed in chain, no issuer, unverifiable leaf
_NOT_IN_TIME = {9: "not valid yet", 10: "expired"}
_WRONG_NAME = {62, 64}
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}
_OF_DNS = {
    socket.EAI_AGAIN: "DNS failed for now",
    socket.EAI_FAIL: "DNS refused to answer",
    socket.EAI_MEMORY: "there is no memory left for DNS",
}
"""Any other number means that there is no address."""


class TransportError(CloudUnreachableError):
    """One try brought no usable answer.

    `try_next_endpoint`: this endpoint was not reached, but another one may be. `retryable`: the same endpoint may
    answer a moment later.
    """

    def __init__(
        self, problem: str, *, remedy: Remedy, try_next_endpoint: bool = False, retryable: bool = False
    ) -> None:
        super().__init__(problem, remedy=remedy)
        self.try_next_endpoint = try_next_endpoint
        self.retryable = retryable


NO_OPENSSL = "no call can be signed or encrypted: this process's OpenSSL has no usable protocol, cipher or digest"
REPAIR_OPENSSL = Remedy(
    "OpenSslBroken",
    "Look at this machine's openssl.cnf (its folder: openssl version -d): providers that can be loaded, one with all "
    "algorithms among them, and TLS 1.2 allowed. The frozen program reads none: install its whole folder again.",
)
_OF_THIS_SIDE = {
    "LIBRARY_HAS_NO_CIPHERS",
    "NO_CIPHERS_AVAILABLE",
    "NO_CIPHER_MATCH",
    "NO_PROTOCOLS_AVAILABLE",
    "NULL_SSL_METHOD_PASSED",
    "UNABLE_TO_LOAD_SSL3_MD5_ROUTINES",
}
"""OpenSSL's reasons before a byte is sent: its configuration, or a provider, leaves nothing to use."""


def explain(error: Exception, *, doing: str, peer: str, bundle: str, seconds: float) -> TransportError:
    """Return *error*, of an action (*doing*) on a *peer*, in words for an operator.

    It was tried for *seconds*; *bundle* is the CA bundle in use.
    """
    limit = limit_behind(error)
    if limit is not None:
        return TransportError(
            f"{doing} {peer} failed: {limit.problem}",
            remedy=limit.remedy,
            try_next_endpoint=doing != "the call to",
            retryable=True,
        )
    return _explained(error, doing=doing, peer=peer, bundle=bundle, seconds=seconds)


def _explained(  # noqa: PLR0911  # a table, from the particular to the general
    error: Exception, *, doing: str, peer: str, bundle: str, seconds: float
) -> TransportError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error.verify_code, peer=peer, bundle=bundle)
    if isinstance(error, NameLookupTimeoutError):
        return TransportError(
            f"DNS did not answer for {peer} within {seconds:.1f} s",
            remedy=CHECK_DNS,
            try_next_endpoint=True,
            retryable=True,
        )
    if isinstance(error, TimeoutError):
        return TransportError(
            f"{doing} {peer} timed out after {seconds:.1f} s",
            remedy=CHECK_NETWORK,
            try_next_endpoint=True,
            retryable=True,
        )
    if isinstance(error, socket.gaierror):
        is_known = error.errno in _OF_DNS
        why = _OF_DNS.get(error.errno or 0, "DNS knows no address")
        remedy = CHECK_DNS if is_known else no_address_remedy(peer.rpartition(":")[0] or peer)
        return TransportError(f"{why} for {peer}", remedy=remedy, try_next_endpoint=True, retryable=True)
    if isinstance(error, ssl.SSLError) and error.reason in _OF_THIS_SIDE:
        return TransportError(NO_OPENSSL, remedy=REPAIR_OPENSSL)
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return TransportError(
            f"{doing} {peer} failed: the other side does not speak TLS as we do",
            remedy=CHECK_MIDDLEBOX,
            try_next_endpoint=True,
        )
    if isinstance(error, http.client.IncompleteRead):
        return TransportError(f"the answer of {peer} broke off", remedy=CHECK_NETWORK, retryable=True)
    if isinstance(error, OSError):  # http.client's RemoteDisconnected too
        return _connection(error, doing=doing, peer=peer)
    if isinstance(error, http.client.HTTPException):
        return TransportError(f"{peer} did not answer in HTTP", remedy=CHECK_MIDDLEBOX)
    return TransportError(
        f"{doing} {peer} failed ({type(error).__name__})",
        remedy=Remedy("UnforeseenError", "Please report this with the versions."),
    )


def no_address_remedy(host: str) -> Remedy:
    """Return what to do if DNS works and knows no address of *host*: what its form says of the cause.

    >>> no_address_remedy("demo-registry.cn-hangzhou.cr.aliyuncs.com").partition(":")[0]
    "Check the instance's name and region, and in the console that its public entrance is on"
    """
    system = recognise(host.lower())
    if isinstance(system, EnterpriseHost) and not system.vpc:
        where = "Access Control, Internet"
        text = f"Check the instance's name and region, and in the console that its public entrance is on: {where}."
        return Remedy("HostHasNoAddress", text)
    if isinstance(system, EnterpriseHost | PersonalHost) and system.vpc:
        return Remedy(
            "HostHasNoAddress",
            "In the console, link this node's VPC to the instance (Access Control, VPC), and leave its PrivateZone "
            f"record on; or use the public host {host.replace('-vpc.', '.', 1)}. Outside of a VPC only that one works.",
        )
    if isinstance(system, SharedHost) and system.network in ("vpc", "internal", "intl-vpc"):
        public = f"registry.{system.region}.aliyuncs.com"
        text = f"That host is for machines in a VPC of {system.region}; elsewhere use {public}."
        return Remedy("HostHasNoAddress", text)
    region = region_in_service(host.lower())
    if region and about_region(region):
        return Remedy("RegionInvalid", f"Check the region in the settings: {region} {about_region(region)}")
    return CHECK_DNS


def _connection(error: OSError, *, doing: str, peer: str) -> TransportError:
    if isinstance(error, ConnectionRefusedError):
        why = "was refused"
    elif isinstance(error, ConnectionError | ssl.SSLError):
        why = "failed: the connection was closed"
    elif error.errno in _UNREACHABLE:
        why = "failed: there is no route"
    else:
        why = f"failed ({errno.errorcode.get(error.errno or 0, 'unknown cause')})"
    # Closed before the response or during it: the same endpoint is worth another try.
    is_reached = doing == "the call to"
    return TransportError(
        f"{doing} {peer} {why}", remedy=CHECK_NETWORK, try_next_endpoint=not is_reached, retryable=True
    )


def _certificate(code: int, *, peer: str, bundle: str) -> TransportError:
    if code in _NOT_IN_TIME:
        return TransportError(
            f"the TLS certificate of {peer} is {_NOT_IN_TIME[code]} by this node's clock",
            remedy=CHECK_CLOCK,
            try_next_endpoint=True,
        )
    if code in _WRONG_NAME:
        return TransportError(
            f"the TLS certificate of {peer} is for another host", remedy=CHECK_MIDDLEBOX, try_next_endpoint=True
        )
    why = "is not trusted" if code in _NOT_TRUSTED else f"cannot be verified (code {code})"
    return TransportError(
        f"the TLS certificate of {peer} {why} by {bundle}",
        remedy=(
            Remedy(
                "CertificateUntrusted",
                "If a proxy inspects TLS, add its CA certificate to that file or name a file that has it "
                "(caBundle in the settings, or SSL_CERT_FILE); else update the ca-certificates package.",
            )
        ),
        try_next_endpoint=True,
    )
