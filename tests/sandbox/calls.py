"""The call log: who asked for what and when. Never a secret, a token or a query."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Subject:
    """What a request is about, as far as can be told before it is judged."""

    operation: str
    """An API action ("GetAuthorizationToken") or a server's own name for it ("metadata.token")."""
    instance_id: str = ""
    access_key_id: str = ""


@dataclass
class Call:
    """One request, written down when it has been read; *status* follows with the answer (0: none yet)."""

    time: float
    server: str
    method: str
    path: str
    operation: str
    instance_id: str
    access_key_id: str
    status: int = 0


class CallLog:
    """Every call in the order it came; safe to read while servers write."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: list[Call] = []

    def add(self, call: Call) -> None:
        with self._changed:
            self._calls.append(call)
            self._changed.notify_all()

    def answered(self, call: Call, status: int) -> None:
        with self._changed:
            call.status = status
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            self._calls.clear()

    def all(self, operation: str | None = None) -> list[Call]:
        with self._changed:
            return [call for call in self._calls if operation in (None, call.operation)]

    def count(self, operation: str | None = None) -> int:
        return len(self.all(operation))

    def counts(self) -> dict[str, int]:
        return dict(Counter(call.operation for call in self.all()))

    def wait_for(self, operation: str, *, count: int = 1, timeout: float = 10.0) -> bool:
        """Wait until *operation* was called *count* times; say whether that came to pass."""
        with self._changed:
            return self._changed.wait_for(
                lambda: sum(call.operation == operation for call in self._calls) >= count, timeout
            )

    def document(self) -> dict[str, Any]:
        calls = self.all()
        return {"counts": self.counts(), "calls": [asdict(call) for call in calls]}
