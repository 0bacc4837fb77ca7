"""The regions of Alibaba Cloud, and what other names are taken for one."""

from __future__ import annotations

import re

from .config_problem import did_you_mean

LISTED = "2026-12-01"
"""When the list was last compared with its source: the endpoints of Auto Scaling and of Tag in Alibaba Cloud's
documentation (public cloud), and the endpoint maps of its SDKs (finance and government clouds). A new region works
without a change here."""
_CHINA = (
    "beijing chengdu fuzhou guangzhou hangzhou heyuan hongkong huhehaote nanjing qingdao shanghai shenzhen wuhan-lr "
    "wulanchabu zhangjiakou zhengzhou-jva beijing-finance-1 hangzhou-finance shanghai-finance-1 shenzhen-finance-1 "
    "north-2-gov-1 heyuan-acdr-1"
)
_ELSEWHERE = (
    "ap-northeast-1 ap-northeast-2 ap-south-1 ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-5 "
    "ap-southeast-6 ap-southeast-7 ap-southeast-8 eu-central-1 eu-west-1 me-central-1 me-east-1 na-south-1 rus-west-1 "
    "us-east-1 us-west-1"
)
REGIONS = frozenset([*(f"cn-{name}" for name in _CHINA.split()), *_ELSEWHERE.split()])


def region_of_zone(name: str) -> str:
    """Return the region in which *name* is a zone, "" if it is the name of none.

    >>> region_of_zone("cn-hangzhou-b"), region_of_zone("us-west-1a"), region_of_zone("cn-hangzhou")
    ('cn-hangzhou', 'us-west-1', '')
    """
    match = re.fullmatch(r"(.+?)(-?[a-z])", name, re.ASCII)
    is_zone = match is not None and match[1] in REGIONS and name not in REGIONS
    return match[1] if is_zone and match and match[2].startswith("-") != match[1][-1].isdigit() else ""


def about_region(name: str) -> str:
    """Return what is worth knowing of the region *name*, "" for one of the list."""
    if name in REGIONS:
        return ""
    return f"is none of the regions that were known on {LISTED}. {did_you_mean(name, sorted(REGIONS))}".rstrip()
