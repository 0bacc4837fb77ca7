"""A tenant starts Pods: with images, tokens and annotations that are to lead the plugin to others' hosts and roles."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading

import pytest
from e2e.assertions import DEADLINE
from e2e.identity_requests import ROLE, WORKER, forget_failures, trusting_cluster
from hostile.attacks import Attacks
from sandbox.server import ISSUER, PROVIDER_ARN
from support import harness, kubelet

ATTACKS = Attacks("Tenant with edit in a namespace")
ANSWER = harness.API_VERSIONS[0]


@pytest.fixture
def puller(node):
    """The node's plugin for Pods with roles of their own; team-a/app may have the role pull-team-a, and nobody else."""
    document = json.loads(node.settings.read_text())
    document["registries"][0]["identity"] = {"kind": "serviceAccount", "oidcProviderArn": PROVIDER_ARN}
    node.settings.write_text(json.dumps(document))
    node.settings.chmod(0o600)
    node.issuer = trusting_cluster(node.sandbox)
    node.plugin = node.plugin_with(node.roots / "var/cache/pods")
    node.before = node.of_root()
    node.prove = lambda: proved(node)
    return node


def proved(node):
    """Nothing of root's changed, no secret was said, and team-a/app pulls with its own role."""
    assert node.of_root() == node.before
    node.prove_silent()
    forget_failures(node.plugin)  # for the seconds that they last
    ended = pull(node, node.issuer.token("team-a", "app"))
    assert ended.code == 0, ended
    assert owner(node, ended) == "pull-team-a"
    assert ended.seconds < DEADLINE


def pull(node, token, role="pull-team-a", image="", **more):
    annotations = {} if role is None else {ROLE: role}
    raw = harness.request(image or node.image, serviceAccountToken=token, serviceAccountAnnotations=annotations, **more)
    ended = node.plugin.run(raw)
    node.heard.append(ended.stderr)
    assert b"Traceback" not in ended.stderr
    return ended


def owner(node, ended):
    return node.sandbox.state.find_login(*ended.login(node.sandbox.registry.address)).principal.name


def refused(node, ended):
    assert (ended.code, ended.stdout) == (1, b""), ended
    lines = ended.stderr.decode().splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["error", "remedy"]
    assert node.sandbox.calls.count("metadata.credentials") == 0
    return lines[0][:150]


# Hosts.
IMAGES = [
    "{host}@attacker.example/team/app",
    "attacker.example/{host}/team/app",
    "{host}.attacker.example/team/app",
    "attacker.example#{host}/team/app",
    "attacker.example?{host}/team/app",
    "attacker.example\\@{host}/team/app",
    "user:password@{host}/team/app",
    "https://{host}/team/app",
    "//{host}/team/app",
    "{host}%2eattacker.example/team/app",
    "{name}./team/app",
    "{name}.:{port}/team/app",
    "{name}:1/team/app",
    "{name}:{port}0/team/app",
    "{name}:0{port}/team/app",
    "{name}:+{port}/team/app",
    "{name}:/team/app",
    "{name} :{port}/team/app",
    "{name}\n:{port}/team/app",
    "\uff11\uff12\uff17.0.0.1:{port}/team/app",
    "127.1:{port}/team/app",
    "2130706433:{port}/team/app",
    "0x7f000001:{port}/team/app",
    "[::ffff:127.0.0.1]:{port}/team/app",
    "[{name}]:{port}/team/app",
    "{host}\x00.attacker.example/team/app",
    "x{host}/team/app",
    "{host}x/team/app",
    "sandbox-registry.cn-hangzhou.cr.aliyuncs.com.attacker.example/x",
    "sandbox-registry-cn-hangzhou-cr-aliyuncs-com/x",
    "sandbox-registry.cn-hangzhou.cr.aliyuncs.com@attacker.example/x",
    "xn--sandbox-registry.cn-hangzhou.cr.aliyuncs.com/x",
    "sandbox\u2010registry.cn-hangzhou.cr.aliyuncs.com/x",
    "sandbox-registry.cn-hangzhou.cr.\u0430liyuncs.com/x",
    "sandbox-registry.cn-hangzhou.cr\u3002aliyuncs.com/x",
    "*/team/app",
    "*.cr.aliyuncs.com/x",
    "{host}," + "attacker.example/x",
    "h" * 100_000 + "/x",
    "{host}/" + "x" * 200_000,
    "{host}",
    "",
    "/",
    "..",
    "\x1b[2J/x",
    "{host}\r\nX-Evil: 1/x",
]


