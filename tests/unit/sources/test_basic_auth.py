import pytest
from acr_credential_provider.model.errors import IdentityUnavailableError
from acr_credential_provider.sources.basic_auth import BasicAuth, read_basic_auth
from unit.cloud.safety import CANARY, is_clean


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "username", tmp_path / "password"]
    for path, content in zip(paths, ("me@1234567890\n", f" {CANARY} with a space \n"), strict=True):
        path.write_text(content)
        path.chmod(0o600)
    return paths


def test_both_files_are_read_without_the_white_space_around_them(files):
    assert read_basic_auth(*map(str, files)) == BasicAuth("me@1234567890", f"{CANARY} with a space")


def test_no_password_is_in_its_repr(files):
    assert CANARY not in repr(read_basic_auth(*map(str, files)))


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"\xff", b"a\0b", b"a\tb", CANARY.encode() * 999])
def test_what_is_not_one_line_of_text_is_refused_and_not_shown(files, content):
    files[1].write_bytes(content)
    with pytest.raises(IdentityUnavailableError) as caught:
        read_basic_auth(*map(str, files))
    assert str(files[1]) in caught.value.problem
    assert "the password" in caught.value.remedy
    assert is_clean(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_use_is_refused(files, mode):
    files[0].chmod(mode)
    with pytest.raises(IdentityUnavailableError, match=f"mode {mode:04o}"):
        read_basic_auth(*map(str, files))


def test_a_user_name_with_a_colon_is_refused_because_a_registry_would_read_another_one(files):
    files[0].write_text("me:too\n")
    with pytest.raises(IdentityUnavailableError, match="colon") as caught:
        read_basic_auth(*map(str, files))
    assert str(files[0]) in caught.value.problem
    assert is_clean(caught.value)
