"""A client of the sandbox that signs on its own: string by string, as the protocol's text has it."""

import contextlib
import hashlib
import hmac
import http.client
import json
import time
import uuid
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

import pytest
from sandbox import AcrSandbox

VERSION = "2018-12-01"
VERSIONS = {"openapi": VERSION, "sts": "2015-04-01"}


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes = field(repr=False)

    @property
    def document(self):
        return json.loads(self.body)


def send_request(url, *, method="GET", headers=None, body=None, tls=None, timeout=5):
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    with contextlib.closing(kind(parts.netloc, timeout=timeout, **({"context": tls} if tls else {}))) as connection:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())


@dataclass
class ApiCaller:
    """Calls the OpenAPI with one key; every part of the request can be made wrong."""

    sandbox: AcrSandbox
    timeout: float = 5
    clock_error: float = 0  # seconds that the caller's clock is ahead of the cloud's
    nonce: str = ""  # sent with every call, where a new one belongs

    def call(
        self,
        action="GetAuthorizationToken",
        key=None,
        change=None,
        unsigned=(),
        *,
        service="openapi",
        host="",
        **more,
    ):
        """Send *action*; *change* replaces headers after signing, *unsigned* leaves headers out of the signature.

        *host* is the name that is called (default: the address).
        """
        key = key or self.sandbox.key
        listener = getattr(self.sandbox, service)
        parameters = more or {"InstanceId": self.sandbox.instance.id}
        headers = {
            "host": host or listener.address,
            "x-acs-action": action,
            "x-acs-version": VERSIONS[service],
            "x-acs-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.sandbox.clock.now() + self.clock_error)),
            "x-acs-signature-nonce": self.nonce or uuid.uuid4().hex,
            "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        }
        if key.security_token:
            headers |= {"x-acs-security-token": key.security_token, "x-acs-accesskey-id": key.id}
        signed = sorted(set(headers) - set(unsigned))
        query = "&".join(f"{name}={quote(str(value), safe='~')}" for name, value in sorted(parameters.items()))
        lines = ["POST", "/", query, *(f"{name}:{headers[name]}" for name in signed), "", ";".join(signed)]
        canonical = "\n".join([*lines, hashlib.sha256(b"").hexdigest()])
        to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
        signature = hmac.new(key.secret.encode(), to_sign.encode(), "sha256").hexdigest()
        headers["Authorization"] = (
            f"ACS3-HMAC-SHA256 Credential={key.id},SignedHeaders={';'.join(signed)},Signature={signature}"
        )
        headers |= change or {}
        return send_request(
            f"{listener.url}/?{urlencode(parameters)}",
            method="POST",
            headers=headers,
            tls=self.sandbox.client_context(),
            timeout=self.timeout,
        )


@pytest.fixture
def sandbox():
    with AcrSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def api(sandbox):
    return ApiCaller(sandbox)


@pytest.fixture
def caller():
    return ApiCaller


@pytest.fixture
def send():
    return send_request
