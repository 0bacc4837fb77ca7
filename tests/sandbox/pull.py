"""Pulls an image as a container runtime does: challenge, token, manifest, blobs, every digest checked.

It is a client and knows nothing of the sandbox's state: what it may pull, a real runtime may.
By hand, with a CredentialProviderResponse on stdin: python -m sandbox.pull IMAGE CA_FILE
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import ssl
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT = 10.0
ACCEPT = "application/vnd.oci.image.manifest.v1+json"
PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class PullError(Exception):
    """The registry did not let the image go; *status* is its HTTP status, 0 if its answer was wrong."""

    def __init__(self, step: str, status: int, reason: str) -> None:
        super().__init__(f"{step}: {status} {reason}")
        self.step = step
        self.status = status


@dataclass(frozen=True)
class PulledImage:
    """What came: the manifest's digest, and the blobs (config first, then layers) with their sizes."""

    digest: str
    blobs: dict[str, int]


def pull(image: str, username: str, password: str, *, ca_file: Path | str, at: str = "") -> PulledImage:
    """Pull *image* (host[:port]/repository[:tag]) with a login; raise `PullError` when refused.

    Without *username* it is pulled anonymously. *at* is the address to connect to, if not the image's host.
    """
    host, _, name = image.partition("/")
    repository, _, tag = name.partition(":")
    trust = ssl.create_default_context(cafile=str(ca_file))
    _get = partial(_get_at, at)

    challenge = _get(trust, f"https://{host}/v2/", {}, step="challenge", expect=401)[0].get("www-authenticate", "")
    parameters = dict(PARAMETER.findall(challenge))
    query = urlencode({"service": parameters["service"], "scope": f"repository:{repository}:pull"})
    basic = base64.b64encode(f"{username}:{password}".encode()).decode()
    who = {"Authorization": f"Basic {basic}"} if username else {}
    _, answer = _get(trust, f"{parameters['realm']}?{query}", who, step="token")
    bearer = {"Authorization": "Bearer " + json.loads(answer)["token"]}

    url = f"https://{host}/v2/{repository}"
    headers, manifest = _get(trust, f"{url}/manifests/{tag or 'latest'}", {**bearer, "Accept": ACCEPT}, step="manifest")
    digest = headers.get("docker-content-digest", "")
    _check("manifest", manifest, digest)
    document = json.loads(manifest)
    blobs = {}
    for blob in (document["config"], *document["layers"]):
        content = _get(trust, f"{url}/blobs/{blob['digest']}", bearer, step="blob")[1]
        _check("blob", content, blob["digest"])
        blobs[blob["digest"]] = len(content)
    return PulledImage(digest, blobs)


def _get_at(
    at: str, trust: ssl.SSLContext, url: str, headers: dict[str, str], *, step: str, expect: int = 200
) -> tuple[dict[str, str], bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(at or parts.netloc, timeout=TIMEOUT, context=trust)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"Host": parts.netloc, **headers})
        response = connection.getresponse()
        body = response.read()
        if response.status != expect:
            raise PullError(step, response.status, _reason(body))
        return {name.lower(): value for name, value in response.getheaders()}, body
    finally:
        connection.close()


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["errors"][0]["message"])
    except (ValueError, LookupError, TypeError):
        return "(no reason given)"


def _check(step: str, content: bytes, digest: str) -> None:
    if "sha256:" + hashlib.sha256(content).hexdigest() != digest:
        raise PullError(step, 0, "content does not have the digest it was asked for by")


def main(image: str, ca_file: str) -> int:
    """Pull *image* with the login that a CredentialProviderResponse on stdin holds for its host."""
    logins = json.load(sys.stdin)["auth"]
    login = next((logins[key] for key in sorted(logins, reverse=True) if f"{image}/".startswith(key)), None)
    if login is None:
        sys.stderr.write(f"no login for this host; there are logins for: {', '.join(logins) or 'none'}\n")
        return 1
    try:
        pulled = pull(image, login["username"], login["password"], ca_file=ca_file)
    except PullError as error:
        sys.stderr.write(f"not pulled: {error}\n")
        return 1
    sys.stdout.write(f"pulled {image}\n  manifest {pulled.digest}\n")
    sys.stdout.writelines(f"  blob     {digest}  {size} bytes\n" for digest, size in pulled.blobs.items())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
