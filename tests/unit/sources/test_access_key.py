import os
from pathlib import Path

import pytest
from acr_credential_provider.model.errors import IdentityUnavailableError
from acr_credential_provider.sources.access_key import AccessKeySource
from unit.cloud.safety import CANARY, is_clean
from unit.sources.contract import SourceContract
from unit.sources.stage import find

SECRET = CANARY.encode() + b"\n"


@pytest.fixture
def pair(tmp_path):
    """Return a function that writes both halves and gives the source of them."""

    def write(key_id=b"LTAI-1\n", secret=SECRET, mode=0o600):
        paths = []
        for name, content in (("id", key_id), ("secret", secret)):
            path = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
            path.write_bytes(content)
            path.chmod(mode)
            paths.append(str(path))
        return AccessKeySource(*paths)

    return write


class TestAccessKey(SourceContract):
    @pytest.fixture
    def working(self, pair):
        return pair()

    @pytest.fixture
    def failing(self, pair, tmp_path):
        good = pair()
        fifo = str(tmp_path / "fifo")
        os.mkfifo(fifo, 0o600)
        return [
            pair(secret=b""),
            pair(secret=b" \n"),
            pair(secret=b"id=" + CANARY.encode() + b"\nsecret=" + CANARY.encode()),
            pair(secret=CANARY.encode() + b"\xff"),
            pair(secret=CANARY.encode() * 999),
            pair(mode=0o644),
            pair(mode=0o640),
            pair(mode=0o602),
            AccessKeySource(good.id_file, "/nowhere/secret"),
            AccessKeySource(good.id_file, str(tmp_path)),
            AccessKeySource(good.id_file, fifo),
            AccessKeySource("/dev/zero", good.secret_file),
            AccessKeySource(good.id_file + "\0", good.secret_file),
        ]


def test_the_halves_come_without_the_white_space_around_them(pair):
    found = find(pair(b" LTAI-1 \r\n", b"\n" + CANARY.encode()))

    assert (found.access_key_id, found.access_key_secret, found.security_token) == ("LTAI-1", CANARY, "")
    assert found.expires_in is None


def test_a_mounted_secret_is_read_through_its_symlinks(pair, tmp_path):
    source = pair(mode=0o400)
    (tmp_path / "..data").symlink_to(source.secret_file)
    (tmp_path / "secret").symlink_to("..data")

    assert find(AccessKeySource(source.id_file, str(tmp_path / "secret"))).access_key_secret == CANARY


@pytest.mark.parametrize(
    ("spoil", "remedy"),
    [
        (lambda path: Path(path).chmod(0o644), "new file of root's with mode 0600"),
        (lambda path: os.truncate(path, 0), "Write one half"),
        (os.unlink, "Write one half"),
    ],
)
def test_the_error_names_the_file_and_the_fix(spoil, remedy, pair):
    source = pair()
    spoil(source.secret_file)

    with pytest.raises(IdentityUnavailableError) as caught:
        find(source)
    assert source.secret_file in caught.value.problem
    assert remedy in caught.value.remedy
    assert is_clean(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_believed(pair):
    source = pair()
    os.chown(source.secret_file, 65534, 65534)

    with pytest.raises(IdentityUnavailableError, match="belongs to user 65534"):
        find(source)


def test_a_rotated_key_works_at_once(pair, tmp_path):
    source = pair()
    find(source)
    Path(source.id_file).write_text("LTAI-2")

    assert find(source).access_key_id == "LTAI-2"


def test_both_files_are_told(pair):
    source = pair()

    assert source.files() == (source.id_file, source.secret_file)
