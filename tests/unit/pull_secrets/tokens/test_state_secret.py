"""What replicas share, read from a Secret that may hold anything."""

import json
from base64 import b64encode

import pytest
from acr_credential_provider.pull_secrets.tokens.state_secret import MOST_NAMES, ReplicaState


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        ('["acr-credential-a", "", "a/b", "UPPER", 7, null]', ("acr-credential-a",)),
        ('"abc"', ()),
        ('{"acr-credential-a": 1}', ()),
        ("[" * 100_000, ()),
        ('["a"' + ',["b"' * 50_000, ()),
        ('{"a":' * 100_000, ()),
    ],
)
def test_only_what_a_secret_can_be_called_is_taken_for_a_name_of_ours(listed, names):
    assert ReplicaState.decode({"names.json": b64encode(listed.encode()).decode()}).names == names


def test_each_name_counts_once_and_a_crowd_of_them_costs_few_watches():
    listed = json.dumps(["a", "a", *(f"login-{number}" for number in range(10_000))])
    names = ReplicaState.decode({"names.json": b64encode(listed.encode()).decode()}).names
    assert names[:2] == ("a", "login-0")
    assert len(names) == MOST_NAMES
