"""The owner reference by which Kubernetes' garbage collector takes along what the controller wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

API_VERSION = "rbac.authorization.k8s.io/v1"
KIND = "ClusterRole"


@dataclass(frozen=True, slots=True)
class Reference:
    """The ClusterRole as it is named by what it owns."""

    name: str
    uid: str

    @property
    def mark(self) -> str:
        """The text to compare with the `mark_of` an object."""
        return f"{self.name}/{self.uid}"

    def document(self) -> dict[str, Any]:
        """Return it as an item of ``metadata.ownerReferences``."""
        # It blocks no deletion: that would need a right to the ClusterRole's finalizers.
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.name,
            "uid": self.uid,
            "blockOwnerDeletion": False,
        }


def mark_of(references: Any) -> str:
    """Return the owner of an object, from its ownerReferences: "" if there is none, "?" if not a release alone.

    Another owner beside the ClusterRole would keep the object when the release goes.
    """
    if not references:
        return ""
    first = references[0]
    is_plain = first.get("apiVersion") == API_VERSION and first.get("kind") == KIND
    if len(references) > 1 or not is_plain or first.get("controller") or first.get("blockOwnerDeletion"):
        return "?"
    return f"{first.get('name')}/{first.get('uid')}"


def is_owned(metadata: Mapping[str, Any], reference: Reference | None) -> bool:
    """True if an object with this *metadata* is owned by *reference*; None: any owner will do."""
    return reference is None or mark_of(metadata.get("ownerReferences")) == reference.mark
