"""Each kind of identity set up so that it works against the sandbox, for tests of what all of them promise."""

import json
import shutil
import time
from dataclasses import replace

from acr_credential_provider.model.errors import CredentialProviderError
from conftest import write_settings
from sandbox.server import PROVIDER_ARN, write_private
from sandbox.state import ACCOUNT, Principal, Role
from unit.sources.test_managed_role import KEYRING, encrypted

from support import guide, inprocess
from support.harness import request

WORKER = "KubernetesWorkerRole-sandbox"
ROLE = "pod-identity.alibabacloud.com/role-name"
EVERYTHING = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
NOBODYS = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "none:None", "Resource": "*"}]}
ASKING = (
    "accessKey",
    "stsSession",
    "serviceAccount",
    "serviceAccount+nodeRole",
    "rrsa",
    "managedRole",
    "addonSecret",
    "profile",
)
"""Every kind but the node's role itself, and login, a password that asks nobody."""
ALL = (*ASKING, "nodeRole")
OWNER = {
    "serviceAccount": "pull-team-a",
    "serviceAccount+nodeRole": "pull-team-a",
    "rrsa": "pull-team-a",
    "stsSession": "robot",
    "managedRole": "robot",
    "nodeRole": WORKER,
}
"""Who an identity is when it works, as the login's principal; the others are "operator"."""


class World:
    """Each kind of identity, set up so that it works, on a node whose own role would do."""

    def __init__(self, sandbox, folder):
        self.sandbox, self.folder = sandbox, folder
        self.cache = folder / "cache"
        self.cluster = sandbox.add_cluster()
        self.keys = []
        self.image = sandbox.image.partition(":latest")[0]
        self.registry = {}
        """What the entry of the settings has otherwise than `pull` says; None: not at all."""
        trust = guide.policies()["trust-service-account"]
        self.role = sandbox.state.add_role(Role("pull-team-a", trust, policies=(EVERYTHING,)))
        trusts = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]}
        trusts["Statement"][0]["Principal"] = {"RAM": [f"acs:ram::{ACCOUNT}:root"]}
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
        if kind == "nodeRole":
            # A role that may do everything, as the others may.
            self.sandbox.node.role = replace(self.sandbox.node.role, policies=(EVERYTHING,))
            return {"kind": kind}
        if kind == "accessKey":
            return {"kind": kind, **self.halves(self.key())}
        if kind == "stsSession":
            session = self.session()
            return {"kind": kind, **self.halves(session), "securityTokenFile": self.file("st", session.security_token)}
        if kind.startswith("serviceAccount"):
            without = dict.fromkeys(["withoutRole", "staticPods"], "nodeRole") if kind.endswith("+nodeRole") else {}
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

    def ask(self, identity, hops=0, *, role="pull-team-a", token=None):
        """Pull cold as team-a/app; return who the answer's login belongs to, None when it was refused."""
        self.forget()
        try:
            return self.pull(identity, hops, role=role, token=token)
        except CredentialProviderError:
            return None

    def forget(self):
        """Make the node one that never pulled."""
        shutil.rmtree(self.cache, ignore_errors=True)

    def forget_failures(self):
        """Let the seconds pass for which a failure is told again."""
        for each in self.cache.rglob("*.failed"):
            each.unlink()

    def pull(self, identity, hops=0, *, role="pull-team-a", token=None, seconds=10.0):
        """Pull as team-a/app; return who the answer's login belongs to, or raise `CredentialProviderError`."""
        document = self.sandbox.settings()
        entry = document["registries"][0]
        entry |= {"identity": identity, "assumeRole": [{"roleArn": self.second.arn}] * hops, **self.registry}
        document["registries"] = [{name: value for name, value in entry.items() if value is not None}]
        settings = self.folder / "settings.yaml"
        if not settings.exists() or json.loads(settings.read_text()) != document:
            write_settings(self.folder, document)
        pod = {}
        if identity["kind"] == "serviceAccount":
            token = self.cluster.token("team-a", "app") if token is None else token
            pod = {"serviceAccountToken": token, "serviceAccountAnnotations": {ROLE: role}}
        raw = request(self.image, **pod)
        answer = json.loads(inprocess.ask(raw, settings, self.cache, seconds=seconds))
        (login,) = answer["auth"].values()
        return self.sandbox.state.find_login(login["username"], login["password"]).principal.name

    def assert_nobody_was_the_node(self, found):
        assert found != WORKER
        assert self.sandbox.calls.count("metadata.credentials") == 0
        assert self.sandbox.calls.count("metadata.role") == 0
