"""The identities in files and in the environment, and what the program on nodes leaves to others."""

import json
from pathlib import Path

import pytest
from e2e.asking import assert_refused, change, image_of, principal_of
from sandbox.server import PROVIDER_ARN
from sandbox.state import Principal, Role
from support import guide


def test_the_webhooks_environment_is_enough_for_rrsa(program, sandbox, tmp_path, monkeypatch):
    policies = guide.policies()
    subject = "kube-system/aliyun-acr-credential-helper"
    trust = guide.with_subjects(policies["trust-service-account"], subject)
    sandbox.state.add_role(Role("rrsa-a", trust, policies=(policies["pull"],)))
    token = tmp_path / "token"
    token.write_text(sandbox.add_cluster().token(*subject.split("/")) + "\n")
    settings = change(program, sandbox, identity={"kind": "rrsa"})
    del settings["endpoints"]["sts"]
    program.settings.write_text(json.dumps(settings))
    monkeypatch.setenv("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1234567890123456:role/rrsa-a")
    monkeypatch.setenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", PROVIDER_ARN)
    monkeypatch.setenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE", str(token))
    monkeypatch.setenv("ALIBABA_CLOUD_STS_ENDPOINT", sandbox.sts.address)
    ended = program.ask(image_of(sandbox))
    assert principal_of(sandbox, ended).name == "rrsa-a"
    monkeypatch.setenv("ALIBABA_CLOUD_STS_ENDPOINT", "sts.example.com/?x=")
    program.run(b"", "cache", "clear", "--cache", str(program.cache))
    assert_refused(program.ask(image_of(sandbox)), "ALIBABA_CLOUD_STS_ENDPOINT")


def test_an_sts_session_in_files_is_used_and_read_again_when_it_changes(program, sandbox, tmp_path):
    names = {"accessKeyIdFile": "id", "accessKeySecretFile": "secret", "securityTokenFile": "token"}

    def renew():
        session = sandbox.state.open_session(Principal("robot", kind="AssumedRoleUser"), 3600)
        for name, value in zip(names.values(), (session.id, session.secret, session.security_token), strict=True):
            (tmp_path / name).write_text(value + "\n")
            (tmp_path / name).chmod(0o600)
        return session

    identity = {"kind": "stsSession", **{field: str(tmp_path / name) for field, name in names.items()}}
    change(program, sandbox, identity=identity)
    used = []
    for _ in range(2):
        used.append(renew().id)
        assert program.ask(image_of(sandbox)).code == 0
    assert [call.access_key_id for call in sandbox.calls.all("GetAuthorizationToken")] == used


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        ({"kind": "managedRole"}, ("managedRole", "controller")),
        ({"kind": "profile"}, ("profile", "pip")),
    ],
)
def test_what_the_program_on_nodes_lacks_it_says(frozen, sandbox, identity, words):
    change(frozen, sandbox, identity=identity)
    assert_refused(frozen.ask(image_of(sandbox)), *words)


def test_the_frozen_program_does_not_ship_what_only_the_controller_needs(frozen):
    assert not list(Path(frozen.command[0]).parent.rglob("*cryptography*"))
