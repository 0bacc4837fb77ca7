"""What an error code of Alibaba Cloud means, what to do, and where in the console.

A code that is not in the table is classified by its words, else by the HTTP status. Imported once there is an error.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from acr_credential_provider.model.remedy import Remedy

from .table import GROUPS, KINDS


class ErrorCode(NamedTuple):
    """A *code*, or the start of several up to a dot, and the *kind* of failure. *where* is a page of the console."""

    code: str
    kind: str
    cause: str
    remedy: str
    where: str = ""

    @property
    def advice(self) -> Remedy:
        """The remedy, and where in the console."""
        text = f"{self.remedy} Console: {self.where}." if self.where else self.remedy
        return Remedy(REMEDY_CODES[self.kind], text)


REMEDY_CODES = {
    "permission": "CloudPermissionMissing",
    "quota": "CloudQuotaUsedUp",
    "throttling": "CloudThrottled",
    "billing": "CloudPaymentDue",
    "activation": "CloudServiceInactive",
    "account": "CloudAccountBlocked",
    "region": "RegionInvalid",
    "signature": "AccessKeySecretWrong",
    "time": "ClockWrong",
    "key": "AccessKeyRefused",
    "session": "SessionRefused",
    "role": "RoleRefused",
    "oidc": "OidcProviderRefused",
    "instance": "InstanceUnknown",
    "missing": "CloudNameUnknown",
    "request": "CloudRequestRefused",
    "server": "CloudUnavailable",
    "unknown": "CloudRefused",
}
"""By kind of failure."""


CODES = tuple(
    ErrorCode(code, kind, cause, remedy, where)
    for kind, remedy, where, causes in GROUPS
    for code, cause in causes.items()
)
_BY_START = {row.code.lower(): row for row in CODES}

_WORDS = (  # of a code that is not in the table: pattern, kind; the first counts
    (r"throttl|flowcontrol|too_?(?:many|frequent)|ratelimit", "throttling"),
    (r"arrear|overdue|balance|billing|payment|not_?paid|unpaid|charge", "billing"),
    (r"access_?key|secret", "key"),
    (r"security_?token|session", "session"),
    (r"signature|nonce", "signature"),
    (r"time_?stamp|clock|illegal_?date", "time"),
    (r"not_?(?:activat|open|subscrib|regist|enabled)|inactiv|unactivat", "activation"),
    (r"limit|quota|exceed", "quota"),
    (r"oidc|saml", "oidc"),
    (r"forbid|denied|permission|unauthor|not_?(?:authorized|allowed)|(?:^|[._])ram(?:$|[._])", "permission"),
    (r"internal|unavailable|time_?out|system_?error|busy", "server"),
    (r"region|endpoint|invalid_?(?:product|api|action|version)", "region"),
    (r"role", "role"),
    (r"instance", "instance"),
    (r"not_?(?:exist|found)", "missing"),
    (r"invalid|missing|malformed|unsupported|illegal|parameter", "request"),
)
_STATUSES = {401: "key", 402: "billing", 403: "permission", 404: "missing", 429: "throttling"}


def find(code: str) -> ErrorCode | None:
    """Return what the table says about *code*, or about the longest start of it up to a dot.

    >>> find("Throttling.Resource").code, find("SomethingNew")
    ('Throttling', None)
    """
    start = code.lower()
    while start:
        if (row := _BY_START.get(start)) is not None:
            return row
        start = start.rpartition(".")[0]
    return None


def kind_of(code: str, status: int) -> str:
    """Return the kind of failure that *code* is of, by its words, else by the HTTP *status*.

    >>> kind_of("InstanceQuotaExceeded", 400), kind_of("Whatever", 403), kind_of("Whatever", 400)
    ('quota', 'permission', 'unknown')
    """
    if (row := find(code)) is not None:
        return row.kind
    lower = code.lower()
    by_words = next((kind for pattern, kind in _WORDS if re.search(pattern, lower)), None)
    return by_words or _STATUSES.get(status) or ("server" if status >= 500 else "unknown")


def explain(code: str, status: int, service: str) -> ErrorCode:
    """Return what *code* of an answer with *status* means; *service* is whose codes an operator may look up."""
    if (row := find(code)) is not None:
        return row
    kind = kind_of(code, status)
    remedy, where = KINDS[kind]
    matter = f"This is about {kind}: {remedy}" if kind != "unknown" else remedy
    advice = f"{matter.removesuffix('.')}, and look the code up in the error codes of {service}."
    return ErrorCode(code, kind, "", advice, where)
