"""The webhook's certificate and the authority of our own that signs it, shared by all replicas.

They rotate without a gap, in steps that any replica may take, each one write of the Secret that tests its version:

1. **announce**: the next authority is added to the caBundle;
2. **switch**: an overlap later, once the API server has it in its configuration, it signs the certificate;
3. **retire**: another overlap later the old authority leaves the caBundle.

A replica that has not seen the Secret for half an overlap is not ready, so every ready one serves a trusted
certificate. Times are the API server's, from its answers, because it validates the certificates.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from acr_credential_provider.pull_secrets.model.names import LABELS, PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from acr_credential_provider.pull_secrets.model.owner_reference import Reference

SECRET = f"{PREFIX}-webhook"
"""The Secret in the controller's own namespace."""
_DAY = 86400.0
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds of validity. With a third of them left, renewal is due."""

    authority: float = 730 * _DAY
    certificate: float = 90 * _DAY
    overlap: float = 3600.0
    """Between announce and switch, and between switch and retire."""
    skew: float = _DAY
    """Seconds before now at which validity begins, for an API server whose clock is behind."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    def _times(self) -> tuple[float, float]:
        parsed = x509.load_pem_x509_certificate(self.certificate)
        return parsed.not_valid_before_utc.timestamp(), parsed.not_valid_after_utc.timestamp()

    @property
    def expiry(self) -> float:
        """When it ends, in seconds since the epoch."""
        return self._times()[1]

    def is_due(self, now: float, *, skew: float) -> bool:
        """True if it is to be renewed: a third of its life is left, or it is not valid now at all."""
        begin, end = self._times()
        begin += skew
        return not begin - skew <= now < end - (end - begin) / 3


@dataclass(frozen=True, slots=True)
class Certificates:
    """All that the Secret holds; *since* is when the last of the three steps was taken."""

    serving: KeyPair
    authority: KeyPair
    next: KeyPair | None = None
    previous: bytes = b""
    since: float = 0.0

    @property
    def trusted(self) -> bytes:
        """The caBundle: every authority that may have signed a replica's certificate (PEM)."""
        others = [self.next.certificate] if self.next else []
        return b"".join([self.authority.certificate, *others, self.previous])

    def data(self) -> dict[str, str]:
        """Return the Secret's data."""
        pairs = {"tls": self.serving, "ca": self.authority} | ({"next-ca": self.next} if self.next else {})
        files = {f"{name}.crt": pair.certificate for name, pair in pairs.items()}
        files |= {f"{name}.key": pair.key for name, pair in pairs.items()}
        files |= {"previous-ca.crt": self.previous} if self.previous else {}
        files["since"] = repr(self.since).encode()
        return {name: b64encode(content).decode("ascii") for name, content in sorted(files.items())}

    @classmethod
    def read(cls, data: Mapping[str, str]) -> Certificates | None:
        """Return the certificates in *data*; None if they do not fit together, as after somebody's edit."""
        try:
            files = {name: b64decode(content, validate=True) for name, content in data.items()}
            since = float(files["since"])
            upcoming = KeyPair(files["next-ca.crt"], files["next-ca.key"]) if "next-ca.crt" in files else None
            certificates = cls(
                serving=KeyPair(files["tls.crt"], files["tls.key"]),
                authority=KeyPair(files["ca.crt"], files["ca.key"]),
                next=upcoming,
                previous=files.get("previous-ca.crt", b""),
                since=since,
            )
            _check(certificates)
        except Exception:  # noqa: BLE001 - cryptography has a kind of its own for each flaw of a certificate
            return None
        return certificates


def _check(certificates: Certificates) -> None:
    """Raise an error unless keys and certificates belong together, and have what `step` reads of them."""
    if not math.isfinite(certificates.since):
        raise ValueError("no time")
    names_of(certificates.serving)
    for pair in (certificates.serving, certificates.authority, *([certificates.next] if certificates.next else [])):
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        if _key(pair).public_key() != certificate.public_key():
            raise ValueError("key and certificate differ")
        _ = pair.expiry
        if pair is not certificates.serving:
            certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    leaf = x509.load_pem_x509_certificate(certificates.serving.certificate)
    issuers = [x509.load_pem_x509_certificate(pem) for pem in _PEM.findall(certificates.trusted)]
    if not any(_is_issued_by(leaf, issuer) for issuer in issuers):
        raise ValueError("no trusted authority signed the certificate")


