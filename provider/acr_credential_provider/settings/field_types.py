"""The types of single fields: what a text or a number must be like, and what to write instead."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema
from pydantic.alias_generators import to_camel

from acr_credential_provider.model.acr_hosts import SYSTEM_NAMESPACES, is_region
from acr_credential_provider.model.errors import InvalidImageError
from acr_credential_provider.model.image_reference import registry_of
from acr_credential_provider.model.regions import region_of_zone

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.model.remedy import Remedy

    from .cluster_origin import ClusterJudge, Refusal

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?:[0-9]{1,9}[hms]){1,9}", re.ASCII)
"""So many digits fit into a float, whatever they are multiplied with."""


def parse_duration(text: object) -> float:
    """Return the seconds of a duration such as ``90s``, ``15m`` or ``1h30m``.

    >>> parse_duration("1h30m")
    5400.0
    """
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        raise ValueError("is not a duration; write it like 90s, 15m or 1h30m")
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([hms])", text))


def _between(least: float, most: float, words: str) -> AfterValidator:
    def check(seconds: float) -> float:
        if not least <= seconds <= most:
            raise ValueError(f"must be {words}")
        return seconds

    return AfterValidator(check)


def _whole_hours(seconds: float) -> float:
    if seconds % 3600 or not 3600 <= seconds <= 24 * 3600:
        raise ValueError("must be whole hours from 1h to 24h; ACR knows nothing finer")
    return seconds


def _is_host(host: str) -> str:
    if "*" in host:
        raise ValueError("holds a wildcard; write each host, because a login is for hosts by name")
    try:
        registry_of(host + "/x")
    except InvalidImageError:
        raise ValueError("is not a registry host; write HOST or HOST:PORT, without https:// and path") from None
    if host != host.lower():
        raise ValueError("must be lower case, as image names spell their registry")
    return host


def _is_region(region: str) -> str:
    if not is_region(region):
        raise ValueError("is not the ID of a region; write it like cn-hangzhou")
    if of_zone := region_of_zone(region):
        raise ValueError(f"is a zone, not a region; write {of_zone}")
    return region


def _is_namespace(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,119}", name, re.ASCII):
        raise ValueError("is not a namespace; write the part of the image's name between the host and the next /")
    if name in SYSTEM_NAMESPACES:
        raise ValueError("holds Alibaba Cloud's own public images, which a login can only spoil; leave it out")
    return name


_LOOPBACK = re.compile(r"http://(?:127(?:\.[0-9]{1,3}){3}|\[::1\]|localhost)(?::[0-9]{1,5})?", re.ASCII)
_HTTPS = re.compile(r"https://[A-Za-z0-9_.-]+(?::[0-9]{1,5})?|https://\[[0-9a-fA-F:.]+\](?::[0-9]{1,5})?", re.ASCII)


def _is_endpoint(url: str) -> str:
    url = url.rstrip("/")
    if not _HTTPS.fullmatch(url) and not _LOOPBACK.fullmatch(url):
        raise ValueError("must be https://HOST[:PORT] without a path (http:// only for the loopback address)")
    return url


def _is_metadata_endpoint(url: str, info: ValidationInfo) -> str:
    if url.rstrip("/") == "http://100.100.100.200":
        return "http://100.100.100.200"
    return _may_be_address("")(_is_endpoint(url), info)


def _is_proxy(url: str) -> str:
    if url.lower().startswith("https://"):
        raise ValueError("must start with http://: a proxy is spoken to in http, and the tunnel inside is encrypted")
    if not re.fullmatch(r"http://(?:[^@/\s]+@)?[A-Za-z0-9_.-]+(?::[0-9]{1,5})?/?", url):
        raise ValueError("must be http://[USER:PASSWORD@]HOST[:PORT]")
    return url


def judge_of(info: ValidationInfo) -> ClusterJudge | None:
    """Return who judges values that come from a cluster; None for settings of root's own."""
    judge: ClusterJudge | None = info.context
    return judge


def refuse_if(refusal: Refusal | None, *steps: str | int) -> None:
    """Raise a *refusal* as the error of the field that *steps* lead to."""
    if refusal is not None:
        raise ContradictionError(*refusal, *steps)


def _may_be_address(service: str) -> Callable[[str, ValidationInfo], str]:
    """Return a validator of addresses to which credentials for *service* go; "" is for none of Alibaba Cloud's."""

    def check(url: str, info: ValidationInfo) -> str:
        if judge := judge_of(info):
            refuse_if(judge.address(url, service))
        return url

    return check


