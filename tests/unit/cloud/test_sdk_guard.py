"""What the SDKs do at import, seen in a fresh process."""

import json
import os
import subprocess
import sys

import pytest
from unit.cloud.safety import CANARY

PRELUDE = "import json, logging, os, sys\nimport acr_credential_provider.cloud.acr\n"


def run(code, **environ):
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + code],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **environ},
    )


@pytest.fixture(scope="module")
def seen():
    code = (
        "from alibabacloud_credentials.utils import auth_util\n"
        "names = ('credentials', 'darabonba-core', 'alibabacloud-tea')\n"
        "loud = [name for name in names if not logging.getLogger(name).disabled]\n"
        "logging.getLogger('credentials').error('" + CANARY + "')\n"
        "print(json.dumps({'read': str(vars(auth_util)), 'loud': loud, 'left': dict(os.environ)}))"
    )
    environ = {
        "DEBUG": "sdk",
        "ALIBABA_CLOUD_ACCESS_KEY_ID": CANARY,
        "ALIBABA_CLOUD_ROLE_ARN": CANARY,
        "ALIBABA_CLOUD_PROFILE": CANARY,
    }
    done = run(code, **environ)
    return {"stderr": done.stderr, "environ": environ, **json.loads(done.stdout)}


def test_the_sdks_read_nothing_from_the_environment(seen):
    assert CANARY not in seen["read"]


def test_the_environment_is_whole_afterwards(seen):
    assert seen["environ"].items() <= seen["left"].items()


def test_the_sdks_say_nothing(seen):
    assert (seen["loud"], seen["stderr"]) == ([], "")


def test_neither_debug_nor_user_agent_of_the_environment_reaches_a_request():
    code = (
        "from unit.cloud.loopback import serving\n"
        "from unit.cloud.test_acr import an_api, granted\n"
        "with serving(granted()) as server:\n"
        "    an_api(server.url).authorization_token('cri-1', hours=1)\n"
        "print(server.requests[0])"
    )
    done = run(code, DEBUG="sdk", ALIBABA_CLOUD_USER_AGENT="other", HTTP_PROXY="http://127.0.0.1:9")

    assert done.stderr == ""
    assert "other" not in done.stdout
