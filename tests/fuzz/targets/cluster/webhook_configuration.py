"""A MutatingWebhookConfiguration of our name, as another writer left it: of the API server's types, but any content."""

import json
from typing import Any

import msgspec
from acr_credential_provider.pull_secrets.webhook import registration
from acr_credential_provider.settings.pull_secrets import Admission, PullSecrets

SERVICE = registration.ServiceReference("acr", "webhook")
WANTED = registration.manifest(PullSecrets(admission=Admission(mode="webhook")), SERVICE, b"an authority\n")


class Meta(msgspec.Struct):
    """The types of the API server, which it checks."""

    name: str
    labels: dict[str, str] | None = None
    ownerReferences: list[dict[str, Any]] | None = None  # noqa: N815 - its name in JSON


class ClientConfig(msgspec.Struct):
    caBundle: bytes = b""  # noqa: N815 - its name in JSON
    service: dict[str, Any] | None = None


class Hook(msgspec.Struct):
    name: str
    clientConfig: ClientConfig  # noqa: N815 - its name in JSON


class Configuration(msgspec.Struct):
    metadata: Meta
    webhooks: list[Hook] | None = None


def fuzz(data):
    try:
        msgspec.json.decode(data, type=Configuration)
        document = json.loads(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    assert isinstance(registration.is_ours(document), bool)
    assert isinstance(registration.leads_to(document, SERVICE), bool)
    assert isinstance(registration.trusts(document, b"an authority\n"), bool)
    assert registration.differs(document, WANTED) or document["webhooks"] == WANTED["webhooks"]
