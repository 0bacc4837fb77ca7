"""The judge of our answers judges as a real kubelet 1.36.2 was seen to."""

import json

import pytest
from support.kubelet import DiscardedError, logins

V1 = "credentialprovider.kubelet.k8s.io/v1"
IMAGE = "127.0.0.1:15000/team/app"
LOGIN = {"username": "u", "password": "p"}


def answer(**changes):
    document = {
        "kind": "CredentialProviderResponse",
        "apiVersion": V1,
        "cacheKeyType": "Registry",
        "cacheDuration": "10m0s",
        "auth": {"127.0.0.1:15000": LOGIN},
    }
    return json.dumps({key: value for key, value in {**document, **changes}.items() if value != "absent"}).encode()


@pytest.mark.parametrize(
    ("stdout", "code"),
    [
        (answer(), 1),
        (answer(), 3),
        (b"not JSON", 0),
        (b"", 0),
        (answer(apiVersion="credentialprovider.kubelet.k8s.io/v1beta1"), 0),
        (answer(kind="Secret"), 0),
        (answer(cacheKeyType="ServiceAccount"), 0),
        (answer(cacheDuration=600), 0),
        (answer(cacheDuration="600"), 0),
        (answer(extra="field"), 0),
        (answer(auth={"127.0.0.1:15000": {**LOGIN, "identitytoken": "x"}}), 0),
        (b"a log line\n" + answer(), 0),
        (b"kind: CredentialProviderResponse\n", 0),
    ],
)
def test_what_a_kubelet_discarded_is_discarded(stdout, code):
    with pytest.raises(DiscardedError):
        logins(stdout, code, image=IMAGE, api_version=V1)


@pytest.mark.parametrize(
    ("stdout", "count"),
    [
        (answer(), 1),
        (answer(cacheDuration="absent"), 1),
        (answer(auth=None), 0),
        (answer(auth={}), 0),
        (answer(auth={"127.0.0.1": LOGIN}), 0),
        (answer(auth={"127.0.0.1:15000/*": LOGIN}), 0),
        (answer(auth={"https://127.0.0.1:15000/v2/": LOGIN}), 1),
        (answer(auth={"127.0.0.1:15000/team/ap": LOGIN}), 1),
        (answer(auth={"127.0.0.1:15000/team/app": LOGIN, "*.*.*.*:15000": LOGIN}), 2),
    ],
)
def test_what_a_kubelet_took_is_taken(stdout, count):
    assert logins(stdout, 0, image=IMAGE, api_version=V1) == [("u", "p")] * count
