"""The stubs, as the frozen program sees them: laid over the real packages, in a process of their own."""

import subprocess
import sys

import pytest

from freeze import build, check_stubs


@pytest.fixture(scope="module")
def build_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("build") / "path"
    build.lay_stubs(path)
    return path


@pytest.fixture
def python(build_path):
    def run(code):
        return subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(build_path)!r})\n{code}"],
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_official_client_signs_and_reads_answers_on_the_stubs(python):
    done = python("""
from alibabacloud_credentials.client import Client as CredentialClient
from alibabacloud_cr20181201 import models
from alibabacloud_cr20181201.client import Client
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.runtime import RuntimeOptions

class Offline(Client):
    def call_api(self, params, request, runtime):
        return {"body": {"TempUsername": params.action, "AuthorizationToken": request.query["InstanceId"]}}

client = Offline(Config(region_id="cn-hangzhou"))
body = client.get_authorization_token_with_options(
    models.GetAuthorizationTokenRequest(instance_id="cri-1"), RuntimeOptions()
).body
print(body.temp_username, body.authorization_token)
""")
    assert (done.stdout, done.stderr) == ("GetAuthorizationToken cri-1\n", "")


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ("import aiohttp; aiohttp.ClientSession()", "aiohttp.ClientSession"),
        ("import asyncio; asyncio.sleep(1)", "asyncio.sleep"),
        ("import requests; requests.Session()", "requests.Session"),
        ("import requests; requests.adapters.HTTPAdapter().send(1)", "requests.adapters.HTTPAdapter.send"),
        ("import diskcache; diskcache.FanoutCache()", "diskcache.fanout.FanoutCache"),
        ("import diskcache; diskcache.barrier()", "diskcache.recipes.barrier"),
        ("import Tea.core; Tea.core.TeaCore()", "Tea.core.TeaCore"),
        (
            "from alibabacloud_credentials.client import Client; Client()",
            "alibabacloud_credentials.provider.DefaultCredentialsProvider",
        ),
        (
            "from alibabacloud_tea_openapi.utils import rsa_sign; rsa_sign(b'', '')",
            "cryptography.hazmat.primitives.serialization.load_pem_private_key",
        ),
        (
            "from alibabacloud_cr20181201 import models; models.ListInstanceRequest",
            "alibabacloud_cr20181201.models.ListInstanceRequest",
        ),
    ],
)
def test_what_is_left_out_says_so_by_name_when_it_is_used(call, named, python):
    done = python(call)
    assert f"LeftOutError: {named} is not part of this program" in done.stderr


def test_no_credential_of_the_environment_is_used_in_place_of_ours(python):
    """The official chain of providers is gone, so that nothing can fall back to it."""
    done = python("""
from alibabacloud_credentials import provider
print([name for name in dir(provider) if "Environment" in name or "Profile" in name])
""")
    assert done.stdout == "[]\n"


def test_the_ca_bundle_of_last_resort_is_the_one_that_certifi_ships(python):
    done = python("import certifi; print('BEGIN CERTIFICATE' in certifi.contents())")
    assert done.stdout == "True\n", done.stderr


@pytest.fixture
def shipped(tmp_path):
    def module(name, source):
        file = tmp_path / f"{name}.py"
        file.write_text(source)
        return check_stubs.problems([(name, str(file))], build.STUBS)

    return module


@pytest.mark.parametrize(
    ("name", "source", "problem"),
    [
        ("darabonba.new", "from aiohttp import ClientTimeout", "imports ClientTimeout from aiohttp"),
        ("darabonba.new", "def call():\n    from requests import put", "imports put from requests"),
        ("acr_credential_provider.x", "import asyncio", "imports asyncio, which is only a stub"),
        ("acr_credential_provider.x", "from diskcache.recipes import Lock", "imports diskcache.recipes"),
    ],
    ids=["a name it lacks", "inside a function too", "our own code", "a module laid over a real package"],
)
def test_an_import_that_a_stub_cannot_serve_stops_the_build(name, source, problem, shipped):
    (found,) = shipped(name, source)
    assert problem in found


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("darabonba.core", "import aiohttp\nfrom requests import adapters, Session"),
        ("Tea.core", "import asyncio"),
        ("acr_credential_provider.cache.token_store", "import diskcache"),
        ("acr_credential_provider.cloud.ca_bundle", "from certifi import where"),
    ],
)
def test_an_import_that_works_passes(name, source, shipped):
    assert shipped(name, source) == []
