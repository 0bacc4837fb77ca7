"""The kinds of objects that are watched, and the partial decoding of each.

Six fields of an object matter, and there may be tens of thousands of objects; the rest of the text is skipped.
"""

from __future__ import annotations

import base64
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

from .content import digest_of
from .eci_annotations import REQUESTS
from .names import FIELD_MANAGER, LABEL, SECRET_KEY
from .objects import NOTHING, Namespace, Secret, ServiceAccount
from .owner_reference import mark_of
from .resources import NAMESPACES, SECRETS, SERVICE_ACCOUNTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what was asked for; only the first is its own."""
_LONGEST_ANNOTATION = 256
"""Characters. Longer ones, such as kubectl's copies of whole objects, select nothing and are not kept."""


class Item(Protocol):
    """An object that an informer keeps."""

    @property
    def key(self) -> tuple[str, str]: ...  # noqa: D102
    @property
    def resource_version(self) -> str: ...  # noqa: D102


T = TypeVar("T", bound=Item)


class _ManagedFields(msgspec.Struct):
    manager: str = ""


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None
    owner_references: list[dict[str, Any]] | None = None
    managed_fields: list[_ManagedFields] | None = None


class _Reference(msgspec.Struct):
    name: str = ""


class PartialObject(msgspec.Struct, rename="camel"):
    """The fields that are decoded, of any kind."""

    metadata: _Meta
    image_pull_secrets: list[_Reference] | None = None
    type: str = ""
    data: dict[str, str] | None = None
    binary_data: dict[str, msgspec.Raw] | None = None


OBJECTS = msgspec.json.Decoder(PartialObject)
"""Made here, once: the first use of a type by two threads at the same time crashes msgspec."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """The path of a kind, the *selector* (API parameters) of its objects, and *keep*, which decodes one."""

    name: str
    path: str
    keep: Callable[[Any], T]
    selector: Mapping[str, str] = field(default_factory=dict)
    only_metadata: bool = False


def namespaces() -> Kind[Namespace]:
    """Return all namespaces."""
    return Kind("namespaces", NAMESPACES.path(), _namespace, only_metadata=True)


def service_accounts() -> Kind[ServiceAccount]:
    """Return all ServiceAccounts."""
    return Kind("serviceaccounts", SERVICE_ACCOUNTS.path(), service_account)


def secrets(name: str) -> Kind[Secret]:
    """Return the Secrets called *name* in all namespaces: a right that can be granted for that name alone."""
    return Kind("secrets", SECRETS.path(), secret, {"fieldSelector": f"metadata.name={name}"})


def _namespace(wire: PartialObject) -> Namespace:
    meta = wire.metadata
    return Namespace(
        meta.name,
        meta.uid,
        meta.resource_version,
        meta.labels or NOTHING,
        _short(meta.annotations),
        terminating=meta.deletion_timestamp is not None,
    )


def service_account(wire: PartialObject) -> ServiceAccount:
    """Return a ServiceAccount as it is kept."""
    meta = wire.metadata
    references = wire.image_pull_secrets
    return ServiceAccount(
        meta.namespace,
        meta.name,
        meta.uid,
        meta.resource_version,
        meta.labels or NOTHING,
        _short(meta.annotations),
        None if references is None else tuple(reference.name for reference in references),
        terminating=meta.deletion_timestamp is not None,
    )


def secret(wire: PartialObject) -> Secret:
    """Return a Secret as it is kept."""
    meta = wire.metadata
    has_our_label = (meta.labels or NOTHING).get(LABEL) == "true"
    return Secret(
        meta.namespace,
        meta.name,
        meta.uid,
        meta.resource_version,
        is_ours=has_our_label or any(entry.manager == FIELD_MANAGER for entry in meta.managed_fields or ()),
        type=wire.type,
        digest=digest_of(_value(wire, SECRET_KEY)),
        has_labels=bool(meta.labels),
        owner=sys.intern(mark_of(meta.owner_references)),
        terminating=meta.deletion_timestamp is not None,
        has_our_label=has_our_label,
    )


def _value(wire: PartialObject, key: str) -> bytes:
    try:
        return base64.b64decode((wire.data or {}).get(key, ""))
    except ValueError:
        return b""


def _short(annotations: Mapping[str, str] | None) -> Mapping[str, str]:
    kept = {
        key: value
        for key, value in (annotations or NOTHING).items()
        if len(value) <= _LONGEST_ANNOTATION or key in REQUESTS
    }
    return kept or NOTHING


def decode(document: Mapping[str, Any], keep: Callable[[Any], T]) -> T:
    """Return an object that a call returned as it is kept."""
    return keep(msgspec.convert(document, type=PartialObject))
