"""The Pod annotations that name the ACR instances from which Elastic Container Instance (ECI) may pull.

Names and forms: Alibaba Cloud's ECI documentation, "Pull images from a Container Registry instance without using a
Secret". ECI reads them when it makes the Pod, never later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acr_credential_provider.model.acr_hosts import is_region

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ONE_INSTANCE = "k8s.aliyun.com/acr-instance-id"
"""The older annotation: one instance."""
INSTANCES = "k8s.aliyun.com/acr-instance-ids"
"""Several instances, comma separated; hosts of one's own need it."""
REQUESTS = (ONE_INSTANCE, INSTANCES)
"""Those that ask for instances."""
SERVICE_ARNS = "k8s.aliyun.com/acr-service-arns"
"""Role of ECI's own account that ECI asks as, in place of its service-linked role."""
USER_ARNS = "k8s.aliyun.com/acr-user-arns"
"""Role of the instance's account, where that is another, which the service role assumes."""

_ID = re.compile(r"cri-[a-z0-9]{1,60}", re.ASCII)
_MOST = 4096
"""Characters of a value that are looked at, because anybody who starts Pods writes it."""


@dataclass(frozen=True, slots=True)
class InstanceRequest:
    """An Enterprise Edition instance that an annotation names; *region* is "" for the cluster's own.

    >>> str(InstanceRequest("cn-beijing", "cri-0123456789abcdef"))
    'cn-beijing:cri-0123456789abcdef'
    """

    region: str
    instance_id: str

    def __str__(self) -> str:
        """Return it as an annotation has it."""
        return f"{self.region}:{self.instance_id}" if self.region else self.instance_id


@dataclass(frozen=True, slots=True)
class Requests:
    """The instances that annotations ask for, each once and in their order, and the *problems* with them."""

    instances: tuple[InstanceRequest, ...] = ()
    problems: tuple[str, ...] = ()


def requests_of(annotations: Mapping[str, str]) -> Requests:
    """Return the instances that the *annotations* of a Pod or a namespace ask for.

    Problems name the annotation and the position, not the value.

    >>> requests_of({INSTANCES: "cri-a, cn-beijing:cri-b,cri-a"}).instances
    (InstanceRequest(region='', instance_id='cri-a'), InstanceRequest(region='cn-beijing', instance_id='cri-b'))
    """
    instances: dict[InstanceRequest, None] = {}
    problems = []
    for name in REQUESTS:
        value = annotations.get(name, "")
        if len(value) > _MOST:
            problems.append(f"{name} is longer than {_MOST} characters")
            continue
        for position, written in enumerate(value.split(","), start=1):
            word = written.strip()
            if not word:
                continue
            region, colon, instance_id = word.rpartition(":")
            if not _ID.fullmatch(instance_id) or (colon and not is_region(region)):
                problems.append(f"{name}, item {position}, is not cri-... or REGION:cri-...")
                continue
            instances[InstanceRequest(region, instance_id)] = None
    return Requests(tuple(instances), tuple(problems))


def annotations_for(
    instances: Iterable[InstanceRequest], *, service_arn: str = "", user_arn: str = ""
) -> dict[str, str]:
    """Return the annotations by which ECI may pull from *instances*, as those roles if any are given.

    One instance is named by the older annotation too, which is all that older virtual nodes know.

    >>> annotations_for([InstanceRequest("", "cri-a")])
    {'k8s.aliyun.com/acr-instance-id': 'cri-a', 'k8s.aliyun.com/acr-instance-ids': 'cri-a'}
    """
    words = [str(instance) for instance in dict.fromkeys(instances)]
    written = {ONE_INSTANCE: words[0]} if len(words) == 1 else {}
    if words:
        written[INSTANCES] = ",".join(words)
    if service_arn:
        written[SERVICE_ARNS] = service_arn
    if user_arn:
        written[USER_ARNS] = user_arn
    return written
