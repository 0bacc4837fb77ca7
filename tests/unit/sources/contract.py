"""What every credential source promises; each source's test inherits this and sets a stage."""

import pytest
from acr_credential_provider.cloud.credential import FixedCredential
from acr_credential_provider.errors import CredentialProviderError
from alibabacloud_credentials_api import ICredentials, ICredentialsProvider
from unit.cloud.safety import CANARY, is_clean


class SourceContract:
    """The stage is set by three fixtures.

    `working`: a source that finds credentials with the canary as their secret.
    `failing`: sources that apply and cannot deliver; each may have met the canary.
    `silent`: sources that do not apply, possibly none.
    """

    @pytest.fixture
    def silent(self):
        return []

    def test_what_it_finds_is_an_official_credential(self, working):
        found = working.find(None)

        assert isinstance(found, ICredentials)
        assert isinstance(FixedCredential(found), ICredentialsProvider)
        assert FixedCredential(found).get_credentials() is found
        assert found.get_access_key_id()
        assert CANARY in found.get_access_key_secret()
        assert found.get_provider_name() in {"static_ak", "static_sts"}

    def test_no_secret_is_in_the_repr_of_source_or_credentials(self, working):
        assert CANARY not in repr(working) + repr(FixedCredential(working.find(None))) + str(working.find(None))

    def test_what_applies_and_fails_raises_and_never_becomes_nothing_or_another(self, failing):
        assert failing
        for source in failing:
            with pytest.raises(CredentialProviderError) as caught:
                source.find(None)
            assert caught.value.remedy
            assert is_clean(caught.value)

    def test_what_does_not_apply_finds_nothing(self, silent):
        assert [source.find(None) for source in silent] == [None] * len(silent)

    def test_the_files_it_depends_on_are_told_without_reading_them(self, working, failing):
        for source in [working, *failing]:
            assert all(isinstance(path, str) and path.startswith("/") for path in source.files())
