"""The replicas' state Secret: what is damaged in it counts as absent."""

import json

from acr_credential_provider.pull_secrets.tokens.state_secret import ReplicaState


def fuzz(data):
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not (isinstance(document, dict) and all(isinstance(value, str) for value in document.values())):
        return  # the API server checks these types
    state = ReplicaState.decode(document)
    assert ReplicaState.decode(state.encode()) == state
