"""Why the API server refused a call, read from its Status object.

The cause decides what is retried and what is advised. The API server says it in fields where it can (code, reason,
causes). Quotas, policies and webhooks are told apart by its sentence alone. That is quoted too: an operator can act on
it where our reading is wrong.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from dataclasses import dataclass
from enum import StrEnum

from acr_credential_provider.fastpath.plain_text import plain_text


class Cause(StrEnum):
    """Why a call was refused; the values are the outcomes of the metric ``acr_pull_secrets_writes_total``."""

    UNAVAILABLE = "unavailable"
    """There was no answer, or one of a server that cannot serve now."""
    THROTTLED = "throttled"
    CONFLICT = "conflict"
    """The object changed, or is there already: read it again, then decide again."""
    NOT_FOUND = "gone"
    EXPIRED = "expired"
    """A watch or a list cannot continue from where it was."""
    UNAUTHENTICATED = "unauthenticated"
    RBAC = "rbac"
    QUOTA = "quota"
    POLICY = "policy"
    """An admission policy or an admission webhook refused it."""
    WEBHOOK = "webhook"
    """An admission webhook did not answer."""
    TERMINATING = "terminating"
    IMMUTABLE = "immutable"
    INVALID = "invalid"
    OTHER = "failed"

    @property
    def passes(self) -> bool:
        """True if the next try may succeed although nobody changes anything."""
        return self in (Cause.UNAVAILABLE, Cause.THROTTLED, Cause.CONFLICT, Cause.NOT_FOUND, Cause.EXPIRED)

    @property
    def concerns_all(self) -> bool:
        """True if the next call, about another object, would fare no better."""
        return self in (Cause.UNAVAILABLE, Cause.THROTTLED, Cause.UNAUTHENTICATED)


@dataclass(frozen=True, slots=True)
class Answer:
    """The parts of a Status object that tell its cause; *message* is printable and short."""

    code: int
    reason: str = ""
    message: str = ""
    names_object: bool = False
    """True if the Status has the kind or name of the object that was refused."""
    cause_reasons: frozenset[str] = frozenset()

    @classmethod
    def read(cls, code: int, body: bytes, *, sent: object = None) -> Answer:
        """Read *body*, which may be anything: a proxy may have answered in the API server's place.

        *sent* is the body of the call. Its message may not repeat the data in there.
        """
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return cls(code)
        if not isinstance(document, dict):
            return cls(code)
        details = document.get("details")
        details = details if isinstance(details, dict) else {}
        causes = details.get("causes")
        causes = causes if isinstance(causes, list) else []
        reasons = [cause.get("reason") for cause in causes if isinstance(cause, dict)]
        return cls(
            code,
            _word(document.get("reason")),
            sentence(document.get("message"), without=data_of(sent)),
            names_object=bool(details.get("kind") or details.get("name")),
            cause_reasons=frozenset(filter(None, map(_word, reasons))),
        )

    def cause(self, verb: str) -> Cause:
        """Return why a call with *verb* (the HTTP method, LIST or WATCH) was refused."""
        if self.code in _CODES:
            return _CODES[self.code]
        for pattern, cause in _SENTENCES:
            if pattern.search(self.message):
                return cause
        if "NamespaceTerminating" in self.cause_reasons:
            return Cause.TERMINATING
        if self.code == 403:
            return Cause.POLICY if self.message else Cause.RBAC
        # Without a reason it is not the API server's: a proxy's, or that of a path that does not exist.
        is_absent = self.code == 404 and self.reason and verb != "POST"
        # A JSON patch whose test of the version fails is answered without the object's name.
        is_failed_test = self.code == 422 and verb == "PATCH" and not self.names_object
        if is_absent or is_failed_test:
            return Cause.NOT_FOUND if is_absent else Cause.CONFLICT
        return Cause.INVALID if self.code == 422 else Cause.OTHER


_CODES = {
    401: Cause.UNAUTHENTICATED,
    409: Cause.CONFLICT,
    410: Cause.EXPIRED,
    429: Cause.THROTTLED,
    **dict.fromkeys((0, 502, 503, 504), Cause.UNAVAILABLE),
}
_SENTENCES = [
    (re.compile(r"failed calling webhook"), Cause.WEBHOOK),  # 500
    (re.compile(r"^Validating(Admission)?Policy|ValidatingAdmissionPolicy '|MutatingAdmissionPolicy '"), Cause.POLICY),
    (re.compile(r"admission webhook \"[^\"]*\" denied"), Cause.POLICY),
    (re.compile(r"(exceeded|failed) quota: "), Cause.QUOTA),
    (re.compile(r" because it is being terminated"), Cause.TERMINATING),
    (re.compile(r"User \"[^\"]*\" cannot \w+ resource|^forbidden: User \"|is forbidden: User \""), Cause.RBAC),
    (re.compile(r"field is immutable"), Cause.IMMUTABLE),
]
_REASON = re.compile(r"[A-Za-z]{1,40}", re.ASCII)
_LONGEST = 300
# What may be part of a token, a key or the text of a Secret. A name has dashes or dots before it is as long.
_WORD = re.compile(r"[A-Za-z0-9+/=_-]{6,}", re.ASCII)
_OPAQUE = re.compile(r"[A-Za-z0-9+/=_]{32,}", re.ASCII)


def _word(value: object) -> str:
    return value if isinstance(value, str) and _REASON.fullmatch(value) else ""


def sentence(message: object, *, without: str = "") -> str:
    r"""Return the API server's *message* as one short printable line without anything that may be a secret.

    No word of the text *without* is in it.

    >>> sentence('secrets "a" is forbidden:\n exceeded quota: q')
    'secrets "a" is forbidden: exceeded quota: q'
    """
    if not isinstance(message, str):
        return ""
    text = _OPAQUE.sub("...", " ".join(message[: 4 * _LONGEST].split()))
    text = _WORD.sub(lambda word: "..." if word[0] in without else word[0], text) if without else text
    return plain_text(text, _LONGEST)


def data_of(sent: object) -> str:
    """Return the data in an object or a JSON patch that was sent: the values in base64, and as they are."""
    values: list[str] = []
    if isinstance(sent, list):  # a JSON patch
        for operation in sent:
            if isinstance(operation, dict) and str(operation.get("path", "")).startswith("/data"):
                values += _texts(operation.get("value"))
    elif isinstance(sent, dict):
        values += _texts(sent.get("data"))
    return "\0".join([*values, *map(_decoded, values)])


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _decoded(value: str) -> str:
    try:
        return b64decode(value, validate=True).decode("utf-8", "replace")
    except ValueError:
        return ""