@ATTACKS.tries(
    "get a token sent to another host by an odd image name",
    "he starts a Pod with the image {}",
    must="the kubelet has no login for any host but the registry itself",
    each={repr(each)[:80]: each for each in IMAGES},
)
def an_odd_image(puller, image):
    host = puller.sandbox.registry.address
    name, port = host.split(":")
    image = image.format(host=host, name=name, port=port)
    ended = pull(puller, puller.issuer.token("team-a", "app"), image=image)
    if ended.code:
        return refused(puller, ended)
    logins = kubelet.logins(ended.stdout, 0, image=image, api_version=ANSWER) if ended.document["auth"] else []
    assert list(ended.document["auth"]) in ([], [host]), ended.document
    assert not logins or image.startswith((f"{host}/", host)), image
    assert not logins or image.partition("/")[0] == host
    return f"an answer for {list(ended.document['auth']) or 'no host'}"


# Roles.
ROLES = {
    "of team-b": "pull-team-b",
    "of the node": WORKER,
    "by ARN": "acs:ram::1234567890123456:role/pull-team-a",
    "of another account": "acs:ram::9876543210987654:role/admin",
    "with a path": "../../role/admin",
    "in capitals": "PULL-TEAM-A\u0130",
    "with a parameter more": "pull-team-a&DurationSeconds=999999",
    "with a line break": "pull-team-a\nerror: x",
    "with a NUL": "pull-team-a\0",
    "that is empty": "",
    "of a hundred thousand letters": "x" * 100_000,
    "in another script": "pull-te\u0430m-a",
    "with a wildcard": "*",
}


@ATTACKS.tries(
    "claim another role by annotation",
    "team-b's Pod has the annotation of a role {}",
    must="STS or the plugin refuses it; nobody becomes the node",
    each=ROLES,
)
def a_role_by_annotation(puller, role):
    return refused(puller, pull(puller, puller.issuer.token("team-b", "app"), role=role))


# Tokens.
def part(document):
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


