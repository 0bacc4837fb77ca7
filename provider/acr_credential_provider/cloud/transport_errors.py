"""Names what went wrong on the way to the cloud, in our own words.

The texts of foreign exceptions can quote requests and answers, so none is passed on: a
failure is recognised by its class, its errno or OpenSSL's verify code.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl

from acr_credential_provider.model.errors import CloudUnreachableError

from .dial import NameLookupTimeoutError

CHECK_NETWORK = "Check this node's routes, security groups and firewalls to that host, or set a proxy in the settings."
CHECK_DNS = "Check /etc/resolv.conf and that this node can reach its DNS servers."
CHECK_CLOCK = "Correct this node's clock (chrony or ntp)."
CHECK_MIDDLEBOX = (
    "Something between this node and Alibaba Cloud answered in its place (a proxy or a captive portal): "
    "check HTTPS_PROXY, NO_PROXY and the proxy in the settings."
)

_NOT_TRUSTED = {18, 19, 20, 21}  # X509_V_ERR_*: self-signed, self-signed in chain, no issuer, unverifiable leaf
_NOT_IN_TIME = {9: "not valid yet", 10: "expired"}
_WRONG_NAME = {62, 64}
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}


class TransportError(CloudUnreachableError):
    """One try brought no usable answer.

    `elsewhere`: another endpoint may be reached although this one was not.
    `again`: the same endpoint may do better a moment later.
    """

    def __init__(
        self,
        problem: str,
        *,
        remedy: str,
        try_next_endpoint: bool = False,
        retryable: bool = False,
    ) -> None:
        super().__init__(problem, remedy=remedy)
        self.elsewhere = try_next_endpoint
        self.again = retryable


NO_OPENSSL = "no call can be signed or encrypted: this process's OpenSSL has no usable protocol, cipher or digest"
REPAIR_OPENSSL = (
    "Look at this machine's openssl.cnf (its folder: openssl version -d): providers that can be loaded, one with all "
    "algorithms among them, and TLS 1.2 allowed. The frozen program reads none: install its whole folder again."
)
_OF_THIS_SIDE = {
    "LIBRARY_HAS_NO_CIPHERS",
    "NO_CIPHERS_AVAILABLE",
    "NO_CIPHER_MATCH",
    "NO_PROTOCOLS_AVAILABLE",
    "NULL_SSL_METHOD_PASSED",
    "UNABLE_TO_LOAD_SSL3_MD5_ROUTINES",
}
"""OpenSSL's reasons that come before a byte is sent: a configuration, or a provider, that leaves nothing to use."""


def explain(  # noqa: PLR0911  # a table, read from the particular to the general
    error: Exception, *, doing: str, where: str, bundle: str, seconds: float
) -> TransportError:
    """Return what *error* means for an operator, while *doing* something with *where*.

    *seconds* is how long it was tried, *bundle* the CA bundle in use.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error.verify_code, where=where, bundle=bundle)
    if isinstance(error, NameLookupTimeoutError):
        return TransportError(
            f"DNS did not answer for {where} within {seconds:.1f} s",
            remedy=CHECK_DNS,
            try_next_endpoint=True,
            retryable=True,
        )
    if isinstance(error, TimeoutError):
        return TransportError(
            f"{doing} {where} timed out after {seconds:.1f} s",
            remedy=CHECK_NETWORK,
            try_next_endpoint=True,
            retryable=True,
        )
    if isinstance(error, socket.gaierror):
        why = "DNS failed for now" if error.errno == socket.EAI_AGAIN else "DNS knows no address"
        return TransportError(f"{why} for {where}", remedy=CHECK_DNS, try_next_endpoint=True, retryable=True)
    if isinstance(error, ssl.SSLError) and error.reason in _OF_THIS_SIDE:
        return TransportError(NO_OPENSSL, remedy=REPAIR_OPENSSL)
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return TransportError(
            f"{doing} {where} failed: the other side does not speak TLS as we do",
            remedy=CHECK_MIDDLEBOX,
            try_next_endpoint=True,
        )
    if isinstance(error, http.client.IncompleteRead):
        return TransportError(f"the answer of {where} broke off", remedy=CHECK_NETWORK, retryable=True)
    if isinstance(error, OSError):  # http.client's RemoteDisconnected too
        return _connection(error, doing=doing, where=where)
    if isinstance(error, http.client.HTTPException):
        return TransportError(f"{where} did not answer in HTTP", remedy=CHECK_MIDDLEBOX)
    return TransportError(
        f"{doing} {where} failed ({type(error).__name__})", remedy="Please report this with the versions."
    )


def _connection(error: OSError, *, doing: str, where: str) -> TransportError:
    if isinstance(error, ConnectionRefusedError):
        why = "was refused"
    elif isinstance(error, ConnectionError | ssl.SSLError):
        why = "failed: the connection was closed"
    elif error.errno in _UNREACHABLE:
        why = "failed: there is no route"
    else:
        why = f"failed ({errno.errorcode.get(error.errno or 0, 'unknown cause')})"
    # Closed before the first byte of an answer or in the midst of it: the same host is worth another try.
    reached = doing == "the call to"
    return TransportError(f"{doing} {where} {why}", remedy=CHECK_NETWORK, try_next_endpoint=not reached, retryable=True)


def _certificate(code: int, *, where: str, bundle: str) -> TransportError:
    if code in _NOT_IN_TIME:
        return TransportError(
            f"the TLS certificate of {where} is {_NOT_IN_TIME[code]} by this node's clock",
            remedy=CHECK_CLOCK,
            try_next_endpoint=True,
        )
    if code in _WRONG_NAME:
        return TransportError(
            f"the TLS certificate of {where} is for another host", remedy=CHECK_MIDDLEBOX, try_next_endpoint=True
        )
    why = "is not trusted" if code in _NOT_TRUSTED else f"cannot be verified (code {code})"
    return TransportError(
        f"the TLS certificate of {where} {why} by {bundle}",
        remedy=(
            "If a proxy inspects TLS, add its CA certificate to that file or name a file that has it "
            "(caBundle in the settings, or SSL_CERT_FILE); else update the ca-certificates package."
        ),
        try_next_endpoint=True,
    )