def _may_be_file(word: str) -> Callable[[str, ValidationInfo], str]:
    """Return a validator of paths. From a cluster, the file's name must have the *word* in it."""

    def check(path: str, info: ValidationInfo) -> str:
        if judge := judge_of(info):
            refuse_if(judge.file(path, (info.data.get("kind", ""), info.field_name or ""), word))
        return path

    return check


def _off_is_a_word(level: object) -> object:
    return "off" if level is False else level  # YAML reads it as a boolean


def _is_absolute(path: str) -> str:
    if not path.startswith("/") or "\n" in path or "\0" in path:
        raise ValueError("must be an absolute path")
    return path


def _policy(policy: object) -> str:
    """Return *policy*, a mapping or its JSON, as STS wants it."""
    try:
        document = json.loads(policy) if isinstance(policy, str) else policy
        text = json.dumps(document, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        raise ValueError("is not a RAM policy; write it as a mapping") from None
    if not isinstance(document, dict) or set(document) != {"Version", "Statement"} or document["Version"] != "1":
        raise ValueError('is not a RAM policy; it has Version: "1" and a Statement')
    if len(text) > _LARGEST_POLICY:
        raise ValueError("is larger than the 2048 characters that STS takes")
    return text


_LARGEST_POLICY = 2048
_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": "^([0-9]{1,9}[hms]){1,9}$"})
_Duration = Annotated[float, BeforeValidator(parse_duration), _DURATION_SCHEMA]
MaxCacheDuration = Annotated[_Duration, _between(0, 24 * 3600, "at most 24h")]
RefreshBefore = Annotated[_Duration, _between(0, 12 * 3600, "at most 12h")]
TokenDuration = Annotated[_Duration, AfterValidator(_whole_hours)]
Host = Annotated[str, AfterValidator(_is_host)]
AcrEndpoint = Annotated[str, AfterValidator(_is_endpoint), AfterValidator(_may_be_address("cr"))]
StsEndpoint = Annotated[str, AfterValidator(_is_endpoint), AfterValidator(_may_be_address("sts"))]
MetadataEndpoint = Annotated[str, AfterValidator(_is_metadata_endpoint)]
ProxyUrl = Annotated[str, AfterValidator(_is_proxy), AfterValidator(_may_be_address(""))]
AbsolutePath = Annotated[str, AfterValidator(_is_absolute), AfterValidator(_may_be_file(""))]
UsernameFile = Annotated[str, AfterValidator(_is_absolute), AfterValidator(_may_be_file("user"))]
PasswordFile = Annotated[str, AfterValidator(_is_absolute), AfterValidator(_may_be_file("password"))]
Namespace = Annotated[str, AfterValidator(_is_namespace)]
Region = Annotated[str, AfterValidator(_is_region)]
LogLevel = Annotated[Literal["off", "error", "info", "debug"], BeforeValidator(_off_is_a_word)]
SessionDuration = Annotated[_Duration, _between(3600, 12 * 3600, "from 1h to 12h")]
RoleArn = Annotated[str, Field(pattern=r"^acs:ram::[0-9]{1,32}:role/[A-Za-z0-9._-]{1,64}$")]
OidcProviderArn = Annotated[str, Field(pattern=r"^acs:ram::[0-9]{1,32}:oidc-provider/[A-Za-z0-9._-]{1,128}$")]
ServiceAccountPattern = Annotated[str, Field(pattern=r"^[a-z0-9.*-]{1,253}/[a-z0-9.*-]{1,253}$")]
KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Audience = Annotated[str, Field(pattern=r"^[!-~]{1,255}$")]
Issuer = Annotated[str, Field(pattern=r"^https://[!-~]{1,255}$")]
SessionPolicy = Annotated[
    str, BeforeValidator(_policy), WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "string"}]})
]
RoleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
NamePattern = Annotated[str, Field(pattern=r"^[a-z0-9*]([a-z0-9.*-]{0,251}[a-z0-9*])?$")]
LabelKey = Annotated[str, Field(pattern=r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")]


class Model(BaseModel):
    """A part of the settings: strict, immutable, camelCase in the file, and silent about its input."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        strict=True,
    )


class ContradictionError(ValueError):
    """Fields that do not go together; *steps* lead to the one to change, from the model on."""

    def __init__(self, problem: str, remedy: Remedy, *steps: str | int) -> None:
        super().__init__(problem)
        self.remedy = remedy
        self.steps = steps
