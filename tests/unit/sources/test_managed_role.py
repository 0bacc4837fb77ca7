import base64
import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from acr_credential_provider.model.errors import IdentityUnavailableError
from acr_credential_provider.sources.managed_role import ManagedRoleSource
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from unit.cloud.safety import CANARY
from unit.sources.contract import SourceContract
from unit.sources.stage import find

KEYRING = "fake-keyring1234"


def encrypted(text, *, padded=True, keyring=KEYRING):
    data = text.encode()
    length = 16 - len(data) % 16
    data += bytes([length]) * length if padded else b"\x00" * length
    iv = os.urandom(16)
    encryptor = Cipher(algorithms.AES(keyring.encode()), modes.CBC(iv)).encryptor()
    return base64.b64encode(iv + encryptor.update(data) + encryptor.finalize()).decode()


def token(*, life=28800, **changes):
    ends = datetime.now(UTC) + timedelta(seconds=life)
    return {
        "access.key.id": encrypted("STS.managed"),
        "access.key.secret": encrypted(CANARY),
        "security.token": encrypted("CAIS+/=="),
        "expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "keyring": KEYRING,
        "cluster.type": "ManagedKubernetes",
        **changes,
    }


@pytest.fixture
def write(tmp_path):
    def write(document):
        path = tmp_path / f"token-{len(list(tmp_path.iterdir()))}"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        path.chmod(0o440)
        return ManagedRoleSource(str(path))

    return write


class TestManagedRole(SourceContract):
    @pytest.fixture
    def working(self, write):
        return write(token())

    @pytest.fixture
    def failing(self, write):
        return [
            write(token(life=-5)),
            write(""),
            write(CANARY),
            write("[]"),
            write(token(keyring="short" + CANARY)),
            write(token(keyring=["x"])),
            write(token(keyring="another-key-1234")),
            write(token(**{"access.key.secret": encrypted(CANARY, padded=False)})),
            write(token(**{"access.key.secret": base64.b64encode(CANARY.encode()).decode()})),
            write(token(**{"access.key.secret": encrypted(CANARY)[:-8]})),
            write(token(**{"access.key.secret": "*" + CANARY})),
            write(token(**{"security.token": encrypted("")})),
            write(token(**{"security.token": encrypted("two\nlines")})),
            write(token(expiration="2099-01-01T00:00:00")),
            write(token(expiration=CANARY)),
            write(token(error={"roleName": "x", "code": CANARY, "message": CANARY})),
            write({name: value for name, value in token().items() if name != "security.token"}),
            ManagedRoleSource("/nowhere/token-config"),
        ]


def test_the_life_is_what_is_left_of_it(write):
    found = find(write(token(life=600)))
    assert found.access_key_id == "STS.managed"
    assert found.security_token == "CAIS+/=="
    assert 590 < found.expires_in <= 600


def test_a_rotated_token_is_read_anew(write):
    source = write(token())
    find(source)
    os.chmod(source.path, 0o600)
    with open(source.path, "w") as file:
        json.dump(token(**{"access.key.id": encrypted("STS.next")}), file)
    assert find(source).access_key_id == "STS.next"


def test_a_role_that_was_not_granted_is_told(write):
    with pytest.raises(IdentityUnavailableError, match="not granted") as caught:
        find(write(token(error={"code": "RoleNotExist"})))
    assert "AliyunCSManagedAcrRole" in caught.value.remedy
