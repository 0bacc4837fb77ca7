"""What every credential source promises; each source's test inherits this and sets a stage."""

import pytest
from acr_credential_provider.model.cloud_credential import FixedCredential
from acr_credential_provider.model.errors import CredentialProviderError
from alibabacloud_credentials_api import ICredentials, ICredentialsProvider
from unit.cloud.safety import CANARY, is_clean
from unit.sources.stage import find


class SourceContract:
    """The stage is set by fixtures.

    `working`: a source that finds credentials with the canary as their secret.
    `asked`: the request that all are asked with, None by default.
    `failing`: sources that apply and cannot deliver; each may have met the canary.
    `silent`: sources that do not apply, possibly none.
    """

    @pytest.fixture
    def asked(self):
        return None

    @pytest.fixture
    def silent(self):
        return []

    def test_what_it_finds_is_an_official_credential(self, working, asked):
        found = find(working, asked)

        assert isinstance(found, ICredentials)
        assert isinstance(FixedCredential(found), ICredentialsProvider)
        assert FixedCredential(found).get_credentials() is found
        assert found.get_access_key_id()
        assert CANARY in found.get_access_key_secret()
        assert found.get_provider_name() in {"static_ak", "static_sts"}

    def test_no_secret_is_in_the_repr_of_source_or_credentials(self, working, asked):
        found = find(working, asked)

        assert CANARY not in repr(working) + repr(FixedCredential(found)) + str(found)
        assert CANARY not in repr(working.principal(asked))

    def test_who_it_would_find_is_told_the_same_each_time_and_fits_a_session_name(self, working, asked):
        who = working.principal(asked)

        assert who == working.principal(asked)
        assert who.key
        assert 2 <= len(who.session) <= 64
        assert set(who.session) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.@_-")

    def test_what_applies_and_fails_raises_and_never_becomes_nothing_or_another(self, failing, asked):
        assert failing
        for source in failing:
            with pytest.raises(CredentialProviderError) as caught:
                find(source, asked)
            assert caught.value.remedy
            assert is_clean(caught.value)

    def test_what_does_not_apply_finds_nothing_and_nobody(self, silent, asked):
        assert [find(source, asked) for source in silent] == [None] * len(silent)
        assert [source.principal(asked) for source in silent] == [None] * len(silent)

    def test_the_files_it_depends_on_are_told_without_reading_them(self, working, failing):
        for source in [working, *failing]:
            assert all(isinstance(path, str) and path.startswith("/") for path in source.files())
