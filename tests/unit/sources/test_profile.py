import json

import pytest
from acr_credential_provider.sources.profile import ProfileSource
from unit.cloud.safety import CANARY
from unit.sources.contract import SourceContract

pytestmark = pytest.mark.filterwarnings("ignore")  # the official package's own


@pytest.fixture
def write(tmp_path):
    def write(*profiles, current="default"):
        path = tmp_path / f"config-{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps({"current": current, "profiles": profiles}))
        return str(path)

    return write


KEY = {"name": "default", "mode": "AK", "access_key_id": "LTAI-1", "access_key_secret": CANARY}
SESSION = {"name": "other", "mode": "StsToken", "access_key_id": "STS.1", "access_key_secret": CANARY, "sts_token": "t"}


class TestProfile(SourceContract):
    @pytest.fixture
    def working(self, write):
        return ProfileSource(write(KEY))

    @pytest.fixture
    def failing(self, write, tmp_path):
        (tmp_path / "odd").write_text(CANARY)
        return [
            ProfileSource("/nowhere/config.json"),
            ProfileSource(str(tmp_path / "odd")),
            ProfileSource(write(KEY), "absent"),
            ProfileSource(write({**KEY, "mode": CANARY})),
            ProfileSource(write({**KEY, "access_key_id": ""})),
        ]


def test_a_profile_is_chosen_by_name_or_is_the_current_one(write):
    path = write(KEY, SESSION, current="other")
    assert ProfileSource(path, "default").find(None).access_key_id == "LTAI-1"
    found = ProfileSource(path).find(None)
    assert (found.access_key_id, found.security_token) == ("STS.1", "t")
