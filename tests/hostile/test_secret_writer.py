"""Who may write Secrets of our namespace damages those of the controller, and the webhook's."""

from __future__ import annotations

import base64
import datetime as dt
import json

import pytest
import trustme
from cluster.kube import KubeError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hostile.attacks import Attacks
from hostile.seats.cluster import BYSTANDER, MERGE, NAME, NUMBERS, OWN, SECRET, Caller, names

ATTACKS = Attacks("Writer of Secrets in the release's namespace")
SECRETS = f"/api/v1/namespaces/{OWN}/secrets"
STATE, CERTIFICATES = f"{SECRETS}/{NAME}-tokens", f"{SECRETS}/{NAME}-webhook"
CONFIGURATION = f"/api/v1/namespaces/{OWN}/configmaps/{NAME}-pull-secrets-settings"
MUST = "it counts as absent, or is put right; the controller goes on"


@pytest.fixture
def writer(cluster):
    cluster.writer()
    return Caller(cluster, OWN, "writer")


def encoded(content):
    return base64.b64encode(content if isinstance(content, bytes) else content.encode()).decode()


@ATTACKS.tries(
    "change the state Secret `aliyun-acr-credential-provider-tokens`",
    "its tokens become {}",
    must=MUST,
    each={
        "no JSON": "{",
        "a list": "[]",
        "a number without end": "1e999",
        "nested a hundred thousand deep": "[" * 100_000,
        "tokens that are no text": '{"tokens": {"x": {"password": [1], "expires_at": "soon"}}}',
        "tokens for odd hosts": '{"x": {"hosts": ["../../x", "a\\nb", "*"], "password": "p", "expires_at": 9e15}}',
        "no UTF-8": b"\xff\xfe",
        "nine hundred kilobytes": "x" * 900_000,
    },
)
def tokens_of_the_state(writer, content):
    return changed(writer, STATE, {"data": {"tokens.json": encoded(content), "names.json": encoded("[1, {}, null]")}})


@ATTACKS.tries(
    "change the state Secret `aliyun-acr-credential-provider-tokens`",
    "it {}",
    must=MUST,
    each={
        "is emptied": {"data": None},
        "names Secrets of others as ours": {
            "data": {"names.json": encoded(json.dumps(["../x", "bootstrap-token-abcdef", "default-token"]))}
        },
        "has a configuration of his": {
            "data": {"configuration": encoded("registries: !!python/object/apply:os.system ['true']")}
        },
        "has a finalizer": {"metadata": {"finalizers": ["example.com/stays"]}},
        "has keys by the hundred": {"data": {f"key-{number}": "eA==" for number in range(500)}},
    },
)
def the_state_itself(writer, patch):
    told = changed(writer, STATE, patch)
    writer.cluster.api.request("PATCH", STATE, {"metadata": {"finalizers": None}}, MERGE)
    return told


@ATTACKS.tries(
    "change the state Secret `aliyun-acr-credential-provider-tokens`",
    "between two leaders he puts {} there, which the next one starts with",
    must="it counts as absent, and the next leader goes on",
    each={
        "names nested a hundred thousand deep": {"names.json": "[" * 100_000},
        "the name of a Secret that it may not watch": {"names.json": '["login-of-others"]'},
        "ten thousand names": {"names.json": json.dumps([f"login-{number}" for number in range(10_000)])},
        "tokens nested a hundred thousand deep": {"tokens.json": "[" * 100_000},
        "a configuration of his": {"configuration": "registries: !!python/object/apply:os.system ['true']"},
    },
)
def a_state_for_the_next_leader(writer, data):
    cluster = writer.cluster
    cluster.until(lambda: cluster.find(STATE), "the Secret")
    cluster.stop()
    writer.request("PATCH", STATE, {"data": {name: encoded(text) for name, text in data.items()}}, MERGE)
    cluster.heard.clear()
    # The next leader counts no deletion that was before its time.
    cluster.api.request("DELETE", f"/api/v1/namespaces/{BYSTANDER}/secrets/{SECRET}")
    cluster.start()
    cluster.until(cluster._passwords, "team-b's login")
    cluster.before = cluster._state()
    return "team-b got its login again"


def changed(writer, path, patch):
    """Change it as he does, and see that the controller goes on."""
    cluster = writer.cluster
    cluster.until(lambda: cluster.find(path), "the Secret")
    writer.request("PATCH", path, patch, MERGE)
    cluster.heard.clear()
    cluster.serve_anew()
    return "team-b kept its login, and a new namespace got one"


def certificate(name):
    leaf = trustme.CA().issue_cert(name)
    return leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()


def nameless():
    """Return an authority and a certificate of it that fit together, without the extensions that ours have."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + dt.timedelta(days=90))
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return {"tls.crt": certificate, "ca.crt": certificate, "tls.key": text, "ca.key": text}


@ATTACKS.tries(
    "change the Secret of the webhook's certificates",
    "he puts {} there",
    must="certificates are made anew, and the API server is answered",
    each={
        "nothing": None,
        "text in the place of each key and certificate": "x",
        "ten kilobytes of NULs in the place of each": bytes(10_000),
        "another's key to the certificate": "key",
        "a pair that names no host": "nameless",
        "a time that is no number": "nan",
        "a certificate of another authority": "authority",
    },
)
def certificates_of_his(writer, content):
    cluster = writer.cluster
    found = cluster.api.get(CERTIFICATES)["data"]
    if content is None:
        data = dict.fromkeys(found)
    elif content == "nameless":
        data = {name: encoded(text) for name, text in nameless().items()}
    elif content == "nan":
        data = {"since": encoded(content)}
    elif content in ("key", "authority"):
        leaf, key = certificate("x.example")
        data = {
            name: encoded(key if "key" in name else leaf) for name in found if content == "authority" or "key" in name
        }
    else:
        data = {name: encoded(content) for name in found}
    writer.request("PATCH", CERTIFICATES, {"data": data}, MERGE)
    cluster.heard.clear()
    settings = cluster.settings()  # others than before, so that the controller looks now, and not within 18 seconds
    settings["pullSecrets"]["serviceAccounts"] += [f"none-{next(NUMBERS)}"]
    cluster.api.request("PATCH", CONFIGURATION, {"data": {"settings.yaml": json.dumps(settings)}}, MERGE)

    def is_put_right():
        now = cluster.api.get(CERTIFICATES).get("data") or {}
        return now.keys() == found.keys() and all(now[name] != text for name, text in data.items())

    cluster.until(is_put_right, "new certificates")
    cluster.until(lambda: names(cluster.new_account()) == [SECRET], "the webhook")
    cluster.before = cluster._state()
    return "they were made anew"


@ATTACKS.tries(
    "name a key of the credentials Secret so that its file lands elsewhere on the node",
    "a key called {}",
    must="the API server refuses it, or no such file is used",
    each=[
        "../../etc/cron.d/x",
        "..",
        ".",
        "..data",
        "a/b",
        "a\\b",
        "x" * 254,
        "a\n",
        "",
    ],
)
def a_key_that_is_a_path(writer, name):
    body = {"metadata": {"name": f"{NAME}-credentials"}, "data": {name: "eA=="}}
    with pytest.raises(KubeError) as caught:
        writer.request("POST", f"{SECRETS}?dryRun=All", body)
    assert caught.value.status == 422
    return "422 by the API server"


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_a_writer_of_secrets_damages_nothing_that_stays(attack, writer):
    attack.carry_out(writer)
