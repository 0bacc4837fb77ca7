"""What the pull-secrets controller keeps: which ServiceAccounts of which namespaces get a Secret, and by what means."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from acr_credential_provider.model.remedy import Remedy

from .field_types import ContradictionError, KubernetesName, LabelKey, LabelValue, Model, NamePattern


class LabelRequirement(Model):
    """What one label must be like."""

    key: LabelKey
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """What is asked of it."""
    values: Annotated[tuple[LabelValue, ...], Field(strict=False)] = ()
    """For In and NotIn."""

    @model_validator(mode="after")
    def _has_values_where_they_matter(self) -> LabelRequirement:
        if (self.operator in ("In", "NotIn")) != bool(self.values):
            raise ContradictionError(
                f"does not fit operator {self.operator}",
                Remedy("SettingsInvalid", "In and NotIn have values, the others none."),
                "values",
            )
        return self


class Selector(Model):
    """Which objects are meant, by what they carry; all of it must hold, as in Kubernetes' own selectors."""

    match_labels: dict[LabelKey, LabelValue] = Field(default={})
    """Labels and their values."""
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(strict=False)] = ()
    """What other labels must be like."""
    match_annotations: dict[str, str] = Field(default={})
    """Annotations and their values."""


class Admission(Model):
    """What gives ServiceAccounts their pull secret while they are created."""

    mode: Literal["auto", "policy", "webhook", "none"] = "none"
    """``policy``: the API server adds it by itself (Kubernetes 1.36 and newer, with the release's
    MutatingAdmissionPolicy). ``webhook``: it asks the controller. ``auto``: the policy where there is one, the webhook
    elsewhere. ``none``: the controller adds it afterwards."""
    failure_policy: Literal["Ignore", "Fail"] = "Ignore"
    """What becomes of a ServiceAccount whose creation the webhook does not answer in time. A policy always answers."""
    timeout_seconds: Annotated[int, Field(ge=1, le=30)] = 10
    """How long the API server waits for the webhook's answer."""


class PullSecrets(Model):
    """What the pull-secrets controller keeps; a node's plugin leaves it aside.

    A ServiceAccount gets the Secret if namespace and account are both meant. Whatever is meant, a Namespace or
    ServiceAccount with the label or annotation ``aliyun-acr-credential-provider/pull-secrets: disabled`` is left alone.
    """

    secret_name: KubernetesName = "acr-credential-aliyun"  # noqa: S105 - a name
    """Name of the Secret in each namespace."""
    namespaces: Annotated[tuple[NamePattern, ...], Field(strict=False)] = ()
    """Names of namespaces, ``*`` for any part of one. Without them ``default``, or all where there is a selector."""
    excluded_namespaces: Annotated[tuple[NamePattern, ...], Field(strict=False)] = (
        "kube-system",
        "kube-public",
        "kube-node-lease",
    )
    """Namespaces that are not meant, whatever else is said: a login can spoil the pull of a system's public images."""
    namespace_selector: Selector | None = None
    """What namespaces must carry besides."""
    service_accounts: Annotated[tuple[NamePattern, ...], Field(strict=False)] = ()
    """Names of ServiceAccounts, ``*`` for any part of one. Without them ``default``, or all where there is a
    selector."""
    service_account_selector: Selector | None = None
    """What ServiceAccounts must carry besides."""
    admission: Admission = Admission()
    """What adds the Secret to ServiceAccounts while they are created."""

    @model_validator(mode="before")
    @classmethod
    def _read_earlier_name(cls, fields: Any) -> Any:
        # Two versions of the controller share one ConfigMap during an upgrade; the earlier one reads only this name.
        if not isinstance(fields, dict) or "admission" in fields or not isinstance(fields.get("webhook"), dict):
            return fields
        rest = {name: value for name, value in fields.items() if name != "webhook"}
        earlier = dict(fields["webhook"])
        is_enabled = earlier.pop("enabled", False)
        mode = ("webhook" if is_enabled else "none") if isinstance(is_enabled, bool) else None
        return rest | {"admission": {"mode": mode, **earlier}}
