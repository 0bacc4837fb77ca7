"""An identity that was asked for and refused never becomes another one: every kind, each call of its way, each failure.

The node has a role that may do everything, and a metadata service that would give it to
anyone: what is asserted is that nobody even looks.
"""

import itertools
import json
import random
import shutil
import time

import guide
import inprocess
import pytest
from acr_credential_provider.errors import CredentialProviderError
from acr_credential_provider.settings import KINDS
from conftest import write_settings
from harness import request
from sandbox.faults import Echo, Failure, Html, NotSuccess, Raw, Redirect, Reset, Throttle
from sandbox.server import PROVIDER_ARN, write_private
from sandbox.state import Principal, Role
from unit.sources.test_managed_role import KEYRING, encrypted

pytestmark = pytest.mark.filterwarnings("ignore:.*:SyntaxWarning")  # the official packages' own

WORKER = "KubernetesWorkerRole-sandbox"
ROLE = "pod-identity.alibabacloud.com/role-name"
EVERYTHING = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
NOBODYS = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "none:None", "Resource": "*"}]}
NOT_REFUSED = {"nodeRole", "login"}
"""The node's role itself, and a password that asks nobody."""
CALLS = ("AssumeRoleWithOIDC", "AssumeRole", "GetAuthorizationToken")
FAULTS = (
    Failure(403, "NoPermission", "no"),
    Failure(404, "EntityNotExist.Role", "no"),
    Failure(400, "InvalidSecurityToken.Expired", "no"),
    Failure(503),
    Throttle(retry_after_ms=60_000),
    Html(),
    Echo(),
    NotSuccess(),
    Raw(body="{}"),
    Redirect("https://127.0.0.9/"),
    Reset("request"),
)


class World:
    """Each kind of identity, set up so that it works, on a node whose own role would do."""

    def __init__(self, sandbox, folder):
        self.sandbox, self.folder = sandbox, folder
        self.cache = folder / "cache"
        self.cluster = sandbox.add_cluster()
        self.keys = []
        trust = guide.policies()["trust-service-account"]
        self.role = sandbox.state.add_role(Role("pull-team-a", trust, policies=(EVERYTHING,)))
        trusts = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]}
        trusts["Statement"][0]["Principal"] = {
            "RAM": [f"acs:ram::{guide.ACCOUNT_B}:root", "acs:ram::1234567890123456:root"]
        }
        self.second = sandbox.state.add_role(Role("acr-pull", trusts, policies=(EVERYTHING,)))

    def file(self, name, content):
        path = self.folder / name
        write_private(path, content.encode())
        return str(path)

    def session(self):
        session = self.sandbox.state.open_session(
            Principal("robot", kind="AssumedRoleUser", policies=(EVERYTHING,)), 3600
        )
        self.keys.append(session.id)
        return session

    def key(self):
        key = self.sandbox.state.add_key(Principal("operator", policies=(EVERYTHING,)))
        self.keys.append(key.id)
        return key

    def identity(self, kind):
        """Return an identity of *kind* that works; its own keys are in `keys`."""
        self.keys.clear()
        if kind == "accessKey":
            return {"kind": kind, **self.halves(self.key())}
        if kind == "sts":
            session = self.session()
            return {"kind": kind, **self.halves(session), "securityTokenFile": self.file("st", session.security_token)}
        if kind.startswith("serviceAccount"):
            without = {"withoutRole": "nodeRole"} if kind.endswith("+nodeRole") else {}
            return {"kind": "serviceAccount", "oidcProviderArn": PROVIDER_ARN, **without}
        if kind == "rrsa":
            token = self.file("rrsa-token", self.cluster.token("team-a", "app"))
            return {"kind": kind, "roleArn": self.role.arn, "oidcProviderArn": PROVIDER_ARN, "tokenFile": token}
        return self._not_on_nodes(kind)

    def _not_on_nodes(self, kind):
        if kind == "managedRole":
            session = self.session()
            ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
            secret = {"access.key.id": session.id, "access.key.secret": session.secret}
            sealed = {
                name: encrypted(text) for name, text in (secret | {"security.token": session.security_token}).items()
            }
            return {
                "kind": kind,
                "tokenFile": self.file("addon", json.dumps({**sealed, "expiration": ends, "keyring": KEYRING})),
            }
        if kind == "addonSecret":
            key = self.key()
            (self.folder / "addon-secret").mkdir(exist_ok=True)
            self.file("addon-secret/access-key-id", key.id)
            self.file("addon-secret/access-key-secret", key.secret)
            return {"kind": kind, "directory": str(self.folder / "addon-secret")}
        key = self.key()
        profile = {"name": "default", "mode": "AK", "access_key_id": key.id, "access_key_secret": key.secret}
        config = {"current": "default", "profiles": [profile]}
        return {"kind": "profile", "file": self.file("profiles.json", json.dumps(config))}

    def halves(self, key):
        return {"accessKeyIdFile": self.file("id", key.id), "accessKeySecretFile": self.file("secret", key.secret)}

    def ask(self, identity, hops, *, role="pull-team-a", token=None):
        """Pull cold as team-a/app; return who the answer's login belongs to, None when it was refused."""
        document = self.sandbox.settings()
        document["registries"][0] |= {"identity": identity, "assumeRole": [{"roleArn": self.second.arn}] * hops}
        settings = write_settings(self.folder, document)
        shutil.rmtree(self.cache, ignore_errors=True)
        pod = {}
        if identity["kind"] == "serviceAccount":
            token = self.cluster.token("team-a", "app") if token is None else token
            pod = {"serviceAccountToken": token, "serviceAccountAnnotations": {ROLE: role}}
        raw = request(self.sandbox.image.partition(":latest")[0], **pod)
        try:
            answer = json.loads(inprocess.ask(raw, settings, self.cache))
        except CredentialProviderError:
            return None
        (login,) = answer["auth"].values()
        return self.sandbox.state.find_login(login["username"], login["password"]).principal.name

    def assert_nobody_was_the_node(self, found):
        assert found != WORKER
        assert self.sandbox.calls.count("metadata.credentials") == 0
        assert self.sandbox.calls.count("metadata.role") == 0


