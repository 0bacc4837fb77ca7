"""What sources are given in tests: a cloud that answers from this process, and tokens that look right."""

from __future__ import annotations

import base64
import json
import time

from acr_credential_provider.fastpath.lookup import API_VERSIONS, ROLE_ANNOTATION
from acr_credential_provider.model.cloud_credential import CloudCredential
from acr_credential_provider.model.errors import CredentialProviderError, IdentityUnavailableError
from acr_credential_provider.model.protocol import CredentialProviderRequest
from unit.cloud.safety import CANARY

CLUSTER = "c0123"
PROVIDER = f"acs:ram::1111:oidc-provider/ack-rrsa-{CLUSTER}"
ISSUER = f"https://oidc-ack-cn-hangzhou.oss-cn-hangzhou.aliyuncs.com/{CLUSTER}"
NODE = CloudCredential("STS.node", CANARY + "-node", "node-token", 3600.0)


def encoded(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def token(namespace="team", name="app", *, uid="u-1", life=3600.0, header=None, signature="c2ln", **changes):
    claims = {
        "iss": ISSUER,
        "sub": f"system:serviceaccount:{namespace}:{name}",
        "aud": ["sts.aliyuncs.com"],
        "exp": int(time.time() + life),
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
        **changes,
    }
    return f"{encoded(header or {'alg': 'RS256'})}.{encoded(claims)}.{signature}"


def request(text="", *, role="pull", image="a.example/team/app"):
    annotations = {} if role is None else {ROLE_ANNOTATION: role}
    return CredentialProviderRequest(API_VERSIONS[0], image, text, annotations)


class FakeMetadata:
    """A node with a role, or one that cannot say."""

    def __init__(self, error: CredentialProviderError | None = None):
        self.error = error

    def role_name(self):
        return "node-role"

    def role_credential(self, role):
        if self.error:
            raise self.error
        return NODE


class FakeSts:
    """STS that gives a session to whom it is asked for, and writes down what it was asked."""

    def __init__(self, error: CredentialProviderError | None = None):
        self.error = error
        self.asked = []

    def assume_role(self, role, *, caller):
        return self._answer(role, caller.access_key_id)

    def assume_role_with_oidc(self, role, *, provider_arn, token, subject=""):
        return self._answer(role, f"{provider_arn} {subject}")

    def _answer(self, role, caller):
        self.asked.append((role, caller))
        if self.error:
            raise self.error
        return CloudCredential(f"STS.{role.arn}", CANARY, "session-token", float(role.seconds))


class FakeCloud:
    """What sources work with; *error* is what STS says, `endpoints` what it was reached by."""

    def __init__(
        self, error: CredentialProviderError | None = None, metadata_error: CredentialProviderError | None = None
    ):
        self.service = FakeSts(error)
        self.node = FakeMetadata(metadata_error)
        self.kept = {}
        self.endpoints = []

    def metadata(self, *, allow_v1):
        return self.node

    def sts(self, named=""):
        self.endpoints.append(named)
        return self.service

    def session(self, key, fetch):
        if key not in self.kept:
            self.kept[key] = fetch()
        return self.kept[key]


NO = IdentityUnavailableError("no", remedy="none")


def find(source, asked=None):
    """Return the credentials that *source* has for the request *asked*, None when it does not apply."""
    principal = source.principal(asked)
    return None if principal is None else source.find(principal)
