"""A node in miniature that the doctor is called to, and ways to set it up.

What breaks the kubelet is in `broken_nodes`, who asks in `broken_identities`, the way to the cloud in `broken_network`.
"""

import json

from sandbox.server import PROVIDER_ARN, write_private
from sandbox.state import Principal, Role
from support import guide, harness
from support.node import Node

STEPS = [
    "kubelet",
    "kubelet flags",
    "kubelet config",
    "matchImages",
    "plugin file",
    "kubelet environment",
    "settings",
    "cache folder",
    "registry entry",
    "ServiceAccount token",
    "right to ask for tokens",
    "metadata service",
    "STS endpoint",
    "identity",
    "proxy",
    "DNS",
    "ACR endpoint",
    "clock",
    "ACR hosts",
    "token",
    "registry login",
    "plugin as the kubelet runs it",
]


def catalogue():
    """Return a dict of ways to break a node by their names, and the decorator that notes one there.

    Noted with it are the step that must be named and words of its remedy.
    """
    ways = {}

    def breaks(step, remedy):
        def note(way):
            called = way.__name__.replace("_", " ")
            assert called not in ways
            ways[called] = (way, step, remedy)
            return way

        return note

    return ways, breaks


class World:
    def __init__(self, sandbox, folder, api):
        self.sandbox, self.folder, self.api = sandbox, folder, api
        self.words, self.pod = [], {}
        self.document = sandbox.settings()
        self.registry = self.document["registries"][0]
        self.settings, self.cache = folder / "settings.yaml", folder / "cache"
        self.image = sandbox.image
        self.node = Node(folder, sandbox.image, self.settings, self.cache)
        self.text = None

    def doctor(self, way=harness.frozen, *words):
        self.write()
        words = (self.image, *self.words, *words) if self.image else words
        ended = self.node.run(way(self.settings, self.cache), "doctor", "--output", "json", *words)
        assert ended.stderr == b"", ended.stderr
        return ended

    def pull(self):
        """Ask the plugin as the kubelet does, for the pod if there is one."""
        self.write()
        image = self.image.rpartition(":")[0] if self.image.endswith(":latest") else self.image
        return harness.frozen(self.settings, self.cache).run(harness.request(image, **self.pod))

    def write(self):
        if self.document is not None:
            self.settings.write_text(self.text or json.dumps(self.document))
            self.settings.chmod(0o600)
        self.arrange()

    def arrange(self):
        """Do what must be done once the files are written."""


ANNOTATION = "pod-identity.alibabacloud.com/role-name"


def by_service_accounts(world, **identity):
    """Let pods' ServiceAccounts ask, and the kubelet hand their tokens over."""
    world.sandbox.add_cluster()
    world.registry["identity"] = {"kind": "serviceAccount", "oidcProviderArn": PROVIDER_ARN, **identity}
    world.node.provider["tokenAttributes"] = {
        "serviceAccountTokenAudience": "sts.aliyuncs.com",
        "cacheType": "ServiceAccount",
        "requireServiceAccount": True,
        "optionalServiceAccountAnnotationKeys": [ANNOTATION],
    }
    return world.node.provider["tokenAttributes"]


def as_a_pod(world, subject="app", text="", staticPods="deny", **claims):  # noqa: N803 - as in the settings
    """Try as team-a/*subject* with the role pull-team-a, on a node that may ask for tokens of team-a/app."""
    attributes = by_service_accounts(world, staticPods=staticPods)
    policies = guide.policies()
    trust = policies["trust-service-account"]
    world.sandbox.state.add_role(Role("pull-team-a", trust, policies=(policies["pull"],)))
    world.api.granted = (("sts.aliyuncs.com", "team-a", "app"),)
    world.node.flags.append(f"--kubeconfig={world.api.kubeconfig(world.folder)}")
    file = world.folder / "pods-token"
    token = text or world.sandbox.add_cluster().token("team-a", subject, **claims)
    file.write_text(token + "\n")
    world.pod = {"serviceAccountToken": token, "serviceAccountAnnotations": {ANNOTATION: "pull-team-a"}}
    world.words = ["--token-file", str(file), "--service-account-annotation", f"{ANNOTATION}=pull-team-a"]
    return attributes


def by_token_file(world, subject="app"):
    """Let a ServiceAccount ask whose token is in a file, and who may have the role."""
    policies = guide.policies()
    cluster = world.sandbox.add_cluster()
    trust = policies["trust-service-account"]
    role = world.sandbox.state.add_role(Role("pull-team-a", trust, policies=(policies["pull"],)))
    file = world.folder / "token"
    write_private(file, cluster.token("team-a", subject).encode())
    world.registry["identity"] = {
        "kind": "rrsa",
        "roleArn": role.arn,
        "oidcProviderArn": PROVIDER_ARN,
        "tokenFile": str(file),
    }
    return file


def trusting(*principals):
    allowed = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"RAM": list(principals)}}
    return {"Version": "1", "Statement": [allowed]}


EVERYTHING = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def operator(world):
    """Let a key ask that may assume roles; return its user's ARN."""
    key = world.sandbox.state.add_key(Principal("operator", policies=(EVERYTHING,)))
    world.sandbox.key_id_file.write_text(key.id)
    world.sandbox.key_secret_file.write_text(key.secret)
    return key.principal.arn


def assumed(world, name, trusted, **hop):
    """Add a role that trusts *trusted* (an ARN) to the sandbox, and to the entry's chain."""
    role = world.sandbox.state.add_role(Role(name, trusting(trusted), policies=(EVERYTHING,)))
    world.registry.setdefault("assumeRole", []).append({"roleArn": role.arn, **hop})
    return role


def chain_of_two(world):
    first = assumed(world, "first", operator(world))
    return first, assumed(world, "second", first.arn)


def in_place_of_acr(world, answer):
    """Let another server with the right certificate answer."""
    world.registry["endpoints"] = {"acr": world.sandbox.registry.url}
    world.sandbox.faults.add("registry.unknown", answer)


def to_the_cloud_by_name(world):
    """Loopback is never reached by a proxy."""
    world.registry["endpoints"] = {"acr": "https://cr.example.com"}
