"""What must hold of every error that leaves the cloud package."""

from acr_credential_provider.model.errors import CredentialProviderError

CANARY = "C4nary.Secret-0xDEADBEEF"


def is_clean(error, canary=CANARY):
    """Say whether *error*, all that hangs on it and all it came from are ours and hold no canary."""
    seen, waiting = set(), [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        assert isinstance(one, CredentialProviderError), f"a foreign {type(one).__name__} rides along"
        texts = [str(one), repr(one), one.problem, one.remedy, repr(vars(one)), *map(repr, one.args)]
        assert not any(canary in text for text in texts)
        assert not any("\n" in text for text in (one.problem, one.remedy))
        waiting += [one.__cause__, one.__context__]
    return True
