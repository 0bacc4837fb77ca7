"""What replicas share, read from a Secret that may hold anything."""

from base64 import b64encode

import pytest
from acr_credential_provider.pull_secrets.tokens.state_secret import ReplicaState


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        ('["acr-credential-a", "", "a/b", "UPPER", 7, null]', ("acr-credential-a",)),
        ('"abc"', ()),
        ('{"acr-credential-a": 1}', ()),
    ],
)
def test_only_what_a_secret_can_be_called_is_taken_for_a_name_of_ours(listed, names):
    assert ReplicaState.decode({"names.json": b64encode(listed.encode()).decode()}).names == names
