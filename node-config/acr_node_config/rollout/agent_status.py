"""The agent's status and the reporter's restart grant: values, and their one JSON form each.

The privileged agent has no ServiceAccount token and listens nowhere; the reporter has both and no privileges. They
exchange these two documents. No text in them is a secret.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.fastpath.plain_text import plain_text as one_line
from acr_credential_provider.model.remedy import NONE, Remedy, code_of

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUS, GRANT = "status.json", "grant.json"
"""The names of the documents."""

STARTING = "starting"
READY = "ready"
WAITING = "waiting"
"""A change that restarts the kubelet waits for its turn."""
REFUSED = "refused"
"""The node cannot be changed safely, and was not."""
REJECTED = "rejected"
"""The kubelet was not healthy with the change, which was undone."""
FAILED = "failed"
"""Something did not work; it is tried again."""
STANDBY = "standby"
"""Another agent is at work on this node."""
UNINSTALLED = "uninstalled"
STATES = (STARTING, READY, WAITING, REFUSED, REJECTED, FAILED, STANDBY, UNINSTALLED)

IN_FORCE = "in-force"
SPREADING = "spreading"
"""New settings wait for this node's moment in the rollout window."""
UNUSABLE = "unusable"
"""New settings are not valid: the last good ones stay."""

LONGEST_TEXT = 1024
MOST_PROBLEMS = 20
MOST_REGISTRIES = 200
LARGEST_NUMBER = 2.0**53


@dataclass(frozen=True, slots=True)
class SettingsStatus:
    """The state of the settings that are mounted on this node.

    *in_force* and *offered* are short digests, "" for none; *problems* are those that the validation named. *lost* are
    the logins that those in force took away from the ones before.
    """

    outcome: str = ""
    in_force: str = ""
    offered: str = ""
    problems: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenStatus:
    """A cached token: the host that it is for, and seconds until it should be refreshed and until it expires."""

    host: str
    refresh_in: float
    expires_in: float


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """Everything that people and monitoring may know of a node.

    *is_serving*: the kubelet runs with a plugin that was verified, whatever else is going on. *content* is a digest of
    the desired state, equal on all nodes that become the same. *request* names a request for a restart grant, "" for
    none. *beat* is when this was written, in seconds since boot.
    """

    version: str
    state: str = STARTING
    message: str = ""
    remedy: Remedy = NONE
    is_serving: bool = False
    content: str = ""
    request: str = ""
    settings: SettingsStatus = SettingsStatus()
    counts: Mapping[str, int] = field(default_factory=dict)
    tokens: tuple[TokenStatus, ...] = ()
    beat: float = 0.0
    first_call: float = 0.0
    """When the kubelet first called the plugin, in seconds since the epoch; 0 if it has not."""

    def to_dict(self) -> dict[str, Any]:
        """Return its JSON form.

        >>> AgentStatus.from_dict(AgentStatus("1.0", state="ready").to_dict()) == AgentStatus("1.0", state="ready")
        True
        """
        return asdict(self) | {"counts": dict(self.counts), "code": code_of(self.remedy)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> AgentStatus:
        """Read what `to_dict` wrote; raise ``ValueError`` for anything else."""
        try:
            settings = dict(document["settings"])
            status = cls(
                version=_text(document["version"]),
                state=_text(document["state"]),
                message=_text(document["message"]),
                remedy=Remedy(_text(document.get("code", "")), _text(document["remedy"])),
                is_serving=document["is_serving"] is True,
                content=_text(document["content"]),
                request=_text(document["request"]),
                settings=SettingsStatus(
                    _text(settings["outcome"]),
                    _text(settings["in_force"]),
                    _text(settings["offered"]),
                    tuple(map(_text, settings["problems"][:MOST_PROBLEMS])),
                    tuple(map(_text, settings["lost"][:MOST_PROBLEMS])),
                ),
                counts={_text(name): int(_number(count)) for name, count in dict(document["counts"]).items()},
                tokens=tuple(
                    TokenStatus(_text(token["host"]), _number(token["refresh_in"]), _number(token["expires_in"]))
                    for token in document["tokens"][:MOST_REGISTRIES]
                ),
                beat=_number(document["beat"]),
                first_call=_number(document["first_call"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a status: {type(error).__name__}") from None
        if status.state not in STATES:
            raise ValueError("not a status: its state is unknown")
        return status


@dataclass(frozen=True, slots=True)
class RestartGrant:
    """Permission to restart the kubelet for a *request* until *until* (seconds since boot); or a *refusal*."""

    request: str
    until: float = 0.0
    refusal: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return its JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> RestartGrant:
        """Read what `to_dict` wrote; raise ``ValueError`` for anything else."""
        try:
            return cls(_text(document["request"]), _number(document["until"]), _text(document["refusal"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a grant: {type(error).__name__}") from None


def plain_text(text: str) -> str:
    """Return *text* as one printable line that fits into Events and labels."""
    return one_line(text, LONGEST_TEXT)


def short_digest(*parts: bytes) -> str:
    """Return a digest of *parts* with 16 hexadecimal digits."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.hexdigest()[:16]


def _number(value: object) -> float:
    """Return *value*; raise ``TypeError`` unless it is a finite number: Python reads more than JSON has (Infinity)."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER:
        return float(value)
    raise TypeError


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return plain_text(value)
