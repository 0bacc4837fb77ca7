import os

import pytest
from acr_credential_provider.sources.sts_session import StsSessionSource
from unit.cloud.safety import CANARY
from unit.sources.contract import SourceContract
from unit.sources.stage import find


@pytest.fixture
def session(tmp_path):
    def write(key_id="STS.1", secret=CANARY, token="a+b/c==", mode=0o600):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, text in (("id", key_id), ("secret", secret), ("token", token)):
            (folder / name).write_text(text + "\n")
            (folder / name).chmod(mode)
        return StsSessionSource(*(str(folder / name) for name in ("id", "secret", "token")))

    return write


class TestStsSession(SourceContract):
    @pytest.fixture
    def working(self, session):
        return session()

    @pytest.fixture
    def failing(self, session):
        gone = session()
        os.unlink(gone.token_file)
        return [
            session(token=""),
            session(token=f"{CANARY} {CANARY}"),
            session(mode=0o644),
            session(secret=CANARY * 9999),
            gone,
        ]


def test_a_renewed_session_is_read_whole(session, tmp_path):
    source = session()
    assert find(source).security_token == "a+b/c=="
    for path in source.files():
        with open(path, "w") as file:
            file.write("new")
    found = find(source)
    assert (found.access_key_id, found.access_key_secret, found.security_token) == ("new", "new", "new")
    assert found.expires_in is None