def _is_issued_by(leaf: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 - InvalidSignature, and whatever else says no
        return False
    return True


def _key(pair: KeyPair) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pair.key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not a key of ours")
    return key


def first(host: str, *, now: float, lives: Lifetimes) -> Certificates:
    """Return a new authority and certificate for *host*."""
    authority = _make_authority(now, lives)
    return Certificates(_issue(authority, host, now, lives), authority, since=now)


def step(certificates: Certificates, host: str, *, now: float, lives: Lifetimes, is_next_trusted: bool) -> Certificates:
    """Return the successor of *certificates* at *now*, one step further at most; the same if nothing is due.

    *is_next_trusted* is whether the API server's configuration has ``certificates.next``.
    """
    # Nothing is left to keep of an authority that has expired; and the moment may be one of a clock since put right.
    is_over = abs(now - certificates.since) >= lives.overlap or now >= certificates.authority.expiry
    upcoming = certificates.next or certificates.authority
    if upcoming.is_due(now, skew=lives.skew):
        return replace(certificates, next=_make_authority(now, lives), since=now)
    if certificates.next is not None:
        if is_over and is_next_trusted:
            serving = _issue(certificates.next, host, now, lives)
            return Certificates(serving, certificates.next, previous=certificates.authority.certificate, since=now)
    elif certificates.previous and is_over:
        return replace(certificates, previous=b"", since=now)
    is_due = certificates.serving.is_due(now, skew=lives.skew) or host not in names_of(certificates.serving)
    if is_due and now < certificates.authority.expiry:
        return replace(certificates, serving=_issue(certificates.authority, host, now, lives))
    return certificates


def names_of(pair: KeyPair) -> list[str]:
    """Return the host names that *pair*'s certificate is for."""
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


def manifest(
    namespace: str, certificates: Certificates, resource_version: str = "", owner: Reference | None = None
) -> dict[str, Any]:
    """Return the Secret's manifest, to replace the one of *resource_version* or to be created."""
    meta: dict[str, Any] = {
        "name": SECRET,
        "namespace": namespace,
        "labels": {"app.kubernetes.io/managed-by": LABELS["app.kubernetes.io/managed-by"]},
    }
    if resource_version:
        meta["resourceVersion"] = resource_version
    if owner is not None:
        meta["ownerReferences"] = [owner.document()]
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": certificates.data()}


def _make_authority(now: float, lives: Lifetimes) -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    # Named by its time, because two authorities of one name cannot be told apart in verification.
    name = _name(f"{PREFIX} webhook authority {int(now)}")
    builder = _builder(key, name, now, lives.authority, lives.skew).issuer_name(name)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs=True), critical=True)
    return _signed(builder, key, key)


def _issue(authority: KeyPair, host: str, now: float, lives: Lifetimes) -> KeyPair:
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    key = ec.generate_private_key(ec.SECP256R1())
    # Not longer than its authority: the API server would refuse it earlier than we renew it.
    life = min(lives.certificate, issuer.not_valid_after_utc.timestamp() - now)
    builder = _builder(key, _name(f"{PREFIX} webhook"), now, life, lives.skew).issuer_name(issuer.subject)
    names = x509.SubjectAlternativeName([x509.DNSName(host), x509.DNSName(f"{host}.cluster.local")])
    builder = builder.add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
    )
    return _signed(builder, key, _key(authority))


def _builder(
    key: ec.EllipticCurvePrivateKey, name: x509.Name, now: float, life: float, skew: float
) -> x509.CertificateBuilder:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(now - skew))
        .not_valid_after(_moment(now + life))
        .add_extension(identifier, critical=False)
    )


def _signed(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> KeyPair:
    certificate = builder.sign(signer, hashes.SHA256())
    plain = serialization.NoEncryption()
    return KeyPair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain),
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(seconds), tz=dt.UTC)
