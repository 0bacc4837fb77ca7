"""The claims of a ServiceAccount's token: what the cache key names is what STS is asked for."""

import math
from base64 import urlsafe_b64encode

from acr_credential_provider.fastpath.lookup import token_subject
from acr_credential_provider.model.errors import ServiceAccountTokenRefusedError
from acr_credential_provider.sources.oidc_token import OidcToken
from fuzz.promises import check_error

HEADER = urlsafe_b64encode(b'{"alg":"RS256"}').decode().rstrip("=")


def fuzz(data):
    check(data.decode("utf-8", "surrogateescape"))
    check(f"{HEADER}.{urlsafe_b64encode(data).decode().rstrip('=')}.c2ln")


def check(text):
    try:
        token = OidcToken.parse(text)
        token.check(audience="sts.aliyuncs.com", issuer=None, provider_arn="acs:ram::1:oidc-provider/x", now=1000.0)
    except ServiceAccountTokenRefusedError as error:
        check_error(error)
    try:
        token = OidcToken.parse(text)
    except ServiceAccountTokenRefusedError:
        return
    assert all(map(math.isfinite, (token.expires_at, token.not_before)))
    assert token.subject == f"system:serviceaccount:{token.namespace}:{token.name}"
    try:
        subject = token_subject(token.text, {})
    except (ValueError, LookupError, TypeError):
        return
    namespace, name, *_ = eval(subject)
    assert (namespace, name) == (token.namespace, token.name), subject
