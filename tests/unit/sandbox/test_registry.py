"""The registry lets in who holds a living login of the very instance, and nobody else."""

import base64
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sandbox.oci import runnable_image, small_image
from sandbox.pull import PullError, pull
from sandbox.state import Instance, Principal


@pytest.fixture
def login(sandbox):
    return sandbox.state.mint_login(sandbox.key, sandbox.instance.id, life=3600)


@pytest.fixture
def pull_with(sandbox):
    def pull_with(username, password, image=None):
        return pull(image or sandbox.image, username, password, ca_file=sandbox.ca_file)

    return pull_with


def test_a_login_that_acr_granted_pulls(api, pull_with, sandbox):
    granted = api.call().document

    pulled = pull_with(granted["TempUsername"], granted["AuthorizationToken"])

    assert len(pulled.blobs) == 2
    assert [call.operation for call in sandbox.calls.all()] == [
        "GetAuthorizationToken",
        "registry.v2",
        "registry.auth",
        "registry.manifest",
        "registry.blob",
        "registry.blob",
    ]


def test_a_kubelets_answer_is_enough_to_pull_by_hand(login, sandbox):
    response = {"auth": {sandbox.registry.address: {"username": login.username, "password": login.password}}}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "sandbox.pull", sandbox.image, str(sandbox.ca_file)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        input=json.dumps(response).encode(),
        capture_output=True,
        check=False,
        timeout=30,
    )

    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.startswith(b"pulled 127.0.0.1:")
    assert login.password.encode() not in ran.stdout


def test_the_challenge_names_the_instance_as_acr_names_it(sandbox, send):
    answer = send(f"https://{sandbox.registry.address}/v2/", tls=sandbox.client_context())

    assert answer.status == 401
    assert answer.headers["Www-Authenticate"] == (
        f'Bearer realm="https://{sandbox.registry.address}/auth",'
        f'service="registry.aliyuncs.com:cn-hangzhou:china:{sandbox.instance.id}"'
    )


@pytest.mark.parametrize(
    ("username", "password"),
    [("cr_temp_user", "made:up"), ("someone", None), ("", "")],
    ids=["not minted here", "another user name", "nothing"],
)
def test_other_logins_are_refused(pull_with, login, username, password):
    with pytest.raises(PullError, match="token: 401"):
        pull_with(username, login.password if password is None else password)


def test_a_login_dies_and_so_do_the_bearers_it_bought(pull_with, sandbox, send):
    login = sandbox.state.mint_login(sandbox.key, sandbox.instance.id, life=60)
    basic = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
    url = f"https://{sandbox.registry.address}"
    granted = send(
        f"{url}/auth?service={sandbox.instance.service}&scope=repository:team/app:pull",
        headers={"Authorization": "Basic " + basic},
        tls=sandbox.client_context(),
    ).document
    manifest = f"{url}/v2/team/app/manifests/latest"
    bearer = {"Authorization": "Bearer " + granted["token"]}

    assert send(manifest, headers=bearer, tls=sandbox.client_context()).status == 200
    sandbox.clock.skew = 61
    assert send(manifest, headers=bearer, tls=sandbox.client_context()).status == 401
    with pytest.raises(PullError, match="token: 401"):
        pull_with(login.username, login.password)


def test_a_revoked_login_is_refused(pull_with, login, sandbox):
    sandbox.state.revoke_logins()

    with pytest.raises(PullError, match="token: 401"):
        pull_with(login.username, login.password)


def test_a_login_of_one_instance_does_not_open_another(pull_with, login, sandbox):
    other = sandbox.add_registry(Instance.usual("cri-other", name="other"), "127.0.0.2")

    with pytest.raises(PullError, match="token: 401"):
        pull_with(login.username, login.password, image=f"{other}/team/app")
    own = sandbox.state.mint_login(sandbox.key, "cri-other", life=60)
    assert pull_with(own.username, own.password, image=f"{other}/team/app").blobs


def test_who_may_not_pull_gets_a_bearer_that_opens_nothing(pull_with, sandbox):
    key = sandbox.state.add_key(Principal("no-pull", actions=frozenset({"cr:GetAuthorizationToken"})))
    login = sandbox.state.mint_login(key, sandbox.instance.id, life=60)

    with pytest.raises(PullError, match="manifest: 401 insufficient_scope"):
        pull_with(login.username, login.password)


def test_an_unknown_repository_looks_like_a_forbidden_one(pull_with, login, sandbox):
    with pytest.raises(PullError, match="manifest: 401 insufficient_scope"):
        pull_with(login.username, login.password, image=f"{sandbox.registry.address}/team/secret")


def test_a_repository_may_hold_an_image_of_its_own(login, pull_with, sandbox, tmp_path):
    program = tmp_path / "busybox"
    program.write_bytes(b"#!")
    own = runnable_image("own", program)
    sandbox.state.add_instance(replace(sandbox.instance, images={"team/app": own}))

    pulled = pull_with(login.username, login.password)

    assert pulled.digest == own.digest != small_image().digest
    assert pulled.blobs.keys() == own.blobs.keys()
    assert runnable_image("other", program).digest != own.digest
