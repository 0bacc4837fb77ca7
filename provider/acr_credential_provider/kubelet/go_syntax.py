"""The syntax of durations, annotation names and URLs, by Go's library and Kubernetes' own."""

from __future__ import annotations

import re

_UNIT = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_NUMBER = re.compile(rf"([0-9]*)(\.[0-9]*)?({'|'.join(_UNIT)})")
_LONGEST = 1 << 63
_NOT_IN_HOSTS = re.compile(r"[ %{}|\\^`]")
_IPV6 = re.compile(r"^\[[0-9a-fA-F:]*:[0-9a-fA-F:.]*\]")
_QUALIFIED = re.compile(r"(?:(?P<prefix>[^/]*)/)?(?P<name>[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?)")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def is_duration(text: str) -> bool:
    """True if Go's time.ParseDuration takes *text*, and it is not below 0.

    >>> [text for text in ("0s", "1h30m", "0", "-0s", ".5m", "1d", "-1s", "5", "", "3000000h") if is_duration(text)]
    ['0s', '1h30m', '0', '-0s', '.5m']
    """
    is_negative, rest = text.startswith("-"), text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return True
    total, at = 0.0, 0
    while at < len(rest):
        match = _NUMBER.match(rest, at)
        digits = (match[1] + (match[2] or "")) if match else ""
        if match is None or digits in ("", "."):
            return False
        total += float(digits) * _UNIT[match[3]]
        at = match.end()
    return bool(rest) and total < _LONGEST and not (is_negative and total)


def is_qualified_name(key: str) -> bool:
    """True if *key* may be the key of an annotation, whatever its case.

    >>> [key for key in ("pod-identity.alibabacloud.com/role-name", "/x", "a/b/c", "-x") if is_qualified_name(key)]
    ['pod-identity.alibabacloud.com/role-name']
    """
    match = _QUALIFIED.fullmatch(key.lower())
    if match is None:
        return False
    prefix = match["prefix"]
    return prefix is None or (len(prefix) <= 253 and _SUBDOMAIN.fullmatch(prefix) is not None)


def why_no_url(pattern: str) -> str:
    """Return why Go's url.Parse does not take ``https://`` and *pattern*, "" when it does.

    >>> why_no_url("*.*.cr.aliyuncs.com"), why_no_url("acr.example.com:port/x")
    ('', 'its port is no number')
    """
    rest, _, fragment = pattern.partition("#")
    authority, _, path = rest.partition("?")[0].partition("/")
    authority = _IPV6.sub("ipv6", authority)
    host, colon, port = authority.rpartition(":")
    if not colon:
        host, port = authority, ""
    # Which users, brackets and colons are right changed with Go's releases; no registry has any.
    reasons = {
        "it has a control character": any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in pattern),
        "a % in it is not followed by two digits": _has_bad_escape(fragment) or _has_bad_escape(path),
        "it has an @ before its path": "@" in authority,
        "it has brackets before its path": "[" in authority or "]" in authority,
        "its port is no number": bool(port) and not (port.isascii() and port.isdigit()),
        "it has more than one port": ":" in host,
        "its host has a character that none has": _NOT_IN_HOSTS.search(host) is not None,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _has_bad_escape(text: str) -> bool:
    return re.search(r"%(?![0-9a-fA-F]{2})", text) is not None