@pytest.fixture
def world(sandbox, tmp_path):
    return World(sandbox, tmp_path)


KINDS_HERE = [
    "accessKey",
    "sts",
    "serviceAccount",
    "serviceAccount+nodeRole",
    "rrsa",
    "managedRole",
    "addonSecret",
    "profile",
]


def test_every_kind_of_the_settings_is_tried():
    assert {each.partition("+")[0] for each in KINDS_HERE} | NOT_REFUSED == set(KINDS)


@pytest.mark.parametrize("kind", KINDS_HERE)
def test_a_failing_call_on_its_way_never_ends_as_the_node(world, kind):
    dice = random.Random(kind)
    ways = list(itertools.product(CALLS, FAULTS, (0, 1, 2)))
    refused = 0
    assert world.ask(world.identity(kind), 1) == "acr-pull", "it works as long as nothing fails"
    for call, fault, hops in dice.sample(ways, 30):
        identity = world.identity(kind)
        world.sandbox.faults.add(call, fault)
        found = world.ask(identity, hops)
        world.sandbox.faults.clear()
        world.assert_nobody_was_the_node(found)
        refused += found is None
    assert refused > 8
    assert world.ask(world.identity(kind), 0), "and again when nothing fails any more"


SPOILT = {
    "its files are gone": lambda world: [each.unlink() for each in world.folder.rglob("*") if each.is_file()],
    "its files are empty": lambda world: [each.write_bytes(b"") for each in world.folder.rglob("*") if each.is_file()],
    "its key was removed": lambda world: [world.sandbox.state.remove_key(each) for each in world.keys],
    "its provider is not registered": lambda world: world.sandbox.state.remove_oidc_provider(PROVIDER_ARN),
    "its role trusts nobody": lambda world: world.sandbox.state.add_role(
        Role("pull-team-a", guide.with_subjects(guide.policies()["trust-service-account"], "no/body"))
    ),
    "its role may nothing": lambda world: world.sandbox.state.add_role(
        Role("pull-team-a", guide.policies()["trust-service-account"], policies=(NOBODYS,))
    ),
}
OF_FILES = {"accessKey", "sts", "rrsa", "managedRole", "addonSecret", "profile"}
OF_KEYS = OF_FILES - {"rrsa"}
OF_TOKENS = {"serviceAccount", "serviceAccount+nodeRole", "rrsa"}


@pytest.mark.parametrize("hops", [0, 1])
@pytest.mark.parametrize("kind", KINDS_HERE)
def test_an_identity_that_is_spoilt_never_ends_as_the_node(sandbox, tmp_path, kind, hops):
    for name, spoil in SPOILT.items():
        concerned = OF_FILES if "files" in name else OF_KEYS if "key" in name else OF_TOKENS
        if kind not in concerned:
            continue
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        world = World(sandbox, folder)
        identity = world.identity(kind)
        spoil(world)
        found = world.ask(identity, hops)
        world.assert_nobody_was_the_node(found)
        assert found is None, name


@pytest.mark.parametrize("kind", ["serviceAccount", "serviceAccount+nodeRole"])
def test_a_bad_token_or_annotation_never_ends_as_the_node(world, kind):
    good = world.cluster.token("team-a", "app")
    tokens = [
        world.cluster.token("team-a", "app", life=-5),
        world.cluster.token("team-a", "app", audience="another"),
        world.cluster.token("team-b", "app"),
        good[:-9],
        good.rpartition(".")[0] + ".",
        "no.token.at-all",
        " ",
    ]
    for token in tokens:
        found = world.ask(world.identity(kind), 0, token=token)
        world.assert_nobody_was_the_node(found)
        assert found is None
    for role in ("", "absent", "acs:ram::9876543210987654:role/x", "pull-team-a\n", "x" * 70_000):
        found = world.ask(world.identity(kind), 0, role=role)
        world.assert_nobody_was_the_node(found)
        assert found is None
