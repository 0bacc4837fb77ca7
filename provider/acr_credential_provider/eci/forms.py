"""The forms in which ECI's instances and logins are written: annotations, parameters of APIs, blocks of Terraform.

Names: CreateContainerGroup of ECI (2018-08-08) and CreateEciScalingConfiguration of Auto Scaling (2022-02-22), as their
SDKs have them; the resources alicloud_eci_container_group and alicloud_ess_eci_scaling_configuration of Terraform's
provider alicloud.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from .registry_infos import Rendered, Roles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from acr_credential_provider.sources.basic_auth import BasicAuth

    from .registry_infos import RegistryInfo


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of one form: of the two lists, of an instance's fields, and of a login's."""

    infos: str
    logins: str
    domains: str
    user_name: str
    instance_id: str = "instance_id"
    region: str = "region_id"
    instance_name: str = "instance_name"
    server: str = "server"
    password: str = "password"  # noqa: S105 - a name
    arn_service: str = ""
    arn_user: str = ""

    def info(self, info: RegistryInfo) -> dict[str, Any]:
        """Return the fields of *info* that have a value."""
        fields = {
            self.instance_id: info.instance_id,
            self.region: info.region,
            self.instance_name: info.instance_name,
            self.domains: list(info.domains),
            self.arn_service: info.arn_service,
            self.arn_user: info.arn_user,
        }
        return {name: value for name, value in fields.items() if name and value}

    def login(self, host: str, login: BasicAuth) -> dict[str, Any]:
        return {self.server: host, self.user_name: login.username, self.password: login.password}

    def lists(self, rendered: Rendered) -> dict[str, list[dict[str, Any]]]:
        """Return both lists of *rendered*, without those that are empty."""
        lists = {
            self.infos: [self.info(info) for info in rendered.infos],
            self.logins: [self.login(host, login) for host, login in rendered.logins],
        }
        return {name: entries for name, entries in lists.items() if entries}


_IN_APIS = {
    "instance_id": "InstanceId",
    "region": "RegionId",
    "instance_name": "InstanceName",
    "server": "Server",
    "user_name": "UserName",
    "password": "Password",
}
_CONTAINER_GROUP = _Names(
    "AcrRegistryInfo",
    "ImageRegistryCredential",
    domains="Domain",
    arn_service="ArnService",
    arn_user="ArnUser",
    **_IN_APIS,
)
_SCALING = _Names("AcrRegistryInfos", "ImageRegistryCredentials", domains="Domains", **_IN_APIS)
_TERRAFORM = {
    "terraform": _Names("acr_registry_info", "image_registry_credential", domains="domains", user_name="user_name"),
    "terraform-ess": _Names(
        "acr_registry_infos", "image_registry_credentials", domains="domains", user_name="username"
    ),
}
_APIS = {"api": _CONTAINER_GROUP, "ess": _SCALING}
POD = "pod"
ROLES = {POD: Roles.PAIR, "api": Roles.EACH, "ess": Roles.NONE, "terraform": Roles.NONE, "terraform-ess": Roles.NONE}
"""The forms by name, and the roles that each has room for."""


def written(rendered: Rendered, form: str, *, as_json: bool) -> str:
    """Return *rendered* in a *form* of `ROLES`: as YAML, blocks of Terraform as HCL; or as JSON."""
    if form in _TERRAFORM:
        lists = _TERRAFORM[form].lists(rendered)
        return _json(_escaped(lists)) if as_json else "".join(_blocks(lists))
    document = {"metadata": {"annotations": rendered.annotations}} if form == POD else parameters(rendered, form)
    return _json(document) if as_json else yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)


def parameters(rendered: Rendered, form: str = "api") -> dict[str, str]:
    """Return the parameters of the API that *form* names; lists are numbered from 1."""
    return dict(_flat("", _APIS[form].lists(rendered)))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, each)
    elif isinstance(value, list):
        for number, each in enumerate(value, start=1):
            yield from _flat(f"{prefix}.{number}", each)
    else:
        yield prefix, value


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _escaped(value: Any) -> Any:
    """Return *value* with its texts such that Terraform, in both of its syntaxes, sees no template in them."""
    if isinstance(value, dict):
        return {name: _escaped(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return value.replace("${", "$${").replace("%{", "%%{")


def _blocks(lists: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Yield each entry as a block in the layout of ``terraform fmt``."""
    for name, entries in lists.items():
        for entry in entries:
            width = max(map(len, entry))
            yield f"{name} {{\n"
            for key, value in _escaped(entry).items():
                yield f"  {key:<{width}} = {json.dumps(value, ensure_ascii=False)}\n"
            yield "}\n"
