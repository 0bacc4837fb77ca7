"""A line of a watch: of msgspec's own error, or kept with values of the right types."""

import base64

import msgspec
from acr_credential_provider.pull_secrets.kube.informer import _Event, _List
from acr_credential_provider.pull_secrets.model import decoding

KINDS = (decoding.namespaces(), decoding.service_accounts(), decoding.secrets("pull-secret"))


def fuzz(data):
    wires = []
    try:
        wires.append(msgspec.json.decode(data, type=decoding.PartialObject))
    except decoding.UNDECODABLE:
        pass
    try:
        wires += msgspec.json.decode(data, type=_List).items or ()
    except decoding.UNDECODABLE:
        pass
    try:
        wires.append(msgspec.json.decode(msgspec.json.decode(data, type=_Event).object, type=decoding.PartialObject))
    except decoding.UNDECODABLE:
        pass
    for wire in wires:
        for kind in KINDS:
            if not all(isinstance(value, str) for value in owner_texts(wire)) or not is_data(wire):
                continue  # the API server checks these types
            item = kind.keep(wire)
            assert all(isinstance(part, str) for part in item.key)


def owner_texts(wire):
    for reference in wire.metadata.owner_references or ():
        yield from (reference.get(name, "") for name in ("apiVersion", "kind", "name", "uid"))


def is_data(wire):
    try:
        return all(base64.b64decode(value, validate=True) is not None for value in (wire.data or {}).values())
    except ValueError:
        return False