def claims_of(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def changed(node, head=None, **claims):
    """Return a token of team-b/app whose claims were changed to team-a/app's, with the signature as it was."""
    of_a, of_b = node.issuer.token("team-a", "app"), node.issuer.token("team-b", "app")
    first, _, signature = of_b.split(".")
    return f"{part(head) if head else first}.{part({**claims_of(of_a), **claims})}.{signature}"


def by_hmac(node):
    """Signed with the issuer's public key as a shared secret, which a verifier may confuse."""
    token = node.issuer.token("team-a", "app")
    body = f"{part({'alg': 'HS256', 'kid': 'x'})}.{token.split('.')[1]}"
    key = json.dumps(node.issuer.keys, default=str).encode()
    signature = base64.urlsafe_b64encode(hmac.new(key, body.encode(), hashlib.sha256).digest()).decode().rstrip("=")
    return f"{body}.{signature}"


TOKENS = {
    "with the claims of team-a's": changed,
    "with the algorithm none": lambda node: changed(node, {"alg": "none"}).rpartition(".")[0] + ".",
    "with the algorithm nOnE": lambda node: changed(node, {"alg": "nOnE"}),
    "signed with the public key as a secret": by_hmac,
    "with a key of his in its head": lambda node: changed(
        node, {"alg": "RS256", "jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}
    ),
    "with the address of his keys in its head": lambda node: changed(
        node, {"alg": "RS256", "jku": "https://127.0.0.66/keys", "x5u": "https://127.0.0.66/"}
    ),
    "with a key's name that is a path": lambda node: changed(node, {"alg": "RS256", "kid": "../../../../dev/null"}),
    "that lives for ever": lambda node: changed(node, exp=253402300799),
    "with an issuer of his": lambda node: changed(node, iss="https://127.0.0.66/"),
    "with the issuer's name and more": lambda node: changed(node, iss=f"{ISSUER}@127.0.0.66/"),
    "for two audiences": lambda node: changed(node, aud=["sts.aliyuncs.com", "https://kubernetes.default.svc"]),
    "for the API server": lambda node: node.issuer.token("team-b", "app", audience="https://kubernetes.default.svc"),
    "that has ended": lambda node: node.issuer.token("team-a", "app", life=-5),
    "with a subject of two accounts": lambda node: changed(
        node, sub="system:serviceaccount:team-a:app system:serviceaccount:team-b:app"
    ),
    "with a subject in another script": lambda node: changed(node, sub="system:serviceaccount:te\u0430m-a:app"),
    "with claims that come twice": lambda node: changed(node).replace(".", "." + part({"sub": "x"})[:0], 1),
    "nested a hundred thousand deep": lambda node: (
        f"{part({'alg': 'RS256'})}.{base64.urlsafe_b64encode(b'[' * 10000).decode()}.x"
    ),
    "of two megabytes": lambda node: changed(node, x="y" * 600_000),
    "with a line break": lambda node: changed(node) + "\n.x",
    "that is empty": lambda node: "",
    "that is dots": lambda node: "." * 1000,
}


@ATTACKS.tries(
    "become the node by a bad token or a refused role",
    "a Pod's token {}",
    must="it is refused before or by STS; nobody becomes the node, and nothing is kept",
    each=TOKENS,
)
def a_forged_token(puller, make):
    ended = pull(puller, make(puller))
    told = refused(puller, ended)
    assert not list(puller.plugin.cache.rglob("*.memo"))
    return told


@ATTACKS.tries(
    "pull images of others by starting a Pod",
    "team-b's Pod pulls right after team-a's, with the same image, role and node",
    must="it is refused",
)
def a_pull_after_others(puller):
    mine = pull(puller, puller.issuer.token("team-a", "app"))
    assert owner(puller, mine) == "pull-team-a"
    told = refused(puller, pull(puller, puller.issuer.token("team-b", "app")))
    assert owner(puller, pull(puller, puller.issuer.token("team-a", "app"))) == "pull-team-a"
    return told


@ATTACKS.tries(
    "wear a node or the cloud out with pulls",
    "{}",
    must="few calls, and another's pull is answered meanwhile",
    each=[
        "thirty Pods of one image at once, whose role is refused",
        "thirty Pods with images of thirty hosts at once",
        "thirty Pods with tokens that are none at once",
    ],
)
def a_crowd_of_pods(puller, case):
    token = "x" if "none" in case else puller.issuer.token("team-b", "app")
    before = puller.sandbox.calls.count("AssumeRoleWithOIDC")
    ended = []

    def one(number):
        image = f"registry-{number}.example.com/x" if "hosts" in case else puller.image
        ended.append(pull(puller, token, image=image))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(30)]
    for each in threads:
        each.start()
    good = pull(puller, puller.issuer.token("team-a", "app"))
    for each in threads:
        each.join()
    assert owner(puller, good) == "pull-team-a"
    calls = puller.sandbox.calls.count("AssumeRoleWithOIDC") - before
    assert calls <= 4
    assert len(ended) == 30
    return f"{calls} calls to STS; team-a's pull took {good.seconds:.1f} s"


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_a_tenant_gets_no_token_of_others(attack, puller):
    attack.carry_out(puller)
