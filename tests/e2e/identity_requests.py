"""Asks for an image as a pod or as the node, and says who the answer's login belongs to."""

import json

from sandbox.server import PROVIDER_ARN
from sandbox.state import Role
from support import guide
from support.harness import request

ROLE = "pod-identity.alibabacloud.com/role-name"
WORKER = "KubernetesWorkerRole-sandbox"


def image_of(sandbox):
    return sandbox.image.partition(":latest")[0]


def trusting_cluster(sandbox):
    """Add a cluster with RRSA; team-a/app may have the role pull-team-a."""
    policies = guide.policies()
    sandbox.state.add_role(
        Role("pull-team-a", policies["trust-service-account"], policies=(policies["pull"],), max_session_duration=7200)
    )
    return sandbox.add_cluster()


def change(program, sandbox, **registry):
    settings = sandbox.settings()
    settings["registries"][0] |= registry
    program.settings.write_text(json.dumps(settings))
    return settings


def ask_as(program, sandbox, token, role="pull-team-a", **more):
    annotations = {} if role is None else {ROLE: role}
    raw = request(image_of(sandbox), serviceAccountToken=token, serviceAccountAnnotations=annotations)
    return program.run(raw, **more)


def principal_of(sandbox, ended):
    """Return who the answer's login belongs to."""
    return sandbox.state.find_login(*ended.login(sandbox.registry.address)).principal


def assert_refused(ended, *words):
    assert (ended.code, ended.stdout) == (1, b"")
    told = ended.stderr.decode()
    for word in words:
        assert word in told
    assert [line.partition(": ")[0] for line in told.splitlines()] == ["error", "remedy"]


SERVICE_ACCOUNT = {"kind": "serviceAccount", "oidcProviderArn": PROVIDER_ARN}


def forget_failures(program):
    for each in program.cache.rglob("*.failed"):
        each.unlink()
