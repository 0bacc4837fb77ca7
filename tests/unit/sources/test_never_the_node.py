"""An identity that was asked for and refused never becomes the node's role: all kinds, all failures."""

import json

import pytest
from acr_credential_provider.model.errors import (
    CloudUnreachableError,
    CredentialProviderError,
    IdentityUnavailableError,
    RoleRefusedError,
    ThrottledError,
)
from acr_credential_provider.settings import AssumedRole
from acr_credential_provider.sources.factory import create_source
from hypothesis import given
from hypothesis import strategies as st
from support.judged import from_document
from unit.sources.stage import NODE, PROVIDER, FakeCloud, find, request, token

FILES = {"accessKeyIdFile": "/nowhere/id", "accessKeySecretFile": "/nowhere/secret"}
ERRORS = (RoleRefusedError, ThrottledError, CloudUnreachableError, IdentityUnavailableError)

identities = st.sampled_from(
    [
        {"kind": "accessKey", **FILES},
        {"kind": "stsSession", **FILES, "securityTokenFile": "/nowhere/token"},
        {"kind": "serviceAccount", "oidcProviderArn": PROVIDER},
        {"kind": "serviceAccount", "oidcProviderArn": PROVIDER, "withoutRole": "nodeRole"},
        {"kind": "serviceAccount", "oidcProviderArn": PROVIDER, "withoutRole": "nodeRole", "staticPods": "nodeRole"},
        {"kind": "rrsa", "tokenFile": "/nowhere/token", "roleArn": "acs:ram::1:role/r", "oidcProviderArn": PROVIDER},
        {"kind": "rrsa"},
        {"kind": "managedRole", "tokenFile": "/nowhere/token"},
        {"kind": "addonSecret", "directory": "/nowhere"},
    ]
)
tokens = st.one_of(
    st.just(token()),
    st.text(max_size=40),
    st.builds(
        lambda aud, life: token(aud=aud, life=life), st.sampled_from(["x", "sts.aliyuncs.com"]), st.integers(-9, 9)
    ),
    st.builds(lambda iss: token(iss=iss), st.text(max_size=20)),
    st.builds(lambda text, at: text[:at], st.just(token()), st.integers(1, len(token()) - 1)),
)
chains = st.lists(st.just(AssumedRole("acs:ram::2:role/b")), max_size=2)


def registry(identity):
    document = {
        "apiVersion": "aliyun-acr-credential-provider/v1",
        "kind": "ProviderSettings",
        "registries": [{"instanceId": "cri-1", "identity": identity}],
    }
    return from_document(json.loads(json.dumps(document))).registries[0]


@given(
    identity=identities,
    chain=chains,
    text=tokens,
    role=st.one_of(st.text(max_size=70), st.just("pull")),
    error=st.sampled_from(ERRORS).map(lambda kind: kind("no", remedy="none")),
)
def test_what_is_refused_never_ends_as_the_node(identity, chain, text, role, error):
    """There is a token, there is a role, and everything but the node's own role says no."""
    if identity.get("staticPods") == "nodeRole" and not text:
        return  # a pod without a token, to which the settings do give the node's role
    cloud = FakeCloud(error)
    source = create_source(registry(identity).identity, chain, cloud=cloud)
    with pytest.raises(CredentialProviderError):
        find(source, request(text, role=role))
    assert cloud.service.asked == [] or cloud.service.asked[0][1] != NODE.access_key_id


@given(error=st.sampled_from(ERRORS).map(lambda kind: kind("no", remedy="none")), hops=st.integers(1, 3))
def test_a_refused_hop_never_ends_as_the_one_before(error, hops):
    cloud = FakeCloud(error)
    chain = [AssumedRole("acs:ram::2:role/b")] * hops
    with pytest.raises(type(error)):
        find(create_source(registry({"kind": "nodeRole"}).identity, chain, cloud=cloud))
