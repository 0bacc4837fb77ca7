"""Which connection a server of ours closes when it holds too many, and what its clients do wrong.

Used by the controller's servers and the reporter's. Any Pod may connect, and the API server and the kubelet show no
certificate, so only what a client did tells it from others: a client is *known* once a request of it was answered. A
newcomer is let in, and the connection that matters least is closed for it:

1. of clients that are not known, first of one with more than a quarter of all connections
2. of known clients with more than a quarter of all connections
3. of known clients: first those that keep the server waiting, then idle or new ones, whichever are more, and last those
   of the client that is known for longest

While a request is worked on, its connection is closed only for a client that is known for longer; or, if its own client
is not known, for a client with fewer connections.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

Key = TypeVar("Key")
PATIENCE = 1.0
"""Seconds that a client has for its part before its connection counts as one that keeps the server waiting."""
MOST_KNOWN = 4096
"""Known clients that are remembered without a connection."""


class ClientFault(StrEnum):
    """What a client did wrong: the values of the label ``reason`` in the metrics."""

    BAD_REQUEST = "bad_request"
    """Not HTTP, an unreadable URL, or not an AdmissionReview."""
    METHOD = "method"
    NOT_FOUND = "not_found"
    TIMEOUT = "timeout"
    """A handshake or request that did not end, or an answer that was not taken, in time."""
    TLS = "tls"
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many_connections"


def fault_of(status: int) -> ClientFault | None:
    """Return the fault that the HTTP *status* of an answer tells of.

    >>> fault_of(404), fault_of(200)
    (<ClientFault.NOT_FOUND: 'not_found'>, None)
    """
    if not 400 <= status < 500:
        return None
    by_status = {404: ClientFault.NOT_FOUND, 405: ClientFault.METHOD, 408: ClientFault.TIMEOUT}
    by_status |= {413: ClientFault.TOO_LARGE, 414: ClientFault.TOO_LARGE, 431: ClientFault.TOO_LARGE}
    return by_status.get(status, ClientFault.BAD_REQUEST)


def client_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 of an IPv6 address.

    >>> client_of("192.0.2.1"), client_of("::ffff:192.0.2.1"), client_of("2001:db8::a:1%eth0"), client_of("?")
    ('192.0.2.1', '192.0.2.1', '2001:db8::', '')
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64))


class _Turn(StrEnum):
    """Whom a connection waits for."""

    CLIENT = "client"
    """It is to send the rest of a request, or to take an answer."""
    NOBODY = "nobody"
    """The last request was answered, the next one has not begun."""
    SERVER = "server"


@dataclass(slots=True)
class _Connection:
    client: str
    since: float
    turn: _Turn = _Turn.CLIENT
    is_new: bool = True
    """No request of it was answered yet."""


class ConnectionTable(Generic[Key]):
    """The connections of a server, *most* of all clients and *per_client* of each; times are monotonic seconds."""

    def __init__(self, most: int, per_client: int) -> None:
        self._most = most
        self._per_client = per_client
        self._connections: dict[Key, _Connection] = {}
        self._shares: Counter[str] = Counter()
        self._known: OrderedDict[str, float] = OrderedDict()  # when a client became known; the last one seen is last

    def __len__(self) -> int:
        return len(self._connections)

    def __contains__(self, key: object) -> bool:
        return key in self._connections

    def add(self, key: Key, address: str, now: float) -> Key | None:
        """Hold one more; return the connection to be closed for it, which may be *key* itself, None for none."""
        client = client_of(address)
        newcomer = _Connection(client, now)
        self._connections[key] = newcomer
        self._shares[client] += 1
        if self._shares[client] > self._per_client:
            others = [other for other, held in self._connections.items() if held.client == client and other != key]
        elif len(self._connections) > self._most:
            others = [other for other in self._connections if other != key]
        else:
            return None
        victim = self.least_of(others, key, now)
        self.remove(victim)
        return victim

    def least_of(self, others: Iterable[Key], key: Key, now: float) -> Key:
        """Return which of *others* is to be closed for *key*, or *key* if none may be."""
        held = [other for other in others if other in self._connections]
        # A crowd of new ones must not push out those that a client keeps, nor a hoard of kept ones those that come.
        new = sum(self._connections[other].is_new for other in held)
        idle = sum(self._connections[other].turn is _Turn.NOBODY for other in held)
        victim = min(held, key=lambda other: self._worth(self._connections[other], now, idle > new), default=key)
        return victim if self._may_replace(self._connections[key].client, self._connections[victim]) else key

    def remove(self, key: Key) -> None:
        """Forget a connection, as it has ended."""
        held = self._connections.pop(key, None)
        if held is not None:
            self._shares[held.client] -= 1
            if not self._shares[held.client]:
                del self._shares[held.client]

    def await_client(self, key: Key, now: float) -> None:
        """Note that a request has begun, or that the client is to take an answer."""
        self._turn(key, _Turn.CLIENT, now)

    def work(self, key: Key, now: float) -> None:
        """Note that a whole request is there."""
        self._turn(key, _Turn.SERVER, now)

    def idle(self, key: Key, now: float) -> None:
        """Note that the answer was taken."""
        self._turn(key, _Turn.NOBODY, now)
        if key in self._connections:
            self._connections[key].is_new = False

    def trust(self, key: Key, now: float) -> None:
        """Note that the client of *key* had a request that was right."""
        held = self._connections.get(key)
        if held is None:
            return
        self._known.setdefault(held.client, now)
        self._known.move_to_end(held.client)
        for client in list(self._known):
            if len(self._known) <= MOST_KNOWN:
                break
            if client not in self._shares:
                del self._known[client]

    def _turn(self, key: Key, turn: _Turn, now: float) -> None:
        held = self._connections.get(key)
        if held is not None:
            held.turn, held.since = turn, now

    def _may_replace(self, client: str, victim: _Connection) -> bool:
        """True if *victim* may be closed for a newcomer of *client*."""
        if victim.turn is not _Turn.SERVER:
            return True
        own, other = self._known.get(client), self._known.get(victim.client)
        if other is None:
            return own is not None or self._shares[victim.client] > self._shares[client]
        return own is not None and own < other

    def _worth(self, held: _Connection, now: float, idle_first: bool) -> tuple[float, ...]:
        """Return what orders connections: the least is closed first."""
        has_much = self._shares[held.client] > self._most / 4
        known_at = self._known.get(held.client)
        if held.turn is _Turn.SERVER:
            state = 4
        elif held.turn is _Turn.NOBODY:
            state = 1 if idle_first else 2
        elif now - held.since >= PATIENCE:
            state = 0
        else:
            state = (2 if idle_first else 1) if held.is_new else 3
        if known_at is None:
            return (0 if has_much else 1, state, held.since)
        return (2, state, held.since) if has_much else (3, state, -known_at, held.since)
