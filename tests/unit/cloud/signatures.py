"""ACS3-HMAC-SHA256 from its documentation, independent of the SDK and of our code."""

import hashlib
import hmac
from urllib.parse import parse_qsl, quote, urlsplit


def signature(secret, *, method, path, query, headers, body=b""):
    """Return the signature over *headers* (all of them, lower-case names)."""
    canonical_query = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted(query))
    names = sorted(headers)
    canonical_headers = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    payload = hashlib.sha256(body).hexdigest()
    canonical = "\n".join((method, path, canonical_query, canonical_headers, ";".join(names), payload))
    to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    return hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


def is_signed(head, key_id, secret):
    """Say whether the request *head*, as it was on the wire, carries the right signature."""
    line, *rest = head.rstrip("\r\n").split("\r\n")
    method, target, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)}
    # A verifier joins what comes twice, and computes another signature.
    assert len(headers) == len(rest)
    scheme, _, fields = headers["authorization"].partition(" ")
    parts = dict(field.split("=", 1) for field in fields.split(","))
    signed = {name: headers[name] for name in parts["SignedHeaders"].split(";")}
    # Every one of ours must be signed, or it could be changed on the way.
    assert {name for name in headers if name.startswith("x-acs-")} | {"host"} <= set(signed)
    assert scheme == "ACS3-HMAC-SHA256"
    assert parts["Credential"] == key_id
    assert headers["x-acs-content-sha256"] == hashlib.sha256(b"").hexdigest()
    url = urlsplit(target)
    query = parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query))
    return parts["Signature"] == signature(secret, method=method, path=url.path, query=query, headers=signed)
